"""The door for webhooks, under the server that is shipped: raw sockets, real Redis, bodies signed here."""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import hmac
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from plumbline.local_system import ROOT, procfile
from sandbox.processes import free_port, wait_until
from worker.domain.messages import INTAKE_QUEUE

SECRET = "s" * 32
APP = """\
redis: {{env: PLUMBLINE_REDIS_URL}}
signing-key: {{env: PLUMBLINE_SIGNING_KEY}}
clusters: [{{name: one}}]
forges:
  - {{name: github, token: {{env: TOKEN}}, webhook-secret: {{env: HOOK}}}}
  - {{name: gitlab, token: {{env: TOKEN}}, webhook-secret: {{env: HOOK}}}}
repositories:
  - {{name: shop, url: "{url}", forge: github, project: acme/shop, ceiling: {{namespaces: [shop]}}}}
  - {{name: till, url: "{url}", forge: gitlab, project: acme/till, ceiling: {{namespaces: [shop]}}}}
"""


class Door:
    """The shipped web process on a port of its own."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.port, self.log = free_port(), folder / "web.log"
        (folder / "app.yaml").write_text(APP.format(url="https://127.0.0.1:1/x.git"))
        environ = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PORT": str(self.port),
            "PYTHONPATH": str(ROOT), "PLUMBLINE_CONFIG": str(folder / "app.yaml"), "PLUMBLINE_REDIS_URL": redis_url,
            "PLUMBLINE_SIGNING_KEY": "k" * 32, "TOKEN": "t" * 32, "HOOK": SECRET,
        }  # fmt: skip
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {procfile()['web']}"], env=environ, cwd=ROOT, stdout=out, stderr=out
            )
        wait_until(self.answers, 30, "the web process answers")

    def answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").startswith(
                b"HTTP/1.1 200"
            )
        return False

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def send(self, data: bytes) -> bytes:
        """What comes back, up to the end of the connection."""
        with self.connect() as sock:
            with contextlib.suppress(OSError):
                sock.sendall(data)
            answer = b""
            with contextlib.suppress(OSError):
                while piece := sock.recv(65536):
                    answer += piece
            return answer

    def deliver(self, body: bytes, forge: str = "github", **headers: str) -> tuple[int, str]:
        """Posts a body; the code and what was said."""
        lines = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
        start = f"POST /webhooks/{forge} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\n"
        answer = self.send(start.encode("latin-1") + body)
        return int(answer.split()[1]), answer.partition(b"\r\n\r\n")[2].decode()


def signature(body: bytes) -> str:
    return "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


def push(branch: str = "main", project: str = "acme/shop") -> bytes:
    return json.dumps(
        {"ref": f"refs/heads/{branch}", "repository": {"full_name": project, "clone_url": "file:///etc"}}
    ).encode()


def headers(body: bytes, delivery: str = "1") -> dict[str, str]:
    return {"X_GitHub_Event": "push", "X_GitHub_Delivery": delivery, "X_Hub_Signature_256": signature(body)}


@pytest.fixture(scope="module")
def door(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    made = Door(tmp_path_factory.mktemp("door"), redis_url)
    yield made
    made.process.terminate()
    made.process.wait(20)


@pytest.fixture
def connection(redis_url: str) -> Iterator[redis.Redis]:
    with contextlib.closing(redis.Redis.from_url(redis_url)) as made:
        made.flushall()
        yield made


def jobs(connection: redis.Redis) -> int:
    return int(connection.llen(f"rq:queue:{INTAKE_QUEUE}"))


@pytest.mark.parametrize(
    "given",
    ["", "sha256=", "sha1=" + "0" * 40, signature(push())[:-1], signature(push()).upper(), "sha256=é", signature(b"x")],
    ids=["none", "empty", "sha1", "truncated", "upper case", "not ASCII", "another body's"],
)
def test_a01_a_delivery_that_github_did_not_sign_is_refused_and_queues_nothing(
    door: Door, connection: redis.Redis, given: str
) -> None:
    assert door.deliver(push(), **{**headers(push()), "X_Hub_Signature_256": given})[0] == 401
    assert jobs(connection) == 0
    assert json.loads(door.log.read_text().splitlines()[-1])["code"] == 401
    assert SECRET not in door.log.read_text()


def test_a03_gitlab_s_token_is_compared_whole(door: Door, connection: redis.Redis) -> None:
    body = json.dumps({
        "object_kind": "push", "ref": "refs/heads/main", "project": {"path_with_namespace": "acme/till"},
    }).encode()  # fmt: skip
    assert door.deliver(body, "gitlab", X_Gitlab_Event="Push Hook", X_Gitlab_Token=SECRET[:-1])[0] == 401
    assert jobs(connection) == 0
    assert door.deliver(body, "gitlab", X_Gitlab_Event="Push Hook", X_Gitlab_Token=SECRET)[0] == 202
    assert jobs(connection) == 1


def test_a04_f01_the_same_delivery_many_times_at_once_is_one_job(door: Door, connection: redis.Redis) -> None:
    body = push()
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        codes = list(pool.map(lambda _: door.deliver(body, **headers(body))[0], range(300)))
    assert set(codes) <= {200, 202}
    assert jobs(connection) == 1


def test_a13_pushes_to_one_branch_collapse_into_one_look_that_waits(door: Door, connection: redis.Redis) -> None:
    body = push()
    for number in range(100):
        assert door.deliver(body, **headers(body, f"d{number}"))[0] == 202
    assert jobs(connection) == 1


@pytest.mark.parametrize("project", ["acme/other", "Acme/shop", "acme/shop/../x", "acme/sh.p"])
def test_a11_a12_a_repository_that_is_not_listed_is_ignored_with_success(
    door: Door, connection: redis.Redis, project: str
) -> None:
    body = push(project=project)
    assert door.deliver(body, **headers(body))[0] in (200, 400)
    assert jobs(connection) == 0


def test_a07_a_body_that_is_too_large_is_refused_also_in_chunks_and_a_compressed_one_not_opened(
    door: Door, connection: redis.Redis
) -> None:
    start = b"POST /webhooks/github HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
    assert door.send(start + b"Content-Length: %d\r\n\r\n" % (26 << 20)).startswith(b"HTTP/1.1 413")
    chunk = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
    assert door.send(start + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 26).startswith(b"HTTP/1.1 413")
    assert door.deliver(push(), **headers(push()), Content_Encoding="gzip")[0] == 415
    assert jobs(connection) == 0


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"[" * 10_000, b'{"ref": 1, "ref": 2}', b'{"ref": NaN}', b"\xef\xbb\xbf{}", b'{"ref": null}'],
    ids=["empty", "not JSON", "a list", "deep", "a key twice", "NaN", "a byte order mark", "a null"],
)  # fmt: skip
def test_a09_a10_a_signed_body_that_is_no_delivery_is_refused_in_words(
    door: Door, connection: redis.Redis, body: bytes
) -> None:
    code, said = door.deliver(body, **headers(body))
    assert code == 400
    assert json.loads(said)["error"]
    assert jobs(connection) == 0


@pytest.mark.timed
def test_a08_two_hundred_slow_clients_keep_a_good_one_waiting_less_than_a_second(
    door: Door, connection: redis.Redis
) -> None:
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(door.connect()) for _ in range(200)]
        for sock in slow[:100]:
            sock.sendall(b"POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx")
        for sock in slow[100:150]:
            sock.sendall(b"POST /webhooks/github HTTP/1.1\r\nX-A: ")
        began = time.monotonic()
        assert door.deliver(push(), **headers(push()))[0] == 202
        assert time.monotonic() - began < 1
        for sock in slow:
            sock.settimeout(max(0.1, began + 15 - time.monotonic()))
            while sock.recv(65536):
                pass
        assert time.monotonic() - began < 15
