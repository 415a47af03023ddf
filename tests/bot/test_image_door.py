"""POST /images under the server that is shipped: what is signed is queued once, all else is refused and queues nothing."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from bot.built_images import MOST_TAGS, Announced, BuiltImages, Outcome
from tests.bot.web import web
from worker.domain.image_policy import Tag
from worker.domain.images import read_image
from worker.domain.messages import REGISTRIES_QUEUE

SECRET = "i" * 32
DIGEST = "sha256:" + "0a" * 32
MORE = """\
forges:
  - {name: github, token: {env: TOKEN}, webhook-secret: {env: FORGE}}
"""
OPEN = MORE + "images-secret: {env: IMAGES}\n"
BODY = json.dumps({"images": [f"ghcr.io/acme/web:1.5.0@{DIGEST}", "acme/api:2"], "revision": "a" * 40}).encode()


@pytest.fixture(scope="module")
def address(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with web(
        tmp_path_factory.mktemp("door"), redis_url, OPEN, forge="github", TOKEN="t" * 32, FORGE="f" * 32, IMAGES=SECRET
    ) as found:
        yield found.address


@pytest.fixture
def connection(redis_url: str) -> Iterator[redis.Redis]:
    with contextlib.closing(redis.Redis.from_url(redis_url)) as made:
        made.flushall()
        yield made


def headers_of(body: bytes, at: float = 0.0, secret: str = SECRET) -> dict[str, str]:
    stamp = str(int(at or time.time()))
    signature = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json", "Plumbline-Timestamp": stamp, "Plumbline-Signature": f"sha256={signature}",
    }  # fmt: skip


def post(address: str, body: bytes = BODY, **headers: str) -> httpx.Response:
    given = headers_of(body) | {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{address}/images", content=body, headers=given)


def jobs(connection: redis.Redis) -> int:
    return int(connection.llen(f"rq:queue:{REGISTRIES_QUEUE}"))


def test_what_is_signed_is_queued_for_every_repository_and_kept(address: str, connection: redis.Redis) -> None:
    assert post(address).status_code == 202
    assert jobs(connection) == 4, "two images, two repositories"
    (web_tag,) = BuiltImages(connection).of("ghcr.io/acme/web")
    assert (web_tag.tag.name, web_tag.tag.digest, web_tag.revision) == ("1.5.0", DIGEST, "a" * 40)
    assert [each.tag.name for each in BuiltImages(connection).of("docker.io/acme/api")] == ["2"]


def test_a63_the_same_words_again_are_a_duplicate(address: str, connection: redis.Redis) -> None:
    signed = headers_of(BODY)
    assert [httpx.post(f"{address}/images", content=BODY, headers=signed).status_code for _ in "123"] == [202, 200, 200]
    assert jobs(connection) == 4


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Plumbline_Signature": ""}, 401),
        ({"Plumbline_Signature": "sha256=" + "0" * 64}, 401),
        ({"Plumbline_Signature": "sha256=ü"}, 401),
        ({"Plumbline_Timestamp": "1"}, 401),
        ({"Plumbline_Timestamp": "９"}, 401),
        (headers_of(BODY, time.time() - 400), 401),
        (headers_of(BODY, time.time() + 24 * 3600), 401),  # it is made when tests are collected, long before it is sent
        (headers_of(BODY, secret="j" * 32), 401),
        (headers_of(BODY + b" "), 401),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Encoding": "gzip"}, 415),
    ],
)  # fmt: skip
def test_a01_what_is_not_signed_so_is_refused_and_queues_nothing(
    address: str, connection: redis.Redis, headers: dict[str, str], code: int
) -> None:
    given = {name.encode(): value.encode() for name, value in headers.items()}
    own = {name.encode(): value.encode() for name, value in headers_of(BODY).items()}
    merged = own | {name.replace(b"_", b"-"): value for name, value in given.items()}
    assert httpx.post(f"{address}/images", content=BODY, headers=list(merged.items())).status_code == code
    assert jobs(connection) == 0
    assert connection.keys("*announced*") == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b"[" * 50_000, 400),
        (b'{"images": []}', 400),
        (b'{"images": [1]}', 400),
        (b'{"images": ["a:1"], "revision": "main"}', 400),
        (b'{"images": ["a"]}', 400),
        (b'{"images": ["a@sha256:' + b"0a" * 32 + b'"]}', 400),
        (json.dumps({"images": ['a:1"\n  privileged: true']}).encode(), 400),
        (json.dumps({"images": ["a:1"] * 51}).encode(), 400),
        (b" " * (64 << 10) + b"{}", 413),
    ],
    ids=range(11),
)  # fmt: skip
def test_a63_what_is_no_announcement_is_refused_in_words(
    address: str, connection: redis.Redis, body: bytes, code: int
) -> None:
    answer = post(address, body)
    assert answer.status_code == code
    assert answer.json()["error"]
    assert jobs(connection) == 0


def test_without_a_secret_the_door_is_closed(redis_url: str, connection: redis.Redis, tmp_path: Path) -> None:
    with web(tmp_path, redis_url, MORE, forge="github", TOKEN="t" * 32, FORGE="f" * 32) as closed:
        assert post(closed.address).status_code == 404
    assert jobs(connection) == 0


def test_a_tag_is_kept_as_it_was_first_said_and_the_oldest_go(connection: redis.Redis) -> None:
    kept = BuiltImages(connection)
    kept.note([read_image(f"a:1@{DIGEST}")], "", 1.0)
    kept.note([read_image(f"a:1@{DIGEST}"), read_image("a:1")], "b" * 40, 2.0)
    assert kept.of("docker.io/library/a") == (Announced(Tag("1", DIGEST, 1.0)),)
    other = DIGEST.replace("0a", "0b")
    kept.note([read_image(f"a:1@{other}")], "b" * 40, 3.0)
    assert kept.of("docker.io/library/a") == (Announced(Tag("1", other, 3.0), "b" * 40),)
    kept.note([read_image(f"a:t{number}") for number in range(MOST_TAGS)], "", 4.0)
    names = {each.tag.name for each in kept.of("docker.io/library/a")}
    assert len(names) == MOST_TAGS
    assert "1" not in names


def test_what_came_of_a_policy_is_remembered(connection: redis.Redis) -> None:
    kept = BuiltImages(connection)
    assert kept.outcome("shop", "main", "web") is None
    kept.note_outcome("shop", "main", "web", Outcome("a" * 40, "a:1", 2.0, is_refused=True))
    assert kept.outcome("shop", "main", "web") == Outcome("a" * 40, "a:1", 2.0, is_refused=True)
    assert kept.outcome("shop", "next", "web") is None
    assert not kept.was_proposed("shop", "plumbline/update-a")
    kept.note_proposed("shop", "plumbline/update-a")
    assert kept.was_proposed("shop", "plumbline/update-a")
    assert not kept.was_proposed("till", "plumbline/update-a")
