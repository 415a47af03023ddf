"""What holds an environment, told again as long as it lasts: nothing is held for ever without being said.

Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from worker.domain.locks import Holding
from worker.domain.messages import SCHEMA, checked


@dataclass(frozen=True, slots=True)
class HoldReport:
    """A hold, a freeze or a plan that waits, told for the `times`th time, once each `period` seconds since it began.

    `revision` is the head of `branch`. What is said is the same whoever says it and when, so that said twice it is told once.
    """

    repository: str
    environment: str
    branch: str
    revision: str
    holding: Holding
    times: int
    period: float

    @property
    def at(self) -> float:
        """When it was due."""
        return self.holding.since + self.times * self.period

    @property
    def subject(self) -> str:
        """What tells the hold from every other one of its environment: what ends it, and when it began."""
        return f"{self.holding.release} {int(self.holding.since * 1000)}"

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number and the message's type."""
        return {"schema": SCHEMA, "type": "hold", **asdict(self)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> HoldReport:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = checked(value)
        return HoldReport(
            value["repository"],
            value["environment"],
            value["branch"],
            value["revision"],
            Holding(**value["holding"]),
            value["times"],
            value["period"],
        )


def times_due(since: float, period: float, now: float) -> int:
    """How often what holds since a Unix time is to be told by now: once for each whole period, and not when it begins."""
    return max(0, int((now - since) // period))
