"""What adopted drift says of itself: the branch's name, the commit's message, the change request, the answer. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import groupby
from typing import Final

from bot.commit_text import asked_by, credit, shared, to_merge
from bot.markdown import code, fence, flat, prose
from bot.object_text import counted, drifted, more, named
from worker.domain.adoption import AdoptionReport
from worker.domain.convergence import short
from worker.domain.messages import job_name
from worker.domain.proposals import Drift

MOST: Final = 50
"""Fields, and sentences about what is left, that a text names."""

MESSAGE_LINE: Final = 200


def branch_name(report: AdoptionReport) -> str:
    """The same drift onto the same tip has one branch, by which it is found again when an answer was lost."""
    files = json.dumps([each.to_json() for each in report.files], sort_keys=True)
    return f"plumbline/adopt-{report.request.environment}-{job_name(files)[:8]}-onto-{short(report.onto)}"


def title(report: AdoptionReport) -> str:
    """The subject of the commit and the title of the change request."""
    objects = dict.fromkeys(each.key for each in report.adopted)
    what = str(next(iter(objects))) if len(objects) == 1 else counted(len(objects), "object")
    return flat(f"Adopt what drifted of {what} in {report.request.environment}", MESSAGE_LINE)


def message(report: AdoptionReport, host: str) -> str:
    """The commit's message with its trailers; `host` is the forge's, for the address of who is credited.

    What the cluster named is one line each, indented: none can be taken for a trailer.
    """
    lines = [f"- {flat(f'{each.key}, {each.field.path}{_by(each)}', MESSAGE_LINE)}" for each in report.adopted[:MOST]]
    hidden = len(report.adopted) - MOST
    objects = dict.fromkeys(
        "/".join(filter(None, (each.key.kind, each.key.namespace, each.key.name))) for each in report.adopted
    )
    trailers = [
        *(f"Plumbline-Adopt: {flat(each, MESSAGE_LINE)}" for each in list(objects)[:MOST]),
        f"Plumbline-Environment: {report.request.environment}",
        *credit(report.request.origin, host),
    ]
    rest = [f"- and {hidden} more"] if hidden > 0 else []
    return "\n".join([title(report), "", *lines, *rest, "", *trailers]) + "\n"


def _by(drift: Drift) -> str:
    return f", last written by {drift.manager}" if drift.manager else ""


def body(report: AdoptionReport) -> str:
    """The change request's text: files that others read first, then the fields, what is left, and who asked."""
    files = ", ".join(code(each.path) for each in report.files)
    lines = [f"**{prose(line)}**" for line in shared(report.files)]
    lines.append(
        f"Makes Git say what {code(report.request.environment)} has in the cluster now, in {files}. The tree was rendered: "
        "these fields come out as they live, and nothing else of the environment changes."
    )
    for _, members in groupby(report.adopted[:MOST], key=lambda each: each.key):
        several = tuple(members)
        lines.append(f"{named(several[0].key)}\n{fence([line for each in several for line in drifted(each)])}")
    lines.append(more(len(report.adopted) - MOST).strip())
    lines += [f"Note: {prose(line, 1000)}." for line in report.notes]
    lines += _left(report)
    lines.append(asked_by(report.request.origin))
    return "\n\n".join(line for line in lines if line)


def proposed(report: AdoptionReport, url: str) -> str:
    """The answer, once there is a change request."""
    lines = [f"[{prose(title(report), 400)}]({url}) is ready; its prediction follows there."]
    lines += [f"Note: {prose(line, 1000)}." for line in (*shared(report.files), *report.notes)]
    lines += _left(report)
    return "\n\n".join(lines)


def branched(report: AdoptionReport, branch: str) -> str:
    """The answer on a plain Git server, once the commit is on a branch of its own."""
    lines = to_merge(title(report), branch, report.request.branch)
    lines += [f"Note: {prose(line, 1000)}." for line in (*shared(report.files), *report.notes)]
    lines += _left(report)
    return "\n\n".join(lines)


def refused(report: AdoptionReport, why: str) -> str:
    """The answer, where nothing is adopted."""
    return f"nothing of {code(report.request.environment)} is adopted: {prose(why, 2000)}"


def _left(report: AdoptionReport) -> Iterable[str]:
    if not report.left:
        return []
    rows = [f"- {prose(line, 500)}" for line in report.left[:MOST]]
    return ["\n".join(["Not adopted:", "", *rows]), more(len(report.left) - MOST).strip()]
