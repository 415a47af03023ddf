"""A Redis that is emptied while something is still to be written to a forge: it is made again, and nothing is said twice."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from bot.forges.port import State
from bot.outbox import Outbox
from plumbline.forge_system import BOT, ForgeSystem
from plumbline.local_system import REPOSITORY, Clone, git
from sandbox.processes import wait_until
from sandbox.redis_server import RedisServer
from tests.bot.beside_a_double import BesideADouble, beside_a, comes_back, goes_away
from tests.conftest import Kubectl, StartForgeSystem, config_map, declaration
from tests.invariants import recorded_of
from worker.domain.messages import (
    PROPOSALS_QUEUE,
    proposal_field,
    told_key,
)

PREDICT = "plumbline/predict"
CONVERGE = "plumbline/converge/production"

# -- the bot alone, on doubles: moments that a whole system passes too fast -------------------------------------------


@pytest.fixture(params=["github", "gitlab"])
def bench(request: pytest.FixtureRequest, tmp_path: Path, empty_redis: str) -> Iterator[BesideADouble]:
    """The bot beside a double, on an empty Redis."""
    with beside_a(request.param, tmp_path, empty_redis) as made:
        yield made


def test_f05_a_prediction_that_the_outbox_held_when_redis_was_emptied_is_made_again(bench: BesideADouble) -> None:
    bench.look()
    bench.write()
    assert bench.rig.statuses(bench.head)[PREDICT].state is State.PENDING
    goes_away(bench.rig)
    bench.predicts()
    bench.write()
    assert [row.sort for row in Outbox(bench.redis).rows("shop")] == ["prediction"]
    bench.redis.flushall()
    comes_back(bench.rig)
    bench.look()
    assert bench.redis.llen(f"rq:queue:{PROPOSALS_QUEUE}") == 1, "it is asked for again"
    bench.write()
    assert bench.rig.status_count(bench.head) == 1, "that it is being predicted stands there already"
    bench.predicts()
    bench.write()
    assert bench.rig.statuses(bench.head)[PREDICT].state is State.SUCCESS
    assert len(bench.rig.comments(bench.number)) == 1


def test_f05_what_was_written_before_redis_was_emptied_is_not_written_again(bench: BesideADouble) -> None:
    bench.look()
    bench.predicts()
    bench.write()
    said, checks = bench.rig.status_count(bench.head), bench.rig.checks(bench.head)
    (comment,) = bench.rig.comments(bench.number)
    bench.redis.flushall()
    bench.look()
    bench.write()
    assert bench.rig.statuses(bench.head)[PREDICT].state is State.SUCCESS, "it stays until there is another one"
    bench.predicts()
    bench.write()
    assert not Outbox(bench.redis).rows("shop")
    assert bench.rig.status_count(bench.head) == said
    assert bench.rig.checks(bench.head) == checks
    assert bench.rig.comments(bench.number) == [comment]


def test_f05_an_ending_that_the_outbox_held_is_written_when_it_is_told_again_and_its_verdict_over_the_comment(
    bench: BesideADouble,
) -> None:
    bench.look()
    bench.predicts()
    bench.write()
    bench.rig.protect("main", [])
    revision, ended = bench.rig.merge(bench.number), bench.now
    bench.look()
    bench.write()
    goes_away(bench.rig)
    report = bench.converged(revision, ended)
    bench.write()
    assert bench.redis.get(told_key("shop", "staging")) is None
    bench.redis.flushall()
    comes_back(bench.rig)
    bench.look()
    bench.converged(revision, ended)  # the poller of `watch` tells it again: nobody noted that it was written
    bench.write()
    context = "plumbline/converge/staging"
    assert bench.rig.statuses(revision)[context].state is State.SUCCESS
    assert bench.redis.get(told_key("shop", "staging")) == report.ending.encode()
    (comment,) = bench.rig.comments(bench.number)
    assert "### Merged: converged as predicted in staging" in comment.body
    assert comment.body.count("**Before the merge:** Plumbline predicts 1 change in staging") == 1

    said = bench.rig.status_count(revision)
    bench.redis.flushall()
    bench.look()
    bench.converged(revision, ended)
    bench.write()
    assert bench.rig.status_count(revision) == said
    assert bench.rig.comments(bench.number) == [comment]


def test_f02_a_prediction_of_an_old_head_that_is_told_last_takes_the_new_ones_place_nowhere(
    bench: BesideADouble,
) -> None:
    bench.look()
    bench.write()
    old = bench.head
    bench.rig.push("feature", {"app/a.yaml": "a: 3\n"})
    new = bench.head = bench.rig.tip("feature")
    bench.look()
    bench.predicts()
    bench.head = old
    bench.predicts()
    bench.write()
    assert bench.rig.statuses(new)[PREDICT].state is State.SUCCESS
    assert bench.rig.statuses(old)[PREDICT].state is State.PENDING
    (comment,) = bench.rig.comments(bench.number)
    assert new[:7] in comment.body
    assert old[:7] not in comment.body
    assert not Outbox(bench.redis).rows("shop")


# -- all of Plumbline, on a real Gitea --------------------------------------------------------------------------------


@pytest.fixture
def system(own_redis: RedisServer, start_forge_system: StartForgeSystem) -> Iterator[ForgeSystem]:
    """All of Plumbline beside a repository of a real Gitea, on a Redis of the test's own."""
    with start_forge_system(own_redis.url, poll="1s") as running:
        yield running


@pytest.fixture
def clone(system: ForgeSystem, namespace: str, tmp_path: Path) -> Clone:
    """The owner's clone, with one converged commit."""
    made = Clone(tmp_path / "clone", system.remote)
    made.write("plumbline.yaml", declaration(namespace))
    made.write("app/flags.yaml", config_map("flags", a="1"))
    first = made.commit("Start")
    git("push", "--quiet", "origin", "HEAD:refs/heads/main", at=made.folder)
    wait_until(lambda: status(system, first, CONVERGE) == "success", 40, "the first commit is converged")
    return made


def statuses(system: ForgeSystem, revision: str, context: str) -> list[str]:
    """Every status of a context that was ever written on a commit, oldest first."""
    found = sorted(system.ask("GET", f"/commits/{revision}/statuses?limit=50"), key=lambda each: int(each["id"]))
    return [each["status"] for each in found if each["context"] == context]


def status(system: ForgeSystem, revision: str, context: str) -> str:
    return (statuses(system, revision, context) or [""])[-1]


def comments(system: ForgeSystem, number: int) -> list[tuple[str, str]]:
    """(time of the last edit, text) of the bot's comments."""
    found = system.ask("GET", f"/issues/{number}/comments")
    return [(each["updated_at"], each["body"]) for each in found if each["user"]["login"] == BOT]


def propose(system: ForgeSystem, clone: Clone, text: str) -> tuple[int, str]:
    git("checkout", "--quiet", "-b", "flags", at=clone.folder)
    clone.write("app/flags.yaml", text)
    head = clone.commit("Flags")
    git("push", "--quiet", "origin", "flags", at=clone.folder)
    number = system.ask("POST", "/pulls", {"head": "flags", "base": "main", "title": "Flags"})["number"]
    return int(number), head


def test_f05_emptied_when_all_is_said_everything_is_known_again_and_nothing_is_said_again(
    system: ForgeSystem, clone: Clone, own_redis: RedisServer
) -> None:
    first = git("rev-parse", "HEAD", at=clone.folder).strip()
    number, head = propose(system, clone, config_map("flags", a="2"))
    wait_until(lambda: status(system, head, PREDICT) == "success", 30, "it is predicted")
    wait_until(lambda: len(comments(system, number)) == 1, 10, "the comment is there")
    outbox = Outbox(redis.Redis.from_url(own_redis.url))
    wait_until(lambda: not outbox.rows(REPOSITORY), 10, "everything is written")
    predicted, converged = statuses(system, head, PREDICT), statuses(system, first, CONVERGE)
    before = comments(system, number)

    with contextlib.closing(redis.Redis.from_url(own_redis.url)) as connection:
        connection.flushall()

        def is_known_again() -> bool:
            told = connection.get(told_key(REPOSITORY, "production")) == f"{first} converged".encode()
            hints = connection.hexists("plumbline:v1:proposals", proposal_field(REPOSITORY, number))
            written = connection.exists(f"plumbline:v1:written:{REPOSITORY}:{head} {PREDICT}")
            return bool(told and hints and written) and not outbox.rows(REPOSITORY)

        wait_until(is_known_again, 30, "tip, ending and prediction are known again")
    assert statuses(system, head, PREDICT) == predicted
    assert statuses(system, first, CONVERGE) == converged
    assert comments(system, number) == before


def test_f05_emptied_before_anybody_worked_on_it_and_before_it_was_said_nothing_is_missing_in_the_end(
    system: ForgeSystem, clone: Clone, own_redis: RedisServer, namespace: str, kubectl: Kubectl
) -> None:
    connection = redis.Redis.from_url(own_redis.url)
    system.servers["worker"].kill()
    number, head = propose(system, clone, config_map("flags", a="2"))
    wait_until(lambda: status(system, head, PREDICT) == "pending", 20, "it is said that it is being predicted")
    wait_until(lambda: connection.llen(f"rq:queue:{PROPOSALS_QUEUE}") > 0, 10, "the job waits for a worker")
    connection.flushall()
    system.servers["worker"].restart()
    wait_until(lambda: status(system, head, PREDICT) == "success", 40, "it is predicted all the same")
    wait_until(lambda: len(comments(system, number)) == 1, 10, "the comment is there")

    system.servers["bot"].kill()
    wait_until(lambda: bool(system.ask("GET", f"/pulls/{number}")["mergeable"]), 20, "it can be merged")
    system.ask("POST", f"/pulls/{number}/merge", {"Do": "merge"})
    merged = system.ask("GET", f"/pulls/{number}")["merge_commit_sha"]

    def ended() -> bool:
        ending = recorded_of(system).state.converged
        return ending is not None and ending.revision == merged

    wait_until(ended, 40, "it has converged, and nobody said so")
    assert statuses(system, merged, CONVERGE) == []
    connection.flushall()
    system.servers["bot"].restart()
    wait_until(lambda: status(system, merged, CONVERGE) == "success", 30, "the ending is said")
    wait_until(lambda: "### Merged: converged" in comments(system, number)[0][1], 20, "so is the verdict")
    ((_, text),) = comments(system, number)
    assert "**Before the merge:** Plumbline predicts 1 change in production" in text
    assert statuses(system, merged, CONVERGE).count("success") == 1
    assert kubectl("-n", namespace, "get", "configmap", "flags", "-o", "jsonpath={.data.a}").stdout == "2"
    connection.close()
