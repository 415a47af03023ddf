"""/metrics: what Prometheus asks the web process: deliveries, how fast they were answered, and how long the queues are."""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
from collections.abc import Iterator
from typing import Final

from flask import Blueprint, Response, abort, current_app, request
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from bot.deliveries import Deliveries
from bot.settings import Settings
from worker.domain.errors import Unavailable
from worker.domain.installation import Installation
from worker.domain.messages import (
    COMMITS_QUEUE,
    INTAKE_QUEUE,
    PREVIEWS_QUEUE,
    PROPOSALS_QUEUE,
    REGISTRIES_QUEUE,
    REPORTS_QUEUE,
    WRITES_QUEUE,
    alerts_queue,
    applies_queue,
)
from worker.signed_queue import SignedQueue

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 10.0)

metrics = Blueprint("metrics", __name__)


class _Queues:
    """The queues' lengths, read when they are asked for; whether Redis answers."""

    def __init__(self, queue: SignedQueue, names: tuple[str, ...]) -> None:
        self._queue = queue
        self._names = names

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges."""
        up = GaugeMetricFamily("plumbline_redis_up", "Whether Redis answers.")
        waiting = GaugeMetricFamily("plumbline_queue_jobs", "Jobs that wait, by queue.", labels=["queue"])
        try:
            for name in self._names:
                waiting.add_metric([name], self._queue.length(name))
            up.add_metric([], 1)
        except Unavailable:
            up.add_metric([], 0)
        yield up
        yield waiting


class _Alerts:
    """What became of alerts, which the bot counts in Redis."""

    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The counter."""
        found = CounterMetricFamily(
            "plumbline_alerts",
            "Alerts by receiver: delivered, failed (a try came to nothing), undelivered (given up).",
            labels=["receiver", "outcome"],
        )
        with contextlib.suppress(Unavailable):
            for labels, number in sorted(self._deliveries.counts().items()):
                found.add_metric(labels, number)
        yield found


class Metrics:
    """The web process' figures."""

    def __init__(self, installation: Installation, queue: SignedQueue) -> None:
        self.registry = CollectorRegistry()
        clusters = tuple(applies_queue(cluster.name) for cluster in installation.clusters)
        receivers = tuple(alerts_queue(receiver.name) for receiver in installation.alerts.receivers)
        names = (
            INTAKE_QUEUE, REPORTS_QUEUE, WRITES_QUEUE, COMMITS_QUEUE, REGISTRIES_QUEUE, PREVIEWS_QUEUE, PROPOSALS_QUEUE,
            *clusters, *receivers,
        )  # fmt: skip
        self.registry.register(_Queues(queue, names))
        self.registry.register(_Alerts(Deliveries(queue.connection)))
        self._deliveries = Counter(
            "plumbline_deliveries", "Deliveries, by what came of them.", ["forge", "outcome"], registry=self.registry
        )
        self._seconds = Histogram(
            "plumbline_delivery_seconds", "From a delivery's first byte to its answer.", registry=self.registry,
            buckets=BUCKETS,
        )  # fmt: skip

    def delivery(self, forge: str, outcome: str, seconds: float) -> None:
        """Counts a delivery; `forge` is one of app.yaml's or `unknown`."""
        self._deliveries.labels(forge, outcome).inc()
        self._seconds.observe(seconds)

    def text(self) -> bytes:
        """All figures as Prometheus reads them."""
        return generate_latest(self.registry)


@metrics.get("/metrics")
def show() -> Response:
    """The figures, for who has the token; where there is none, for this machine itself and nobody whom a proxy speaks for."""
    settings, figures = _figures()
    if not _may_read(settings):
        abort(404)
    return Response(figures.text(), content_type=CONTENT_TYPE)


def _figures() -> tuple[Settings, Metrics]:
    figures: tuple[Settings, Metrics] = current_app.extensions["plumbline-metrics"]
    return figures


def _may_read(settings: Settings) -> bool:
    if settings.metrics_token is not None:
        expected = b"Bearer " + settings.metrics_token.opened_bytes()
        return hmac.compare_digest(request.headers.get("Authorization", "").encode(errors="replace"), expected)
    is_forwarded = any(name in request.headers for name in ("Forwarded", "X-Forwarded-For", "Via"))
    peer = request.remote_addr
    return not is_forwarded and peer is not None and ipaddress.ip_address(peer).is_loopback
