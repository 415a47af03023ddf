"""What a rollback says of itself: the branch's name, the commit's message, the change request, the answer. Pure."""

from __future__ import annotations

from typing import Final

from bot.commit_text import asked_by, credit, to_merge
from bot.markdown import code, prose
from worker.domain.convergence import short
from worker.domain.rollback import ENVIRONMENT_TRAILER, TARGET_TRAILER, Restored, RollbackReport

MOST_FILES: Final = 50
"""Files that a dry run names."""


def branch_name(report: RollbackReport) -> str:
    """The same rollback onto the same tip has one branch, by which it is found again when an answer was lost."""
    name = report.request.environment
    return f"plumbline/rollback-{name}-{short(report.target)}-onto-{short(report.onto)}"


def title(report: RollbackReport) -> str:
    """The subject of the commit and the title of the change request."""
    return f"Roll back {report.request.environment} to {short(report.target)}"


def message(report: RollbackReport, host: str) -> str:
    """The commit's message with its trailers; `host` is the forge's, for the address of who is credited."""
    trailers = [
        f"{TARGET_TRAILER}: {report.target}",
        f"{ENVIRONMENT_TRAILER}: {report.request.environment}",
        *credit(report.request.origin, host),
    ]
    said = [line for line in report.explanation if line]
    return "\n".join([title(report), "", *said, "", *trailers]) + "\n"


def body(report: RollbackReport) -> str:
    """The change request's text: files that others read first, then what is done, and who asked."""
    name = report.request.environment
    what = (
        f"Makes what {code(name)} reads equal to {report.target}, which converged there; everything else stays as it is "
        f"on {code(report.branch)}. The tree was rendered: its desired state is the one of {short(report.target)}."
    )
    lines = [
        *(f"**{prose(line)}**" for line in report.explanation[: len(report.shared)]),
        *(prose(line) for line in report.explanation[len(report.shared) :]),
        what,
        *(f"Note: {prose(line)}." for line in report.warnings),
        asked_by(report.request.origin),
    ]
    return "\n\n".join(lines)


def proposed(report: RollbackReport, url: str, why_not_pushed: str = "") -> str:
    """The answer, once there is a change request."""
    lines = [f"[{prose(title(report))}]({url}) is ready; its prediction follows there."]
    if why_not_pushed:
        lines.append(f"It was not pushed straight to {code(report.branch)}: {prose(why_not_pushed)}.")
    lines += [f"Note: {prose(line)}." for line in report.warnings]
    return "\n\n".join(lines)


def branched(report: RollbackReport, branch: str, why_not_pushed: str = "") -> str:
    """The answer on a plain Git server, once the commit is on a branch of its own."""
    lines = to_merge(title(report), branch, report.branch)
    if why_not_pushed:
        lines.append(f"It was not pushed straight to {code(report.branch)}: {prose(why_not_pushed)}.")
    lines += [prose(line) for line in report.explanation]
    lines += [f"Note: {prose(line)}." for line in report.warnings]
    return "\n\n".join(lines)


def would(report: RollbackReport, *, is_proposed: bool = True) -> str:
    """The answer to a dry run: the target, the files and what becomes of each; at most MOST_FILES are named.

    `is_proposed`: whether there is a forge, where a change request can be opened.
    """
    why = why_no_push(report)
    is_pushed = report.request.push and not why
    proposed_as = "proposed as a change request" if is_proposed else "put on a branch of its own"
    how = f"pushed straight to {code(report.branch)}" if is_pushed else proposed_as
    name, where = code(report.request.environment), code(short(report.onto))
    proven = "Rendered, it is the desired state of that commit."
    lines = [
        f"{name} would go back to {code(report.target)}. {proven} Nothing was committed.",
        f"The commit would be on top of {where}, and {how}.",
    ]
    if why:
        lines.append(f"It would not be pushed: {prose(why)}.")
    files = [f"- {code(each.path)} {_becomes(each)}" for each in report.files[:MOST_FILES]]
    if len(report.files) > MOST_FILES:
        files.append(f"- and {len(report.files) - MOST_FILES} more files")
    lines.append("\n".join(files))
    lines += [f"{prose(line)}" for line in report.explanation]
    lines += [f"Note: {prose(line)}." for line in report.warnings]
    return "\n\n".join(lines)


def _becomes(file: Restored) -> str:
    if not file.blob:
        return "is taken away"
    source = f" (from {code(file.source)})" if file.source and file.source != file.path else ""
    return f"{'becomes what it was' if file.was else 'comes back'}{source}"


def pushed(report: RollbackReport, revision: str) -> str:
    """The answer, once the commit is on the branch."""
    return (
        f"{code(report.request.environment)} goes back to {short(report.target)}: {revision} was pushed to "
        f"{code(report.branch)} and converges now."
    )


def refused(report: RollbackReport, why: str) -> str:
    """The answer, where there is no rollback."""
    return f"{code(report.request.environment)} is not rolled back: {prose(why, 1000)}"


def why_no_push(report: RollbackReport) -> str:
    """Why a rollback that was to be pushed is proposed instead; empty where it may be pushed, or was not to be."""
    if not report.request.push:
        return ""
    if report.shared:
        return "other environments change with it"
    if not report.may_push:
        return "the policy of the environment does not say `rollback: push`"
    return ""
