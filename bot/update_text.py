"""What an update that a policy made says of itself: branch, commit, change request, and the one that it supersedes. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from bot.commit_text import shared
from bot.markdown import code, prose
from worker.domain.convergence import short
from worker.domain.images import read_image
from worker.domain.messages import job_name
from worker.domain.policy_update import UpdateReport, trailer

NAMED = 3
"""Environments that a title names; of more it says how many there are."""


def branch_prefix(report: UpdateReport) -> str:
    """How the branches of all updates of this policy begin."""
    asked = report.request
    safe = re.sub(r"[^a-z0-9-]+", "-", asked.policy)
    return f"plumbline/update-{safe}-{job_name(asked.branch, asked.policy)[:8]}-"


def branch_name(report: UpdateReport) -> str:
    """The same image in the same places has one branch, wherever the base is by then: what is open is not opened again."""
    places = sorted(f"{file.path} {place.document} {place.path}" for file in report.files for place in file.places)
    return f"{branch_prefix(report)}{job_name(report.image, *places)[:12]}"


def title(report: UpdateReport) -> str:
    """The subject of the commit and the title of the change request: `Update shop/cart from 1.4.1 to 1.5.0 in production`."""
    new = read_image(report.image)
    before = f" from {report.was[0]}" if len(report.was) == 1 and report.was[0] != new.tag else ""
    pin = f" ({new.digest[7:19]})" if new.digest else ""
    names = report.environments
    where = " and ".join(names) if len(names) < NAMED else ", ".join(names[:-1]) + f" and {names[-1]}"
    if len(names) > NAMED:
        where = f"{len(names)} environments"
    return f"Update {new.name}{before} to {new.tag}{pin} in {where}"


def message(report: UpdateReport, word: Callable[..., str]) -> str:
    """The commit's message with its trailers; by one of them, which `word` seals, the policy's last word is known."""
    asked = report.request
    trailers = [
        f"Plumbline-Image: {report.image}",
        *(f"Plumbline-Environment: {name}" for name in report.environments),
        trailer(asked.policy, report.image, word(asked.repository, asked.policy, report.image)),
    ]
    return "\n".join([title(report), "", *trailers]) + "\n"


def body(report: UpdateReport, older: Iterable[str], why_no_commit: str = "") -> str:
    """The change request's text: files that others read first, then the places, and whose policy it is."""
    lines = [f"**{prose(line)}**" for line in shared(report.files)]
    spots = [f"{file.path}:{place.line}" for file in report.files for place in file.places]
    names = ", ".join(code(name) for name in report.environments)
    lines.append(
        f"Makes {names} use {code(report.image)}, by these lines and nothing else: "
        + ", ".join(code(spot) for spot in spots)
    )
    if why_no_commit:
        lines.append(f"It was to be a commit and is a change request, because {prose(why_no_commit, 1000)}.")
    lines += [f"Note: {prose(line, 1000)}." for line in report.warnings]
    links = ", ".join(older)
    lines += [f"It takes the place of {links} , which it closes."] if links else []
    lines.append(
        f"Wanted by the policy {code(report.request.policy)} in `plumbline.yaml` of {code(report.request.branch)}. Closed "
        "without a merge, it is not opened again until the policy wants another image."
    )
    return "\n\n".join(lines)


def superseded(url: str) -> str:
    """What is said on an older one before it is closed."""
    return f"The policy wants a newer image by now: {url} takes the place of this one."


def committed(report: UpdateReport, revision: str) -> str:
    """For the log: straight to the branch."""
    return f"{title(report)}: {short(revision)} on {report.request.branch}"


def proposed(report: UpdateReport, url: str) -> str:
    """For the log: as a change request."""
    return f"{title(report)}: {url}"


def branched(report: UpdateReport, branch: str, why_no_commit: str = "") -> str:
    """For the log and the note on a plain Git server: as a branch to merge, and why it is no commit where it was to be one."""
    why = f" (no commit, because {why_no_commit})" if why_no_commit else ""
    return f"{title(report)}: it is on the branch {branch}{why}"


def refused(report: UpdateReport, why: str) -> str:
    """Why a policy cannot have its way; for the status and the log."""
    return f"{report.request.image} is not used: {why}"


def why_no_commit(report: UpdateReport) -> str:
    """Why an update that was to be a commit is not made one; empty where it may be."""
    return "; ".join(shared(report.files))
