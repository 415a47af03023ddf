"""Alerts as the bot's process delivers them, by real queues to real receivers: at least once, never held up by each other."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from rq.job import Job
from rq.serializers import JSONSerializer

from bot import alerts as sending
from bot.board import Board
from bot.deliveries import Deliveries, Undelivered
from bot.desk import Desk
from bot.queue import SendRequest
from bot.settings import Settings
from plumbline.local_system import ROOT, LocalSystem, procfile
from sandbox.processes import Server, stop_all, wait_until
from tests.bot.divergences import BEGAN, SCALED, fact, said
from tests.bot.web import TOKEN, web
from tests.doubles.receiver import SECRET, Receiver, answering, receiving
from worker.domain.divergence import EpisodeReport, told_news_key
from worker.domain.environment import Mode
from worker.domain.episodes import Event
from worker.domain.errors import Unavailable
from worker.domain.messages import DELIVER, REPORTS_QUEUE, alerts_queue
from worker.domain.reports import ConvergenceReport, Step
from worker.domain.secret_text import SettingsError
from worker.queue_worker import BACKOFF_SECONDS
from worker.signed_queue import SignedQueue

APP = """\
address: http://127.0.0.1:1
redis: {env: PLUMBLINE_REDIS_URL}
signing-key: {env: SIGNING}
repositories:
  - {name: shop, url: /srv/shop.git, secret: {env: HOOK}, ceiling: {}}
"""


@dataclass
class Bot:
    """The bot's process, and the worker's end of its queue."""

    folder: Path
    environ: dict[str, str]
    queue: SignedQueue
    server: Server | None = None
    told: int = 0

    def start(self) -> None:
        """Starts it."""
        command = ["/bin/sh", "-c", f"exec {procfile()['bot']}"]
        self.server = Server(
            "bot", command, self.folder / "bot.log", environ=self.environ, directory=ROOT, begin=LocalSystem.begin
        )

    def stop(self) -> None:
        """Kills it."""
        if self.server is not None:
            stop_all([self.server])

    def report(self, report: ConvergenceReport | EpisodeReport) -> None:
        """Says something as a worker does."""
        self.told += 1
        self.queue.enqueue(REPORTS_QUEUE, DELIVER, report.to_json(), job_id=f"report-{self.told}")

    @property
    def log(self) -> str:
        return (self.folder / "bot.log").read_text()

    @property
    def deliveries(self) -> Deliveries:
        return Deliveries(self.queue.connection)

    def is_told(self, report: EpisodeReport) -> bool:
        found = self.queue.connection.get(told_news_key(report.repository, report.environment))
        return bool(found == report.news.name.encode())


StartBot = Callable[[str], Bot]


@pytest.fixture
def bot(tmp_path: Path, empty_redis: str) -> Iterator[StartBot]:
    """Starts the bot with `alerts` in its app.yaml."""
    started: list[Bot] = []

    def start(alerts: str) -> Bot:
        (tmp_path / "app.yaml").write_text(APP + alerts)
        environ = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PLUMBLINE_CONFIG": str(tmp_path / "app.yaml"),
            "PLUMBLINE_REDIS_URL": empty_redis,
            "SIGNING": "k" * 32,
            "HOOK": "h" * 32,
            "KEY": SECRET,
        }
        made = Bot(tmp_path, environ, SignedQueue(empty_redis, b"k" * 32))
        started.append(made)
        made.start()
        return made

    yield start
    for each in started:
        each.stop()
        each.queue.connection.close()


def alerts(*receivers: tuple[str, Receiver], routes: str = "") -> str:
    lines = [
        f'    - {{name: {name}, webhook: "http://127.0.0.1:{each.port}/", secret: {{env: KEY}}, networks: [127.0.0.0/8]}}'
        for name, each in receivers
    ]
    return "\n".join(["alerts:", "  receivers:", *lines, routes, ""])


def types(receiver: Receiver) -> list[str]:
    return [each["type"].removeprefix("io.plumbline.") for each in receiver.events]


def test_a_story_is_told_to_each_receiver_once_by_its_routes(bot: StartBot) -> None:
    with receiving() as ops, receiving() as all_of_it:
        routes = "  routes:\n    - {receivers: [ops], types: [diff, fight, failed], severity: warning}\n    - {receivers: [all]}"
        running = bot(alerts(("ops", ops), ("all", all_of_it), routes=routes))
        opened, closed = said(Event.OPENED, SCALED), said(Event.CONVERGED, after=870)
        reminder = said(Event.REMINDER, SCALED, after=860, reminded=BEGAN + 860)
        story: list[ConvergenceReport | EpisodeReport] = [
            fact(Step.CONVERGING, "3f9c2ab", after=0.0), fact(Step.VERIFIED), fact(Step.CONVERGED),
            said(Event.NOTICED, SCALED, after=0), opened, said(Event.CHANGED, SCALED), reminder,
            said(Event.CLOSING, after=865), closed,
        ]  # fmt: skip
        for report in [*story, *story[4:], opened]:
            running.report(report)
        wait_until(lambda: len(all_of_it.bodies) >= 5 and len(ops.bodies) >= 2, 30, "everybody is told")
        wait_until(lambda: not running.queue.length(REPORTS_QUEUE) and running.is_told(opened), 30, "all is delivered")
        assert sorted(types(all_of_it)) == ["change-committed", "converged", "converged", "diff", "diff"]
        assert sorted(types(ops)) == ["diff", "diff"], "neither doubled nor what no route leads to"
        ids = [each["id"] for each in all_of_it.events]
        assert len(set(ids)) == 5
        counts = running.deliveries.counts()
        assert counts == {("all", "delivered"): 5, ("ops", "delivered"): 2}
        assert "canary" not in running.log
        assert SECRET not in running.log


def test_an_environment_that_is_only_observed_alerts_nobody(bot: StartBot) -> None:
    with receiving() as ops:
        running = bot(alerts(("ops", ops)))
        for event in (Event.OPENED, Event.FIGHT, Event.REMINDER, Event.CONVERGED):
            running.report(said(event, SCALED, mode=Mode.OBSERVE, quarrel="x"))
        last = said(Event.OPENED, SCALED, after=900)
        running.report(replace(last, environment="staging"))
        wait_until(lambda: bool(ops.bodies), 30, "the other one is told of")
        assert [each["subject"] for each in ops.events] == ["shop/staging"]


def test_a61_who_is_slow_keeps_nobody_else_waiting(bot: StartBot) -> None:
    gate = threading.Event()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        gate.wait(30)
        answering(204)(handler)

    with receiving(slow) as stuck, receiving() as quick:
        running = bot(alerts(("stuck", stuck), ("quick", quick)))
        try:
            for number in range(6):
                running.report(replace(said(Event.OPENED, SCALED), environment=f"e{number}"))
            wait_until(lambda: len(quick.bodies) == 6, 20, "the quick one is told")
            assert len(stuck.bodies) <= 5, "the slow one is told one after the other"
            assert running.deliveries.counts().get(("stuck", "delivered"), 0) == 0
        finally:
            gate.set()


def test_a61_who_is_down_is_told_later_also_by_another_process(bot: StartBot) -> None:
    with receiving(answering(503, Retry_After="1")) as ops:
        running = bot(alerts(("ops", ops)))
        opened = said(Event.OPENED, SCALED)
        running.report(opened)
        wait_until(lambda: running.deliveries.counts().get(("ops", "failed")) == 1, 30, "it was tried in vain")
        assert running.is_told(opened), "the worker need not say it again: it is kept here"
        running.stop()
        ops.behave = None
        running.start()
        wait_until(lambda: running.deliveries.counts().get(("ops", "delivered")) == 1, 40, "it is told after all")
        assert len(ops.events) == 2
        assert ops.events[0] == ops.events[1], "the same event under the same id"
        assert not running.deliveries.undelivered()


@pytest.fixture
def desk(tmp_path: Path, empty_redis: str) -> Callable[[str], Desk]:
    """The desk of a bot, by its `alerts`."""

    def made(text: str) -> Desk:
        (tmp_path / "app.yaml").write_text(APP + text)
        environ = {"PLUMBLINE_CONFIG": str(tmp_path / "app.yaml"), "PLUMBLINE_REDIS_URL": empty_redis}
        environ |= {"SIGNING": "k" * 32, "HOOK": "h" * 32, "KEY": SECRET}
        return Desk.of(Settings.load(environ, with_credentials=True))

    return made


def request_of(desk: Desk) -> SendRequest:
    """What was asked for, taken from the queue of `ops`."""
    sending.announce(desk, said(Event.OPENED, SCALED))
    connection = desk.requests.queue.connection
    listed: Any = connection.lrange(f"rq:queue:{alerts_queue('ops')}", 0, -1)
    (job,) = (each.decode() for each in listed)
    found = Job.fetch(job, connection=connection, serializer=JSONSerializer)
    return SendRequest.from_json(json.loads(found.args[0]))


@pytest.mark.parametrize(("wait", "expected"), [("", 5.0), ("3", 5.0), ("90", 90.0)])
def test_each_try_waits_longer_and_never_less_than_the_receiver_asks_for(
    desk: Callable[[str], Desk], wait: str, expected: float
) -> None:
    with receiving(answering(429, Retry_After=wait)) as ops:
        made = desk(alerts(("ops", ops)))
        request = request_of(made)
        waits = []
        for _ in sending.WAITS:
            with pytest.raises(Unavailable) as raised:
                sending.send(made, request.to_json())
            waits.append(raised.value.retry_after or 0.0)
        assert waits[0] == expected
        assert waits == sorted(waits)
        assert not made.deliveries.undelivered()
        sending.send(made, request.to_json())
        (found,) = made.deliveries.undelivered()
        assert (found.receiver, found.alert_type, found.tries) == ("ops", "diff", len(sending.WAITS) + 1)
        assert found.why == "answered 429: not 2xx"
        tried = len(ops.bodies)
        sending.send(made, request.to_json())
        sending.announce(made, said(Event.OPENED, SCALED))
        assert len(ops.bodies) == tried, "what was given up is not tried again"
        assert len(made.deliveries.undelivered()) == 1
    assert len(sending.WAITS) < len(BACKOFF_SECONDS), "it is given up where it is said, not by the queue"


def test_a61_an_address_that_may_not_be_is_given_up_at_once_and_said(
    desk: Callable[[str], Desk], caplog: pytest.LogCaptureFixture
) -> None:
    with receiving() as inner:
        made = desk(
            f'alerts: {{receivers: [{{name: ops, webhook: "https://localhost:{inner.port}/", secret: {{env: KEY}}}}]}}\n'
        )
        sending.send(made, request_of(made).to_json())
        (found,) = made.deliveries.undelivered()
        assert "is a loopback address" in found.why
        assert inner.bodies == []
    assert "ALERT receiver=ops could not be told" in caplog.text


def test_what_was_not_delivered_is_on_the_first_page_and_in_the_figures(tmp_path: Path, empty_redis: str) -> None:
    with redis.Redis.from_url(empty_redis) as connection:
        ledger = Deliveries(connection)
        for repository in ("shop", "gone"):
            lost = Undelivered(
                "ops",
                f"diff-{repository}",
                "diff",
                repository,
                "production",
                BEGAN,
                8,
                "answered 500: not 2xx",
                "<b>Drifted</b>",
            )
            ledger.given_up(lost)
        Board(connection).record(fact(Step.CONVERGED))
    more = "pages: {token: {env: PAGES}}\n"
    with web(tmp_path, empty_redis, more) as running, running.signed_in() as client:
        page = client.get("/").text
        assert "Alerts that were not delivered" in page
        assert "answered 500: not 2xx; tried 8 times" in page
        assert "&lt;b&gt;Drifted" in page
        assert "gone/production" not in page, "only of repositories that the visitor sees"
        figures = httpx.get(f"{running.address}/metrics").text
        assert 'plumbline_alerts_total{outcome="undelivered",receiver="ops"} 2.0' in figures
    assert TOKEN not in page


@pytest.mark.parametrize("key", ["plain", "whsec_!!", "whsec_c2hvcnQ="])
def test_a02_a_secret_that_cannot_sign_is_refused_at_the_start(
    desk: Callable[[str], Desk], key: str, tmp_path: Path, empty_redis: str
) -> None:
    with receiving() as ops:
        desk(alerts(("ops", ops)))
    environ = {
        "PLUMBLINE_CONFIG": str(tmp_path / "app.yaml"),
        "PLUMBLINE_REDIS_URL": empty_redis,
        "SIGNING": "k" * 32,
        "HOOK": "h" * 32,
    }
    with pytest.raises(SettingsError, match=r"alerts\.ops\.secret") as raised:
        Settings.load({**environ, "KEY": key}, with_credentials=True)
    assert key not in str(raised.value).replace("whsec_%s", "")
    with pytest.raises(SettingsError, match="KEY is not set"):
        Settings.load(environ, with_credentials=True)
    assert Settings.load(environ).receiver_secrets == {}, "web signs nothing, and is not given the keys"
