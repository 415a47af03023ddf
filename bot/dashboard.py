"""The pages: environments, one environment, the plan of a push, the prediction of a change request."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from flask import Blueprint, abort, current_app, g, render_template

from bot import standing
from bot.board import Board
from bot.deliveries import Undelivered
from bot.login import guarded, require_visitor
from bot.standing import View
from worker.domain.axes import Plumb
from worker.domain.convergence import short
from worker.domain.episode_text import drift_sides, headline, is_vanished, said
from worker.domain.field_text import block, is_block, sides
from worker.domain.plan import Action, Change, code
from worker.domain.proposals import EnvironmentProposal, ProposalReport
from worker.domain.reports import EnvironmentPreview, Outcome

WHILE_WORKING: Final = 3
AT_REST: Final = 60
"""Seconds until a page looks again, while something runs and while nothing does."""

LISTED: Final = 8
"""Predictions on the first page."""

IN_LINE: Final = 160
"""Characters of both values side by side; longer ones are said shortened."""

OPEN: Final = 6
"""Changes that are shown unfolded; more start folded, so that the list can be seen."""

TICKET: Final = re.compile(r"[0-9a-f]{32}")

dashboard = Blueprint("dashboard", __name__)
guarded(dashboard)
dashboard.before_request(require_visitor)


def board_of_pages() -> Board:
    """What the pages show."""
    board: Board = current_app.extensions["plumbline"][2]
    return board


def _repositories() -> list[str]:
    """The names of the repositories that the visitor may see."""
    installation = current_app.extensions["plumbline"][0].installation
    return [each.name for each in installation.repositories if g.visitor.sees(each.name)]


def require_visible(repository: str) -> None:
    """The same answer for what is not there and for what is not theirs, before anything is looked up."""
    if repository not in _repositories():
        abort(404)


@dashboard.get("/")
def environments() -> str:
    """Every environment, worst first."""
    board, repositories = board_of_pages(), _repositories()
    proposals = {name: board.proposals(name) for name in repositories}
    found = [(standing.view(*each), standing.is_working(*each)) for each in board.environments(repositories)]
    rows = sorted((row for row, _ in found), key=lambda row: row.urgency)
    recent = sorted((pair for each in proposals.values() for pair in each), key=lambda pair: -pair[0].at)[:LISTED]
    held = board.held((row.last.repository, row.last.environment) for row in rows)
    return render_template(
        "environments.html",
        title=_headline(rows, sum(map(bool, held.values()))),
        rows=rows,
        held=held,
        recent=recent,
        repositories=repositories,
        undelivered=_undelivered(repositories),
        commits=board.commits((row.last.repository, row.last.revision) for row in rows),
        refresh=WHILE_WORKING if any(works for _, works in found) else AT_REST,
    )


def _undelivered(repositories: Sequence[str]) -> list[Undelivered]:
    """The newest alerts of these repositories that no receiver could be told of."""
    found = current_app.extensions["plumbline-deliveries"].undelivered()
    return [each for each in found if each.repository in repositories][:LISTED]


def _headline(rows: Sequence[View], held: int) -> str:
    """Whether all is well, in one line; what is held is no trouble, and is nothing that one may overlook."""
    if not rows:
        return "No environment yet"
    return _standing(rows) + (f", {held} held" if held else "")


def _standing(rows: Sequence[View]) -> str:
    counts = Counter(row.standing.plumb for row in rows)
    if counts[Plumb.TILTED]:
        return f"{counts[Plumb.TILTED]} of {_counted(len(rows), 'environment')} out of true"
    if counts[Plumb.MOVING]:
        return f"{counts[Plumb.MOVING]} of {_counted(len(rows), 'environment')} moving"
    return "The one environment stands true" if len(rows) == 1 else f"All {len(rows)} environments stand true"


@dashboard.get("/environments/<path:repository>/<name>")
def environment(repository: str, name: str) -> str:
    """One environment: how it stands and why that is known, then what happened."""
    require_visible(repository)
    board = board_of_pages()
    history, episodes = board.history(repository, name), board.episodes(repository, name)
    if not history:
        abort(404)
    held, beside = board.shown(repository, name)
    proposals = board.proposals(repository)
    touching = [
        (report, request, each)
        for report, request in proposals
        for each in report.environments
        if each.environment == name and each.touched
    ]
    revisions = list(dict.fromkeys(fact.revision for fact in history))
    return render_template(
        "environment.html",
        row=standing.view(history, episodes),
        timeline=standing.timeline(history, episodes),
        proof=standing.proof(history, episodes),
        held=held,
        beside=beside,
        touching=touching[:LISTED],
        planned=board.planned(repository, name, revisions),
        commits=board.commits((repository, revision) for revision in revisions),
        refresh=WHILE_WORKING if standing.is_working(history, episodes) else AT_REST,
    )


@dashboard.get("/plans/<ticket>")
def plan(ticket: str) -> str:
    """The whole prediction of a push."""
    found = board_of_pages().plan(ticket) if TICKET.fullmatch(ticket) else None
    if found is None or found.repository not in _repositories():
        abort(404)
    return render_template("plan.html", report=found)


@dashboard.get("/proposals/<path:repository>/<int:number>")
def proposal(repository: str, number: int) -> str:
    """The whole prediction of a change request: three causes apart, for each environment."""
    require_visible(repository)
    found = board_of_pages().proposal(repository, number)
    if found is None:
        abort(404)
    report, request = found
    return render_template("proposal.html", report=report, request=request, title=_predicted(report))


def _predicted(report: ProposalReport) -> str:
    """The prediction in one line; what could not be predicted is never "no change"."""
    unknown = [each.environment for each in report.environments if each.outcome is not Outcome.PLANNED]
    if report.conflicts:
        return f"Conflicts with {report.base}"
    if report.problems or unknown:
        return f"Cannot predict {', '.join(unknown) or 'this change request'}"
    changing = [each.plan for each in report.environments if each.plan is not None and not each.plan.is_empty]
    if not changing:
        return "No change" if report.environments else "No environment is touched"
    count = sum(len(each.writes) + len(each.unpredictable) for each in changing)
    return f"{_counted(count, 'change')} in {_counted(len(changing), 'environment')}"


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


# -- what templates ask -------------------------------------------------------------------------------------------


@dashboard.app_template_global("anchor")
def anchor(environment_name: str, part: str, change: Change) -> str:
    """The name by which one object of a page is linked to: without spaces, readable."""
    key = change.key
    words = (environment_name, part, key.group_kind, key.namespace, key.name)
    return re.sub(r"[^A-Za-z0-9._/-]", "-", "/".join(word for word in words if word))


@dashboard.app_template_filter("web_address")
def web_address(text: str) -> str:
    """An address that may be linked to, empty where it is none of the web's."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    return text if parts.scheme in ("http", "https") and parts.hostname else ""


@dashboard.app_template_filter("moment")
def moment(at: float) -> Mapping[str, str]:
    """A Unix time for a `time` element: relative, exact, and for machines."""
    return {
        "words": standing.distance(time.time() - at),
        "exact": standing.stamp(at),
        "machine": standing.machine_stamp(at),
    }


@dashboard.app_template_filter("summary")
def summary(changes: Sequence[Change]) -> str:
    """`2 configure, 1 prune`; what stays as it is is not counted, nothing is `no change`."""
    counts = Counter(change.action for change in shown(changes))
    return ", ".join(f"{counts[action]} {action}" for action in Action if counts[action]) or "no change"


@dashboard.app_template_filter("shown")
def shown(changes: Sequence[Change]) -> list[Change]:
    """The changes that there is something to be seen of."""
    return [change for change in changes if change.action is not Action.UNCHANGED]


@dashboard.app_template_filter("explained")
def explained(found: EnvironmentPreview | EnvironmentProposal) -> str:
    """Why there is no prediction, in words."""
    words = {
        Outcome.INVALID: "cannot be predicted: what is written is not valid",
        Outcome.REFUSED: "refused",
        Outcome.HELD: "held",
        Outcome.UNAVAILABLE: "cannot be predicted: the cluster could not be asked",
    }
    return words.get(found.outcome, "")


@dashboard.app_context_processor
def _for_templates() -> dict[str, Any]:
    """Pure functions that the pages are written with."""
    return {
        "short": short,
        "sides": lambda field: sides(field, IN_LINE),
        "drift_sides": lambda drift: drift_sides(drift, IN_LINE),
        "is_block": is_block,
        "block": block,
        "code": code,
        "said_at": standing.said_at,
        "said": said,
        "took": standing.took,
        "headline": headline,
        "is_vanished": is_vanished,
        "by_object": standing.by_object,
        "cluster_time": standing.cluster_time,
        "open_up_to": OPEN,
        "counted": _counted,
    }
