"""What web asks of the bot's process: that a command is carried out for somebody who waits with a ticket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from worker.domain.messages import SCHEMA, checked


@dataclass(frozen=True, slots=True)
class TicketRequest:
    """A command as a line of the grammar; who asks was proven to web, what they may is asked when it is carried out.

    Who asks is a `token` of app.yaml by its name, or an account at `forge` by its `account` id and `login`. `number` is the
    change request that it is said of (0: none), `branch` where the environments are declared (empty: to be found). `at` is the
    Unix time of the asking.
    """

    ticket: str
    repository: str
    line: str
    at: float
    token: str = ""
    forge: str = ""
    account: str = ""
    login: str = ""
    number: int = 0
    branch: str = ""

    @property
    def job_id(self) -> str:
        """The id of its job: a ticket is carried out once."""
        return f"ticket-{self.ticket}"

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number."""
        return {"schema": SCHEMA, **asdict(self)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> TicketRequest:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = dict(checked(value))
        del value["schema"]
        return TicketRequest(**value)
