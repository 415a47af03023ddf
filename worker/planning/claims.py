"""What only one object in the whole cluster can have: who wants it waits until its holder is pruned."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from worker.domain.plan import Action, Change
from worker.domain.resource import Resource, ResourceKey

TAKEN: Final = re.compile(r"provided (?:port|IP) is already allocated")
"""How the API server refuses a Service whose port or address another one has (registry/core/service)."""


def claims(resource: Resource) -> frozenset[str]:
    """The cluster-wide node ports and addresses that a Service names, as people would say them."""
    if resource.key.kind != "Service" or resource.key.group:
        return frozenset()
    spec = resource.body.get("spec")
    if not isinstance(spec, dict):
        return frozenset()
    ports = [port for port in spec.get("ports") or () if isinstance(port, dict)]
    found = {f"node port {port['nodePort']}/{port.get('protocol', 'TCP')}" for port in ports if port.get("nodePort")}
    found |= {f"address {spec['clusterIP']}"} if spec.get("clusterIP") not in (None, "", "None") else set()
    return frozenset(found)


def holder(
    wanting: Resource, prunes: Iterable[Change], live: Mapping[ResourceKey, Resource]
) -> tuple[Change, str] | None:
    """The object to be pruned that has what `wanting` claims, and what that is; None where there is none."""
    wanted = claims(wanting)
    for change in prunes:
        if wanted and change.action is Action.PRUNE and (both := wanted & claims(live[change.key])):
            return change, min(both)
    return None
