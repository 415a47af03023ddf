"""Judged changes made into one plan."""

from __future__ import annotations

from collections.abc import Iterable

from worker.domain.plan import Change, Plan
from worker.planning.fingerprint import fingerprint
from worker.planning.ordering import prune_order


def assemble(
    environment: str,
    revision: str,
    judged: Iterable[Change],
    prunes: Iterable[Change],
    warnings: Iterable[str],
    key: bytes,
) -> Plan:
    """The plan: changes in the order given (apply order), then prunes in the order in which they would happen.

    `environment` names it in the fingerprint, `key` signs that.
    """
    by_key = {change.key: change for change in prunes}
    ordered = [by_key[pruned] for group in prune_order(by_key) for pruned in group]
    changes = (*judged, *ordered)
    return Plan(environment, revision, changes, tuple(warnings), fingerprint(key, environment, changes))
