"""What taking a change request back says of itself: branch, commit, change request, answer. Pure."""

from __future__ import annotations

from bot.commit_text import asked_by, credit
from bot.markdown import code, flat, prose
from worker.domain.convergence import short
from worker.domain.revert import RevertReport

LONGEST_TITLE = 120


def branch_name(report: RevertReport) -> str:
    """The same revert onto the same tip has one branch, by which it is found again when an answer was lost."""
    return f"plumbline/revert-{report.request.number}-onto-{short(report.onto)}"


def title(report: RevertReport) -> str:
    """The subject of the commit and the title of the change request."""
    return f'Revert "{flat(report.request.title, LONGEST_TITLE)}" (#{report.request.number})'


def message(report: RevertReport, host: str) -> str:
    """The commit's message with its trailers; `host` is the forge's, for the address of who is credited."""
    trailers = [f"Plumbline-Reverts: {report.request.merged}", *credit(report.request.origin, host)]
    said = [line for line in report.explanation if line]
    return "\n".join([title(report), "", *said, "", *trailers]) + "\n"


def body(report: RevertReport) -> str:
    """The change request's text: what is done, to what, and who asked."""
    asked = report.request
    what = (
        f"Takes back what #{asked.number} did to the tree when it was merged as {asked.merged}; what was done on "
        f"{code(asked.branch)} since then stays."
    )
    return "\n\n".join([*(prose(line, 1000) for line in report.explanation), what, asked_by(asked.origin)])


def proposed(report: RevertReport, url: str) -> str:
    """The answer, once there is a change request."""
    return f"[{prose(title(report), 400)}]({url}) is ready; its prediction follows there."


def refused(report: RevertReport, why: str) -> str:
    """The answer, where nothing is taken back."""
    return f"#{report.request.number} is not taken back: {prose(why, 1000)}"


def in_conflict(report: RevertReport) -> str:
    """What the worker says against it, file by file; empty where nothing is."""
    if not report.conflicts:
        return ""
    several = len(report.conflicts) != 1
    rows = "\n".join(f"- {code(path, 300)}: {prose(why, 400)}" for path, why in report.conflicts.items())
    return (
        f"#{report.request.number} is not taken back, and nothing was done: {code(report.request.branch)} has gone on "
        f"since in {'these files' if several else 'this file'}.\n\n{rows}\n\n"
        "Take it back by hand, and decide there what is to stay."
    )
