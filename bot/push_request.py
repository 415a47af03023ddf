"""What web asks of the bot's process: that a command is carried out which came as an option of a push."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from worker.domain.messages import SCHEMA, checked


@dataclass(frozen=True, slots=True)
class PushedCommand:
    """A command as a line of the grammar, and the ticket with which the hook waits for its answer.

    `by` is who pushed, as the hook that signed it knows it (empty: not known). `at` is the Unix time of the asking.
    """

    ticket: str
    repository: str
    line: str
    by: str
    at: float

    @property
    def job_id(self) -> str:
        """The id of its job: a ticket is carried out once."""
        return f"pushed-{self.ticket}"

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number."""
        return {"schema": SCHEMA, **asdict(self)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> PushedCommand:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = dict(checked(value))
        del value["schema"]
        return PushedCommand(**value)
