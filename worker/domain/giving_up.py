"""What is said of a job that no worker survived."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from worker.domain.messages import SCHEMA, checked, job_name


@dataclass(frozen=True, slots=True)
class GiveUp:
    """A job that no worker survived: its function, its message, the id to look for in the logs, and how often it was tried."""

    job: str
    message: Mapping[str, Any]
    reference: str
    tries: int

    @property
    def job_id(self) -> str:
        """The id of its job."""
        return f"give-up-{job_name(self.reference)}"

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number."""
        return {"schema": SCHEMA, **asdict(self), "message": dict(self.message)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> GiveUp:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = checked(value)
        return GiveUp(value["job"], value["message"], value["reference"], value["tries"])
