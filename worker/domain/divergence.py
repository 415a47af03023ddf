"""What is asked and said about divergences: look at what was applied, or leave it, and one event of one episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from worker.domain.environment import Mode
from worker.domain.episodes import News
from worker.domain.messages import KEYS, SCHEMA, checked, job_name


@dataclass(frozen=True, slots=True)
class ObserveRequest:
    """Look whether an environment is still what its applied commit says: at the objects that are noted as moved, or at all."""

    repository: str
    environment: str
    cluster: str

    @property
    def job_ids(self) -> tuple[str, str]:
        """The ids of its job: one runs, and one may wait that will see what has moved since."""
        name = job_name(self.repository, self.environment)
        return f"observe-{name}-a", f"observe-{name}-b"

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number."""
        return {"schema": SCHEMA, **asdict(self)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ObserveRequest:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = checked(value)
        return ObserveRequest(value["repository"], value["environment"], value["cluster"])


def told_news_key(repository: str, environment: str) -> str:
    """Where the bot notes which news of an environment's episodes it delivered last."""
    return f"{KEYS}:told-news:{repository}:{environment}"


@dataclass(frozen=True, slots=True)
class LeaveRequest:
    """Leave an environment of one cluster that no branch declares any more; what a branch does declare stays as it is."""

    repository: str
    environment: str
    cluster: str

    @property
    def job_id(self) -> str:
        """The id of its job: one at a time."""
        return f"leave-{job_name(self.repository, self.environment, self.cluster)}"

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number."""
        return {"schema": SCHEMA, **asdict(self)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> LeaveRequest:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = checked(value)
        return LeaveRequest(value["repository"], value["environment"], value["cluster"])


@dataclass(frozen=True, slots=True)
class EpisodeReport:
    """One event of one episode, said at least once; `news.name` tells it from every other.

    `revision` is the applied commit on `branch` that the cluster is compared with, `mode` what the environment wants done about
    it, `next_at` when something happens by itself again (a heal, a reminder; a Unix time, 0 where nothing does). `seconds` counts
    from when the difference was first seen to the event.
    """

    repository: str
    environment: str
    branch: str
    revision: str
    mode: Mode
    news: News
    next_at: float = 0.0

    @property
    def seconds(self) -> float:
        """How long the episode has lasted at the event."""
        return max(0.0, self.news.at - self.news.episode.since)

    @property
    def sequence(self) -> int:
        """Milliseconds of Unix time: later events have a greater one."""
        return int(self.news.at * 1000)

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number and the message's type; secrets are masked."""
        return {
            "schema": SCHEMA,
            "type": "episode",
            "repository": self.repository,
            "environment": self.environment,
            "branch": self.branch,
            "revision": self.revision,
            "mode": str(self.mode),
            "news": self.news.to_json(),
            "next_at": self.next_at,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> EpisodeReport:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = checked(value)
        return EpisodeReport(
            value["repository"],
            value["environment"],
            value["branch"],
            value["revision"],
            Mode(value["mode"]),
            News.from_json(value["news"]),
            value["next_at"],
        )
