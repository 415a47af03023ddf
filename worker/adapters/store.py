"""Hints in Redis: which revision is wanted now, and what was predicted for it. Lost without loss."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import redis

from worker.domain.convergence import EnvironmentState
from worker.domain.divergence import told_news_key
from worker.domain.holdings import beside, holdings
from worker.domain.messages import (
    KEYS,
    PROPOSALS_KEY,
    ProposalRequest,
    proposal_field,
    shown_key,
    told_key,
)
from worker.domain.resource import ResourceKey
from worker.signed_queue import redis_answering

EVERYTHING: Final = "everything"
MOVED_SECONDS: Final = 3600
"""How long it is noted that an object moved; what is forgotten is seen by the next look at everything."""

SHOWN_SECONDS: Final = 3600
"""What holds an environment is shown so long without being seen again."""

PREDICTION_SECONDS: Final = 7 * 24 * 3600
RETOLD_SECONDS: Final = 600
"""An ending that nobody says was written back is reported again this often."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the prediction of one environment rests on: the objects (key -> version), and what stood for them then."""

    environment: str
    cluster: str
    namespace: str
    keys: Mapping[ResourceKey, str]
    seen: str


@dataclass(frozen=True, slots=True)
class OpenProposal:
    """A change request that was predicted, and what that rests on; `failed` where the cluster or Git did not answer."""

    request: ProposalRequest
    standing: tuple[Standing, ...]
    failed: bool = False


class Store:
    """The hints of one installation; `key` signs what another process will read back."""

    def __init__(self, connection: redis.Redis, key: bytes) -> None:
        self._connection = connection
        self._key = hmac.new(key, b"plumbline/hints", hashlib.sha256).digest()

    def wanted(self, repository: str, environment: str) -> str | None:
        """The newest revision that somebody announced; a hint that Git must confirm."""
        return self._text(f"{KEYS}:head:{repository}:{environment}")

    def remember_prediction(self, slug: str, revision: str, prediction: dict[str, Any]) -> None:
        """Keeps what a push was told (fingerprint, summary, time) until it is applied."""
        body = json.dumps(prediction, sort_keys=True)
        value = json.dumps({"body": body, "signature": self._sign(slug, revision, body)})
        with redis_answering():
            self._connection.set(f"{KEYS}:prediction:{slug}:{revision}", value, ex=PREDICTION_SECONDS)

    def prediction(self, slug: str, revision: str) -> dict[str, Any] | None:
        """What was predicted for a revision; None where nothing is known or what is there is not ours."""
        text = self._text(f"{KEYS}:prediction:{slug}:{revision}")
        if text is None:
            return None
        return self._opened(slug, revision, text)

    def remember_proposal(self, proposal: OpenProposal, now: float) -> None:
        """Keeps what a prediction rests on for a week, until it is made again or the bot drops it."""
        document = {
            "request": proposal.request.to_json(),
            "failed": proposal.failed,
            "until": now + PREDICTION_SECONDS,
            "standing": [
                [each.environment, each.cluster, each.namespace, each.seen, [[*key, v] for key, v in each.keys.items()]]
                for each in proposal.standing
            ],
        }
        body = json.dumps(document, separators=(",", ":"))
        name = proposal_field(proposal.request.repository, proposal.request.number)
        value = json.dumps({"body": body, "signature": self._sign(PROPOSALS_KEY, name, body)})
        with redis_answering():
            self._connection.hset(PROPOSALS_KEY, name, value)
            self._connection.expire(PROPOSALS_KEY, PREDICTION_SECONDS)

    def open_proposals(self, now: float) -> tuple[OpenProposal, ...]:
        """Everything that was predicted and may go stale; what expired or is not ours is dropped. Raises Unavailable."""
        with redis_answering():
            rows: Any = self._connection.hgetall(PROPOSALS_KEY)
        found = []
        for row_name, value in rows.items():
            document = self._opened(PROPOSALS_KEY, row_name.decode(errors="replace"), value.decode(errors="replace"))
            if document is None or document["until"] < now:
                self._connection.hdel(PROPOSALS_KEY, row_name)
                continue
            standing = tuple(
                Standing(name, cluster, namespace, {ResourceKey(*row[:4]): row[4] for row in keys}, seen)
                for name, cluster, namespace, seen, keys in document["standing"]
            )
            request = ProposalRequest.from_json(document["request"])
            found.append(OpenProposal(request, standing, document["failed"]))
        return tuple(found)

    def show(self, repository: str, state: EnvironmentState, name: str, now: float) -> None:
        """Shows the pages what holds an environment at a Unix time, and what lies beside Git there. Raises Unavailable."""
        shown = {"held": [each.to_json() for each in holdings(state, name, now)], "beside": beside(state)}
        with redis_answering():
            self._connection.set(shown_key(repository, name), json.dumps(shown), ex=SHOWN_SECONDS)

    def told(self, repository: str, environment: str) -> str | None:
        """The ending of an operation that the bot last wrote back; None where that is not known (any more)."""
        return self._text(told_key(repository, environment))

    def telling(self, repository: str, environment: str, ending: str) -> None:
        """Says that an ending is on its way to the bot, so that nobody else sends it for a while."""
        with redis_answering():
            self._connection.set(told_key(repository, environment), ending, ex=RETOLD_SECONDS)

    def told_news(self, repository: str, environment: str) -> str | None:
        """The name of the news of an episode that the bot last delivered; None where that is not known (any more)."""
        return self._text(told_news_key(repository, environment))

    def note_moved(self, slug: str, keys: Iterable[ResourceKey]) -> None:
        """Notes objects of an environment that the next look at it has to see; none notes all of them. Raises Unavailable."""
        names = [json.dumps(key) for key in keys] or [EVERYTHING]
        with redis_answering():
            self._connection.sadd(_moved(slug), *names)
            self._connection.expire(_moved(slug), MOVED_SECONDS)

    def take_moved(self, slug: str) -> frozenset[ResourceKey] | None:
        """What was noted since it was last taken; None where everything is to be looked at, or nothing is known (any more)."""
        with redis_answering():
            pipeline = self._connection.pipeline()
            pipeline.smembers(_moved(slug))
            pipeline.delete(_moved(slug))
            names: set[bytes] = pipeline.execute()[0]
        found: set[ResourceKey] = set()
        for name in names:
            try:
                group, kind, namespace, own = json.loads(name)
            except (ValueError, TypeError, RecursionError):
                return None
            found.add(ResourceKey(str(group), str(kind), str(namespace), str(own)))
        return frozenset(found) or None

    def _opened(self, slug: str, revision: str, text: str) -> dict[str, Any] | None:
        """What was signed under two names; None for anything that was not."""
        try:
            value = json.loads(text)
            body = str(value["body"])
            if hmac.compare_digest(str(value["signature"]), self._sign(slug, revision, body)):
                found: dict[str, Any] = json.loads(body)
                return found
        except (ValueError, KeyError, TypeError):
            pass
        return None

    def _text(self, key: str) -> str | None:
        try:
            found = self._connection.get(key)
        except redis.RedisError:
            return None
        return found.decode(errors="replace") if isinstance(found, bytes) else None

    def _sign(self, slug: str, revision: str, body: str) -> str:
        return hmac.new(self._key, "\0".join((slug, revision, body)).encode(), hashlib.sha256).hexdigest()


def _moved(slug: str) -> str:
    return f"{KEYS}:moved:{slug}"
