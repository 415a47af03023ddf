"""What the change of an image says of itself: the branch's name, the commit's message, the change request, the answer. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from bot.commit_text import asked_by, credit, shared, to_merge
from bot.markdown import code, prose
from worker.domain.convergence import short
from worker.domain.image_update import ImageReport
from worker.domain.images import read_image
from worker.domain.messages import job_name


def branch_prefix(report: ImageReport) -> str:
    """How the branches of all changes of this image in this environment begin."""
    place = read_image(report.request.image).place
    name = place.rpartition("/")[2][:40]
    return f"plumbline/image-{report.request.environment}-{name}-{job_name(report.request.branch, place)[:8]}-"


def branch_name(report: ImageReport) -> str:
    """The same image onto the same tip has one branch, by which it is found again when an answer was lost."""
    return f"{branch_prefix(report)}{job_name(report.request.image)[:8]}-onto-{short(report.onto)}"


def title(report: ImageReport) -> str:
    """The subject of the commit and the title of the change request."""
    return f"Use {report.request.image} in {report.request.environment}"


def message(report: ImageReport, host: str) -> str:
    """The commit's message with its trailers; `host` is the forge's, for the address of who is credited."""
    trailers = [
        f"Plumbline-Image: {report.request.image}",
        f"Plumbline-Environment: {report.request.environment}",
        *credit(report.request.origin, host),
    ]
    return "\n".join([title(report), "", *trailers]) + "\n"


def body(report: ImageReport, older: Iterable[str]) -> str:
    """The change request's text: files that others read first, then the places, and who asked."""
    lines = [f"**{prose(line)}**" for line in shared(report.files)]
    spots = [f"{file.path}:{place.line}" for file in report.files for place in file.places]
    lines.append(
        f"Makes {code(report.request.environment)} use {code(report.request.image)}, by these lines and nothing else: "
        + ", ".join(code(spot) for spot in spots)
    )
    lines += [f"Note: {prose(line, 1000)}." for line in report.warnings]
    lines += _replaces(older)
    lines.append(asked_by(report.request.origin))
    return "\n\n".join(lines)


def proposed(report: ImageReport, url: str, older: Iterable[str]) -> str:
    """The answer, once there is a change request."""
    lines = [f"[{prose(title(report), 400)}]({url}) is ready; its prediction follows there."]
    lines += [f"Note: {prose(line, 1000)}." for line in (*shared(report.files), *report.warnings)]
    lines += _replaces(older)
    return "\n\n".join(lines)


def branched(report: ImageReport, branch: str, older: Iterable[str]) -> str:
    """The answer on a plain Git server, once the commit is on a branch of its own; `older` are branches for the same image."""
    lines = to_merge(title(report), branch, report.request.branch)
    lines += [f"Note: {prose(line, 1000)}." for line in (*shared(report.files), *report.warnings)]
    names = ", ".join(code(name) for name in older)
    lines += [f"It takes the place of {names}, which can be deleted."] if names else []
    return "\n\n".join(lines)


def refused(report: ImageReport, why: str) -> str:
    """The answer, where nothing is changed."""
    return f"{code(report.request.environment)} does not get {code(report.request.image)}: {prose(why, 1000)}"


def _replaces(older: Iterable[str]) -> list[str]:
    """By their addresses: a number means another thing at GitLab."""
    links = ", ".join(older)
    return [f"It takes the place of {links} , which can be closed."] if links else []
