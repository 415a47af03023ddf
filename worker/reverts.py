"""Job: which commit on top of a branch takes a merged change request back. Nothing is written anywhere.

It reads as its phases: gather (what the merge did, what the branch has now), judge (`worker.planning.reverting`), report. What
it makes of the environments is predicted where its change request is, as with any other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from worker.adapters.ancestry import changed_by, changes, first_parents, own_commits, parents, patch_id
from worker.adapters.checkout import Checkout
from worker.domain.blobs import blob_id
from worker.domain.convergence import short
from worker.domain.environment import COMMIT_ID
from worker.domain.errors import PlumblineError, Refused, Unavailable
from worker.domain.revert import RevertReport, RevertRequest, Three
from worker.domain.three_way import put_together
from worker.planning.returning import require_plain
from worker.planning.reverting import sentences, taken_back
from worker.workbench import Workbench, shortage, tried

MOST_COMMITS: Final = 100
"""Commits of one change request that are looked for on its branch."""

MOST_CONFLICTS: Final = 50


def revert(bench: Workbench, message: dict[str, Any]) -> None:
    """Says which files take a change request back, or why that cannot be done. Raises Unavailable (tried again)."""
    request = RevertRequest.from_json(message)
    try:
        report = _judged(bench, request)
    except Unavailable as error:
        if not bench.is_too_late(request.at):
            raise
        report = RevertReport(request, refusal=tried(error))
    except PlumblineError as error:
        report = RevertReport(request, refusal=str(error))
    except (OSError, MemoryError) as error:
        raise shortage(error) from None
    bench.outbox.report(report)


def _judged(bench: Workbench, request: RevertRequest) -> RevertReport:
    repository = bench.repository(request.repository)
    checkout = bench.checkout(repository)
    tip = checkout.tip(request.branch)
    if tip is None:
        raise Refused(f"the branch {request.branch} does not exist (any more)", "There is nothing to take back")
    checkout.fetch(tip, request.branch)
    if not COMMIT_ID.fullmatch(request.merged) or not checkout.is_ancestor(request.merged, tip):
        raise Refused(
            f"{short(request.merged)}, as which it was merged, is not in the history of {request.branch}",
            "Take back by hand what is left of it",
        )
    before = made_on(checkout, request)
    merged = changes(checkout, before, request.merged)
    present = {each.path: (each.mode, each.id) for each in checkout.entries(tip, "")}

    def together(three: Three) -> str:
        content = put_together(*(checkout.blob(blob, "") for blob in (three.after, three.now, three.before)))
        return "" if content is None else blob_id(content, three.now)

    found = taken_back(merged, present, together, lambda path: changed_by(checkout, path, request.merged, tip))
    report = RevertReport(request, tip, before)
    if found.conflicts:
        return replace(report, conflicts=dict([*found.conflicts.items()][:MOST_CONFLICTS]))
    if not found.files:
        raise Refused(f"nothing that it changed is on {request.branch} (any more)", "There is nothing to take back")
    require_plain(found.files)
    return replace(
        report,
        files=tuple(found.files),
        merges=found.merges,
        explanation=sentences(request.number, found.files, found.merges),
    )


def made_on(checkout: Checkout, request: RevertRequest) -> str:
    """The commit of the branch that the merge was made on. Raises Refused where that cannot be told for certain.

    A merge commit and a squashed one say it themselves. Of a change request that was rebased every commit has to be found
    again on the branch, and where the branch only moved forward the forge has to say where it had been.
    """
    before = parents(checkout, request.merged)
    if len(before) > 1:
        return before[0]
    if not before:
        raise Refused("it is the first commit of all", "There is nothing to go back to")
    if request.merged == request.head:
        if COMMIT_ID.fullmatch(request.began) and checkout.is_ancestor(request.began, request.merged):
            return request.began
        raise Refused("the forge does not say which commits it brought to the branch", "Take it back by hand, with git")
    checkout.fetch_proposed(request.head, request.head_ref)
    own = own_commits(checkout, request.head, before[0], MOST_COMMITS)
    if len(own) <= 1 or patch_id(checkout, request.merged) != patch_id(checkout, own[-1]):
        return before[0]
    chain = first_parents(checkout, request.merged, len(own))
    if len(own) > MOST_COMMITS or [patch_id(checkout, each) for each in chain] != [
        patch_id(checkout, each) for each in own
    ]:
        raise Refused("its commits are not found one by one on the branch", "Take it back by hand, with git")
    beginning = parents(checkout, chain[0])
    if len(beginning) != 1:
        raise Refused("its commits are not found one by one on the branch", "Take it back by hand, with git")
    return beginning[0]
