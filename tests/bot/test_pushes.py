"""The hooks' door: nothing is believed before its signature, nothing is read beyond its size."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from bot.app import create_app
from bot.board import Board
from bot.queue import Requests
from bot.settings import Settings
from bot.tickets import CommandOutcome, Said, Tickets
from worker.domain.environment import Ceiling
from worker.domain.installation import Cluster, Installation, Repository
from worker.domain.messages import (
    COMMITTED,
    INTAKE_QUEUE,
    NO_COMMIT,
    PREVIEWS_QUEUE,
    REPORTS_QUEUE,
    Committed,
    RefUpdate,
)
from worker.domain.plan import Action, Change, FieldChange, Plan
from worker.domain.reports import EnvironmentPreview, Outcome, PreviewReport
from worker.domain.resource import ResourceKey
from worker.domain.secret_text import SecretReference, SecretText, SettingsError
from worker.installation_files import secret
from worker.signed_queue import SignedQueue

SECRET = "s" * 32
OLD, NEW = "1" * 40, "2" * 40
UPDATES = [{"ref": "refs/heads/main", "old": OLD, "new": NEW}]


@pytest.fixture
def queue(redis_url: str) -> Iterator[SignedQueue]:
    made = SignedQueue(redis_url, b"k" * 32)
    made.connection.flushall()
    yield made
    made.connection.close()


@pytest.fixture
def client(redis_url: str, queue: SignedQueue) -> FlaskClient:
    repositories = tuple(
        Repository(name, "/srv/x.git", SecretReference(env="X"), ceiling=Ceiling()) for name in ("shop", "other")
    )
    installation = Installation(
        "http://127.0.0.1:1", SecretReference(env="R"), SecretReference(env="S"), (Cluster("one"),), repositories
    )
    secrets = {"shop": SecretText(SECRET), "other": SecretText("o" * 32)}
    return create_app(Settings(installation, SecretText(redis_url), SecretText("k" * 32), secrets)).test_client()


def signed(
    path: str, body: bytes, *, repository: str = "shop", secret: str = SECRET, at: float | None = None
) -> dict[str, str]:
    stamp = str(int(at or time.time()))
    text = "\n".join(("POST", path, stamp, repository, hashlib.sha256(body).hexdigest()))
    signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    return {
        "Plumbline-Repository": repository,
        "Plumbline-Timestamp": stamp,
        "Plumbline-Signature": f"sha256={signature}",
    }


BODY = json.dumps({"updates": UPDATES, "at": 1.0}).encode()
PATH = "/pushes/committed"


def test_a04_f01_a_signed_alert_becomes_one_job_however_often_it_comes(client: FlaskClient, queue: SignedQueue) -> None:
    for _ in range(100):
        assert client.post(PATH, data=BODY, headers=signed(PATH, BODY)).status_code == 202
    assert queue.connection.llen(f"rq:queue:{INTAKE_QUEUE}") == 1
    (job,) = queue.connection.lrange(f"rq:queue:{INTAKE_QUEUE}", 0, -1)
    assert isinstance(job, bytes)
    assert queue.connection.hget(f"rq:job:{job.decode()}", "description") == COMMITTED.encode()


def test_an_alert_with_another_approval_is_another_job_and_the_same_one_is_not(queue: SignedQueue) -> None:
    requests, plain = Requests(queue), Committed("shop", (RefUpdate("refs/heads/main", NO_COMMIT, "a" * 40),), 1.0)
    for approvals, jobs in (((), 1), (("one",), 2), (("two",), 3), (("one", "two"), 4), (("two", "one"), 4), ((), 4)):
        requests.committed(replace(plain, approvals=approvals))
        assert queue.connection.llen(f"rq:queue:{INTAKE_QUEUE}") == jobs, approvals
    requests.committed(replace(plain, approvals=("one",), by="ada"))
    assert queue.connection.llen(f"rq:queue:{INTAKE_QUEUE}") == 5, "whose word it is matters"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        signed(PATH, BODY, secret="x" * 32),
        signed(PATH, BODY, repository="other"),
        signed(PATH, BODY, repository="nowhere"),
        signed(PATH, BODY, at=1.0),
        signed(PATH, BODY, at=time.time() - 3600),
        signed(PATH, BODY, at=time.time() + 3600),
        signed("/pushes/preview", BODY),
        signed(PATH, BODY + b" "),
        {**signed(PATH, BODY), "Plumbline-Signature": "sha256=\xff"},
        {**signed(PATH, BODY), "Plumbline-Timestamp": "soon"},
    ],
    ids=[
        "none",
        "another secret",
        "another repository's",
        "no repository",
        "old",
        "an hour ago",
        "in an hour",
        "another path",
        "another body",
        "garbage",
        "no time",
    ],
)
def test_a06_what_is_not_signed_by_the_repository_now_is_refused_without_a_word(
    client: FlaskClient, queue: SignedQueue, headers: dict[str, str]
) -> None:
    answer = client.post(PATH, data=BODY, headers=headers)
    assert answer.status_code == 403
    assert answer.get_json() == {"error": "Forbidden"}
    assert queue.connection.llen(f"rq:queue:{INTAKE_QUEUE}") == 0


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"updates": [{}]}', 400),
        (b'{"updates": [{"ref": "a", "old": "HEAD", "new": "x"}]}', 400),
        (b"x" * (10 << 20), 413),
        (b'{"updates": ' + b"[" * 100_000, 400),
        (b'{"updates": [], "updates": []}', 400),
        (b'{"updates": [], "at": NaN}', 400),
        ('{"updates": [], "at": "é"}'.encode("utf-16"), 400),
        (b"\xef\xbb\xbf{}", 400),
    ],
    ids=[
        "empty", "not JSON", "a list", "nothing", "no ids", "names for ids", "too large", "too deep", "a key twice",
        "not a number", "UTF-16", "a byte order mark",
    ],
)  # fmt: skip
def test_a07_a09_a_body_of_another_shape_or_size_is_refused(client: FlaskClient, body: bytes, code: int) -> None:
    assert client.post(PATH, data=body, headers=signed(PATH, body)).status_code == code


BODIES = {
    "/pushes/committed": {
        "updates": UPDATES, "at": 1.0, "declaration": {"main": "environments: []"}, "approvals": ["1a2b3c4d"], "by": "ada",
    },
    "/pushes/preview": {"updates": UPDATES, "seconds": 0.01, "approvals": ["1a2b3c4d"], "colour": True},
    "/pushes/stream": {
        "cursor": {"revisions": {NEW: "0"}, "expected": {NEW: ["production"]}, "ended": {NEW: ["production"]}},
        "colour": False, "patient": True,
    },
    "/pushes/commands": {"lines": ["/status production"], "by": "ada", "tickets": ["b" * 32]},
    "/pushes/answer": {"ticket": "a" * 32},
}  # fmt: skip
ODD: tuple[Any, ...] = (None, "x", "x" * 1_000_000, -1, 1e300, [], {}, [[1]], {"a": {"b": 1}}, True)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document."""
    if path:
        yield path
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members:
        yield from places(member, (*path, name))


def changed(document: Any, path: tuple[Any, ...], odd: Any) -> Any:
    """A copy of a document with something odd in one place."""
    copied = json.loads(json.dumps(document))
    spot = copied
    for name in path[:-1]:
        spot = spot[name]
    spot[path[-1]] = odd
    return copied


@pytest.mark.parametrize("path", BODIES)
def test_a10_a_signed_request_with_anything_odd_in_any_place_never_ends_in_an_internal_error(
    client: FlaskClient, queue: SignedQueue, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.pushes.STREAM_BLOCK_MS", 1)
    monkeypatch.setattr("bot.pushes.LONGEST_WAIT", 0.05)  # what an odd number of seconds comes to
    for served, process in ((PREVIEWS_QUEUE, "worker"), (REPORTS_QUEUE, "bot"), (INTAKE_QUEUE, "bot")):
        runs(queue, served, process)
    tried = 0
    for place in places(BODIES[path]):
        for odd in ODD:
            body = json.dumps(changed(BODIES[path], place, odd)).encode()
            answer = client.post(path, data=body, headers=signed(path, body))
            assert answer.status_code in (200, 202, 400), (place, str(odd)[:20], answer.get_json())
            tried += 1
    assert tried >= len(ODD)


def runs(queue: SignedQueue, served: str, process: str) -> None:
    """Says in Redis that a process listens to a queue, as RQ does, beside one that is gone."""
    queue.connection.sadd(f"rq:workers:{served}", "rq:worker:gone", f"rq:worker:{process}")
    queue.connection.hset(f"rq:worker:{process}", "birth", "now")


def test_a_preview_that_nobody_answers_is_unknown_and_not_accepted(client: FlaskClient, queue: SignedQueue) -> None:
    def asked() -> tuple[int, dict[str, object]]:
        body = json.dumps({"updates": UPDATES, "seconds": 0.2}).encode() + b"\npack"
        answer = client.post("/pushes/preview", data=body, headers=signed("/pushes/preview", body))
        return answer.status_code, answer.get_json()

    for served, process in ((PREVIEWS_QUEUE, "worker"), (REPORTS_QUEUE, "bot")):
        status, answer = asked()
        assert (status, "accept" in answer) == (503, False)
        assert answer["error"] == f"no {process} runs: `python -m {process}` of the Procfile is not there"
        runs(queue, served, process)
    assert asked() == (200, {"accept": None, "lines": []})


def test_a_command_is_a_job_with_a_ticket_by_which_only_its_answer_is_found(
    client: FlaskClient, queue: SignedQueue
) -> None:
    def post(path: str, document: dict[str, Any]) -> tuple[int, Any]:
        body = json.dumps(document).encode()
        answer = client.post(path, data=body, headers=signed(path, body))
        return answer.status_code, answer.get_json()

    first, second = "a" * 32, "b" * 32
    asked = {"lines": ["/hold production why", "/status"], "by": "ada", "tickets": [first, second]}
    for _ in range(3):  # a hook in doubt, or somebody who recorded it
        assert post("/pushes/commands", asked) == (202, {"tickets": [first, second]})
    queue.connection.delete(f"rq:job:pushed-{first}")  # as after its job is done and forgotten
    assert post("/pushes/commands", asked)[0] == 202
    assert queue.connection.llen(f"rq:queue:{INTAKE_QUEUE}") == 2
    answered = Said("`production` is [held](http://x/y): a \\*b\\* &lt;c&gt;", CommandOutcome.DONE)
    Tickets(queue.connection).say(first, answered)
    assert post("/pushes/answer", {"ticket": first})[1]["text"].startswith("production is held (http://x/y)")
    assert post("/pushes/answer", {"ticket": first})[1]["outcome"] == "done"
    waiting = (200, {"text": "", "outcome": "waiting"})
    assert post("/pushes/answer", {"ticket": second}) == waiting
    status, answer = post("/pushes/answer", {"ticket": second, "last": True})
    assert (status, answer["error"]) == (503, "no bot runs: `python -m bot` of the Procfile is not there")
    runs(queue, INTAKE_QUEUE, "bot")
    assert post("/pushes/answer", {"ticket": second, "last": True}) == waiting
    Tickets(queue.connection).say(second, Said("needs `write`", CommandOutcome.REFUSED))
    assert post("/pushes/answer", {"ticket": second}) == (200, {"text": "needs write", "outcome": "refused"})
    for wrong in (
        {**asked, "lines": []}, {**asked, "lines": ["/status"] * 11}, {**asked, "lines": ["x" * 601, "/status"]},
        {**asked, "tickets": ["c" * 32]}, {**asked, "tickets": ["c" * 32] * 2}, {**asked, "tickets": ["c" * 32, "C" * 32]},
        {"lines": ["/status"], "by": "ada"},
    ):  # fmt: skip
        assert post("/pushes/commands", wrong)[0] == 400
    assert queue.connection.llen(f"rq:queue:{INTAKE_QUEUE}") == 2


def test_a_push_gets_its_own_answer_as_lines(client: FlaskClient, queue: SignedQueue) -> None:
    import threading

    def answer_it() -> None:
        popped = queue.connection.blpop([f"rq:queue:{PREVIEWS_QUEUE}"], 3)
        assert isinstance(popped, list | tuple)
        assert isinstance(popped[1], bytes)
        job = popped[1].decode()
        change = Change(
            ResourceKey("", "ConfigMap", "ns", "c"), "v1", Action.CONFIGURE, "", (FieldChange("data.a", "1", "2"),)
        )
        plan = Plan("shop/production", NEW, (change,), (), "f" * 32)
        preview = EnvironmentPreview("production", Outcome.PLANNED, plan)
        Board(queue.connection).answer(PreviewReport(job.removeprefix("preview-"), "shop", (preview,)))

    thread = threading.Thread(target=answer_it)
    thread.start()
    body = json.dumps({"updates": UPDATES, "seconds": 5}).encode() + b"\npack"
    answer = client.post("/pushes/preview", data=body, headers=signed("/pushes/preview", body)).get_json()
    thread.join()
    assert answer["accept"] is True
    assert answer["lines"][0] == "plumbline  production  1111111..2222222"
    assert "data.a 1 -> 2" in answer["lines"][1]


def test_ready_says_whether_redis_answers(client: FlaskClient) -> None:
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200
    assert client.get("/nowhere").status_code == 404


@pytest.mark.parametrize("value", ["", None])
def test_a02_a_secret_that_is_missing_or_empty_stops_the_start(value: str | None, tmp_path: Path) -> None:
    environ = {} if value is None else {"SECRET": value}
    with pytest.raises(SettingsError, match="the environment variable SECRET is not set"):
        secret(SecretReference(env="SECRET"), "shop.secret", environ, tmp_path)
    if value is not None:
        (tmp_path / "secret").touch(mode=0o600)
    with pytest.raises(SettingsError, match=r"is empty|cannot read"):
        secret(SecretReference(file="secret"), "shop.secret", {}, tmp_path)
