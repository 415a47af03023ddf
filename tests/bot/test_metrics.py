"""What Prometheus reads of the web process under its real server, and who else may not."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
from pathlib import Path

import httpx
import redis
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from sandbox.processes import wait_until
from sandbox.redis_server import RedisServer
from tests.bot.web import web
from worker.domain.messages import (
    COMMITS_QUEUE,
    INTAKE_QUEUE,
    PREVIEWS_QUEUE,
    PROPOSALS_QUEUE,
    REGISTRIES_QUEUE,
    REPORTS_QUEUE,
    WRITES_QUEUE,
    applies_queue,
)

FORGES = """
clusters: [{name: blue}]
forges:
  - {name: github, token: {env: HOOK}, webhook-secret: {env: HOOK}}
"""
TOKEN = "only-prometheus-knows-this-one"


def read(text: str) -> dict[str, Metric]:
    """The families by name; raises where it is not Prometheus' text format."""
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(families: dict[str, Metric], name: str, **labels: str) -> float | None:
    """One sample's value, None where there is none."""
    return next(
        (
            sample.value
            for family in families.values()
            for sample in family.samples
            if sample.name == name and sample.labels == labels
        ),
        None,
    )


def deliver(address: str, forge: str, body: bytes, *, signed: bool = True) -> int:
    signature = hmac.new(b"h" * 32, body, hashlib.sha256).hexdigest() if signed else "0" * 64
    headers = {
        "Content-Type": "application/json", "X-GitHub-Event": "push", "X-GitHub-Delivery": "1",
        "X-Hub-Signature-256": f"sha256={signature}",
    }  # fmt: skip
    return httpx.post(f"{address}/webhooks/{forge}", content=body, headers=headers).status_code


def test_the_figures_are_prometheus_s_text_and_count_what_came_of_each_delivery(
    tmp_path: Path, empty_redis: str
) -> None:
    push = json.dumps({"ref": "refs/heads/main", "repository": {"full_name": "acme/shop"}}).encode()
    with web(tmp_path, empty_redis, FORGES, forge="github") as running:
        assert deliver(running.address, "github", push) == 202
        assert deliver(running.address, "github", push) == 200
        assert deliver(running.address, "github", push, signed=False) == 401
        assert deliver(running.address, "no-such-%7B%7D%0A", push) == 404
        answer = httpx.get(f"{running.address}/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    found = read(answer.text)
    outcomes = {
        (each.labels["forge"], each.labels["outcome"]): each.value
        for each in found["plumbline_deliveries"].samples
        if each.name.endswith("_total")
    }
    assert outcomes == {
        ("github", "queued"): 1, ("github", "duplicate"): 1, ("github", "refused-401"): 1, ("unknown", "refused-404"): 1,
    }  # fmt: skip
    assert value(found, "plumbline_delivery_seconds_count") == 4
    assert value(found, "plumbline_redis_up") == 1
    queues = {each.labels["queue"]: each.value for each in found["plumbline_queue_jobs"].samples}
    others = (
        REPORTS_QUEUE,
        WRITES_QUEUE,
        COMMITS_QUEUE,
        REGISTRIES_QUEUE,
        PREVIEWS_QUEUE,
        PROPOSALS_QUEUE,
        applies_queue("blue"),
    )
    assert queues == {INTAKE_QUEUE: 1, **dict.fromkeys(others, 0)}
    assert "acme" not in answer.text
    assert "h" * 32 not in answer.text


def test_a56_without_a_token_only_this_machine_itself_reads_them_and_no_proxy_for_others(
    tmp_path: Path, empty_redis: str
) -> None:
    with web(tmp_path, empty_redis, FORGES, forge="github") as running:
        assert httpx.get(f"{running.address}/metrics").status_code == 200
        for name in ("X-Forwarded-For", "Forwarded", "Via"):
            answer = httpx.get(f"{running.address}/metrics", headers={name: "127.0.0.1"})
            assert answer.status_code == 404
            assert "plumbline_" not in answer.text


def test_a56_with_a_token_nobody_else_reads_them_and_the_refusal_says_nothing(tmp_path: Path, empty_redis: str) -> None:
    more = FORGES + "metrics-token: {env: METRICS}\n"
    with web(tmp_path, empty_redis, more, forge="github", METRICS=TOKEN) as running:
        for given in ("", TOKEN, f"Bearer {TOKEN[:-1]}", f"bearer {TOKEN}x", "Bearer", f"Basic {TOKEN}"):
            answer = httpx.get(f"{running.address}/metrics", headers={"Authorization": given} if given else {})
            assert answer.status_code == 404, given
            assert "plumbline_" not in answer.text
            assert TOKEN not in answer.text
        good = httpx.get(f"{running.address}/metrics", headers={"Authorization": f"Bearer {TOKEN}", "Via": "a proxy"})
        assert value(read(good.text), "plumbline_redis_up") == 1
        assert TOKEN not in running.log.read_text()


def test_f05_a_redis_that_is_away_is_a_figure_and_not_an_error(tmp_path: Path) -> None:
    own = RedisServer(tmp_path / "redis")
    try:
        with contextlib.closing(redis.Redis.from_url(own.url)) as connection:
            assert connection.ping()
        with web(tmp_path, own.url, FORGES, forge="github") as running:
            own.server.kill()
            answer = httpx.get(f"{running.address}/metrics", timeout=10)
            assert answer.status_code == 200
            assert value(read(answer.text), "plumbline_redis_up") == 0
            assert not read(answer.text)["plumbline_queue_jobs"].samples
            own.server.restart()
            wait_until(
                lambda: value(read(httpx.get(f"{running.address}/metrics").text), "plumbline_redis_up") == 1,
                10,
                "it is up",
            )
    finally:
        own.stop()
