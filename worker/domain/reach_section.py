"""`allow-private` and `networks` of a section of app.yaml: which addresses besides public ones may be connected to."""

from __future__ import annotations

from worker.domain.alerting import Network, Reach, networks_of
from worker.domain.schema import Section


def read_reach(section: Section) -> Reach:
    """What the two keys open; mistakes are noted, and open nothing."""
    return Reach(section.flag("allow-private", default=False), _networks(section))


def _networks(section: Section) -> tuple[Network, ...]:
    texts = section.texts("networks") or ()
    try:
        return networks_of(texts)
    except ValueError as error:
        section.problem("networks", f"`networks`: {error}", "write networks like 10.1.0.0/16")
        return ()
