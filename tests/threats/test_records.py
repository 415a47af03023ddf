"""Environments that vanish, records that are lost, foreign or from another version, and successes that are none."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from rq.job import Job

from plumbline.local_system import ROOT, Clone, LocalSystem, git
from sandbox.processes import wait_until
from tests.conftest import Kubectl, config_map, declaration
from tests.invariants import assert_invariants, note_of, recorded_of, wait_converged
from tests.world import World
from worker.adapters.cluster import Records
from worker.adapters.inventory import StateStore
from worker.domain.errors import Unavailable
from worker.domain.locks import Lock, Locks
from worker.domain.messages import CONVERGE, KEYS, PREVIEW, PREVIEWS_QUEUE, SCHEMA, applies_queue
from worker.domain.plan import Action
from worker.domain.reports import Step
from worker.signed_queue import SignedQueue

TWO = config_map("a", n="1") + "---\n" + config_map("b", n="1")


def names(kubectl: Kubectl, namespace: str) -> set[str]:
    listed = json.loads(kubectl("-n", namespace, "get", "configmaps", "-o", "json").stdout)
    return {item["metadata"]["name"] for item in listed["items"]} - {"kube-root-ca.crt"}


# -- F13 -------------------------------------------------------------------------------------------------------------


def test_f13_no_environment_is_said_and_is_never_a_success(system: LocalSystem, clone: Clone) -> None:
    clone.write("plumbline.yaml", "environments: []\n")
    clone.write("app/a.yaml", config_map("a", n="1"))
    revision = clone.commit("1")
    push = clone.push()
    assert push.returncode == 0, push.stderr
    assert "no environment follows" in push.stderr
    assert "verified" not in push.stderr
    assert "converged" not in push.stderr
    assert note_of(system, revision) == {}


@pytest.mark.parametrize("text", ["", "---\n", "# nothing yet\n"], ids=["no file", "an empty document", "a comment"])
def test_f13_an_environment_without_an_object_is_refused_and_never_verified(
    system: LocalSystem, clone: Clone, text: str
) -> None:
    clone.write("app/README.md", "Objects come here.\n")
    if text:
        clone.write("app/a.yaml", text)
    revision = clone.commit("empty")
    push = clone.push()
    assert push.returncode != 0, push.stderr
    assert "nothing is rendered" in push.stderr, push.stderr
    assert "verified" not in push.stderr
    assert note_of(system, revision) == {}


def test_f13_a_push_whose_prediction_never_came_is_not_accepted_as_one_without_changes(
    system: LocalSystem, clone: Clone
) -> None:
    system.servers["worker"].kill()
    clone.write("app/a.yaml", config_map("a", n="1"))
    clone.commit("1")
    push = clone.push()
    assert push.returncode != 0
    assert "nothing can be predicted for main now" in push.stderr
    assert "No change" not in push.stderr


# -- F42 -------------------------------------------------------------------------------------------------------------


def test_f42_an_environment_that_is_removed_from_the_configuration_deletes_nothing(
    system: LocalSystem, clone: Clone, namespace: str, kubectl: Kubectl
) -> None:
    clone.write("app/a.yaml", TWO)
    first = clone.commit("1")
    assert clone.push("-o", "plumbline.wait=30", "origin", "main").returncode == 0
    wait_converged(system, first)
    clone.write("plumbline.yaml", declaration(namespace, "other", path="other"))
    clone.write("other/o.yaml", config_map("o", n="1"))
    second = clone.commit("production is gone")
    push = clone.push("-o", "plumbline.wait=30", "origin", "main")
    assert push.returncode == 0, push.stderr
    assert "production is no longer declared: its objects stay as they are" in push.stderr
    wait_converged(system, second, environment="other")
    assert names(kubectl, namespace) == {"a", "b", "o"}
    assert len(recorded_of(system).inventory.entries) == 2
    clone.write("plumbline.yaml", declaration(namespace))
    clone.write("app/a.yaml", config_map("a", n="2"))
    third = clone.commit("production is back")
    push = clone.push("-o", "plumbline.wait=30", "origin", "main")
    assert "prune      ConfigMap" in push.stderr, push.stderr
    wait_converged(system, third)
    assert names(kubectl, namespace) == {"a", "o"}
    assert_invariants(system, third)


def test_f42_an_environment_that_is_renamed_meets_its_old_self_and_deletes_nothing(
    system: LocalSystem, clone: Clone, namespace: str, kubectl: Kubectl
) -> None:
    clone.write("app/a.yaml", TWO)
    first = clone.commit("1")
    assert clone.push("-o", "plumbline.wait=30", "origin", "main").returncode == 0
    wait_converged(system, first)
    clone.write("plumbline.yaml", declaration(namespace, "live"))
    clone.write("app/a.yaml", config_map("a", n="2"))
    clone.commit("renamed")
    push = clone.push()
    assert push.returncode != 0
    assert "belongs to the environment shop/production" in push.stderr
    assert names(kubectl, namespace) == {"a", "b"}


def test_f42_a_lost_record_turns_pruning_off_and_says_so(world: World, kubectl: Kubectl) -> None:
    world.converge(TWO)
    kubectl("-n", world.state_namespace, "delete", "configmap", world.environment.state_name)
    plan = world.plan(config_map("a", n="2"))
    assert any("there is no record of this environment" in warning for warning in plan.warnings), plan.warnings
    assert all(change.action is not Action.PRUNE for change in plan.changes)
    world.converge(config_map("a", n="2"))
    assert names(kubectl, world.namespace) == {"a", "b"}
    assert world.plan(config_map("a", n="2")).warnings == ()


def test_f42_a_record_of_another_cluster_turns_pruning_off_and_says_so(world: World, kubectl: Kubectl) -> None:
    world.converge(TWO)
    records = Records(world.cluster.connection, world.state_namespace)
    foreign = StateStore(records, lambda: "another cluster's uid")
    mine = world.states.read(world.environment)
    foreign.write(world.environment, mine, mine.state, mine.inventory)
    plan = world.plan(config_map("a", n="2"))
    assert any("is not as Plumbline wrote it" in warning for warning in plan.warnings), plan.warnings
    assert all(change.action is not Action.PRUNE for change in plan.changes)
    world.converge(config_map("a", n="2"))
    assert names(kubectl, world.namespace) == {"a", "b"}


def test_f42_a_record_cut_short_turns_pruning_off_and_says_so(world: World, kubectl: Kubectl) -> None:
    world.converge(TWO)
    name = world.environment.state_name
    record = json.loads(kubectl("-n", world.state_namespace, "get", "configmap", name, "-o", "json").stdout)
    for field in ("state", "inventory", "signature"):
        cut = {"data": {field: record["data"][field][: len(record["data"][field]) // 2]}}
        kubectl("-n", world.state_namespace, "patch", "configmap", name, "--type=merge", "-p", json.dumps(cut))
        plan = world.plan(config_map("a", n="2"))
        assert plan.warnings, field
        assert "pruning is off" in plan.warnings[0]
        assert all(change.action is not Action.PRUNE for change in plan.changes)
        whole = {"data": record["data"]}
        kubectl("-n", world.state_namespace, "patch", "configmap", name, "--type=merge", "-p", json.dumps(whole))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ({"signature": "0" * 64}, "held by ann"),
        ({"state": "{"}, "held by Plumbline"),
        ({"state": "[]"}, "held by Plumbline"),
    ],
    ids=["another signature", "cut short", "something else"],
)
def test_f42_a_hold_outlives_damage_to_its_record_until_a_person_releases_it(
    world: World, kubectl: Kubectl, damage: dict[str, str], says: str
) -> None:
    before = world.converge(TWO)
    locks = Locks(hold=Lock("ann", 1_800_000_000.0, "the migration runs"))
    world.states.write(world.environment, before, replace(before.state, locks=locks), before.inventory)
    name = world.environment.state_name
    kubectl("-n", world.state_namespace, "patch", "configmap", name, "--type=merge", "-p", json.dumps({"data": damage}))
    assert any(says in warning for warning in world.plan(TWO + "---\n" + config_map("c", n="1")).warnings)
    recorded = world.converge(TWO + "---\n" + config_map("c", n="1"))
    assert says in world.said(Step.HELD)
    assert names(kubectl, world.namespace) == {"a", "b"}, "nothing is written"
    assert recorded.trusted, "the hold is signed now, and can be released"
    assert recorded.state.locks.hold is not None
    assert recorded.state.locks.approvals == ()


# -- F49 -------------------------------------------------------------------------------------------------------------


def test_f49_a_job_of_another_version_on_our_queue_is_refused_visibly_and_stops_nobody(
    system: LocalSystem, clone: Clone, redis_url: str
) -> None:
    key = (system.directory / "signing-key").read_text().strip().encode()
    ours = SignedQueue(redis_url, key)
    for queue, job in ((PREVIEWS_QUEUE, PREVIEW), (applies_queue("sandbox"), CONVERGE)):
        assert ours.enqueue(queue, job, {"schema": SCHEMA + 1, "revision": "f" * 40}, job_id=f"next-{job[-7:]}")
    names = [Job.key_for(f"next-{job[-7:]}") for job in (PREVIEW, CONVERGE)]
    wait_until(lambda: all(ours.connection.hget(each, "status") == b"failed" for each in names), 20, "it is refused")
    log = (system.directory / "worker.log").read_text()
    assert log.count("ALERT job refused") == 2
    assert f"message schema {SCHEMA + 1}, this version speaks {SCHEMA}" in log
    assert "Traceback" not in log
    clone.write("app/a.yaml", config_map("a", n="1"))
    revision = clone.commit("1")
    assert clone.push("-o", "plumbline.wait=30", "origin", "main").returncode == 0
    wait_converged(system, revision)
    ours.connection.close()


def test_f49_queues_and_keys_of_another_version_are_left_to_it(
    system: LocalSystem, clone: Clone, redis_url: str
) -> None:
    key = (system.directory / "signing-key").read_text().strip().encode()
    theirs = SignedQueue(redis_url, key)
    other = PREVIEWS_QUEUE.replace(f"v{SCHEMA}", f"v{SCHEMA + 1}")
    assert other != PREVIEWS_QUEUE
    assert theirs.enqueue(other, PREVIEW, {"schema": SCHEMA + 1}, job_id="theirs")
    clone.write("app/a.yaml", config_map("a", n="1"))
    revision = clone.commit("1")
    assert clone.push("-o", "plumbline.wait=30", "origin", "main").returncode == 0
    wait_converged(system, revision)
    assert theirs.connection.lrange(f"rq:queue:{other}", 0, -1) == [b"theirs"]
    with redis.Redis.from_url(redis_url) as connection:
        mine = [name.decode() for name in connection.keys("plumbline:*")]
    assert mine
    assert [name for name in mine if not name.startswith(f"{KEYS}:")] == []
    theirs.connection.close()


def test_f49_a_record_of_a_newer_version_is_neither_misread_nor_overwritten(world: World, kubectl: Kubectl) -> None:
    world.converge(TWO)
    name = world.environment.state_name
    store = world.states
    record = store.records.read("ConfigMap", name)
    assert record is not None
    document = json.loads(record["data"]["state"])
    document["state"]["schema"] = 2
    text = json.dumps(document, separators=(",", ":"))
    record["data"] = {**record["data"], "state": text, "signature": store._signature(name, text)}
    assert store.records.replace(record) is not None
    with pytest.raises(Unavailable, match="was written by another version of Plumbline"):
        world.plan(config_map("a", n="2"))
    with pytest.raises(Unavailable, match="was written by another version of Plumbline"):
        world.converge(config_map("a", n="2"))
    after = store.records.read("ConfigMap", name)
    assert after is not None
    assert after["data"]["state"] == text
    assert names(kubectl, world.namespace) == {"a", "b"}


# -- F15 -------------------------------------------------------------------------------------------------------------

FETCH = """
import resource, sys
from pathlib import Path
from worker.adapters.checkout import Checkout
from worker.domain.errors import PlumblineError
from worker.workbench import shortage
url, cache, revision, limit = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
if limit >= 0:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    checkout = Checkout.open(url, cache)
    checkout.fetch(revision)
    print(len(checkout.blob(checkout.entries(revision, "app")[0].id, "app/a.yaml")))
except PlumblineError as error:
    print("said:", error)
except OSError as error:
    print("said:", shortage(error))
"""


@pytest.mark.parametrize("limit", [0, 100, 100_000], ids=["not even a folder", "no configuration", "no pack"])
def test_f15_a_clone_that_finds_no_room_says_so_leaves_nothing_and_works_with_room(tmp_path: Path, limit: int) -> None:
    from tests.git_server import GitServer

    git("init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "served" / "shop.git"))
    clone = Clone(tmp_path / "clone", tmp_path / "served" / "shop.git")
    import secrets

    clone.write("app/big.txt", secrets.token_hex(400_000))
    revision = clone.commit("big")
    clone.push()
    server = GitServer(tmp_path / "served")

    def fetch(most: int) -> str:
        command = [sys.executable, "-c", FETCH, server.url("shop.git"), str(tmp_path / "cache"), revision, str(most)]
        run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
        assert run.returncode == 0, run.stderr
        return run.stdout.strip()

    assert fetch(limit).startswith("said: ")
    left = [*(tmp_path / "cache").rglob("tmp_*"), *(tmp_path / "cache").rglob("draft-*")]
    assert left == []
    assert fetch(-1) == "800000"
    server.close()


def test_f15_a_worker_without_descriptors_or_temporary_folder_says_so_and_the_next_job_works(
    system: LocalSystem, clone: Clone, tmp_path: Path
) -> None:
    """Both limits are put on the living worker from outside, and lifted again."""
    clone.write("app/a.yaml", config_map("a", n="0"))
    first = clone.commit("0")
    assert clone.push("-o", "plumbline.wait=30", "origin", "main").returncode == 0
    wait_converged(system, first)
    worker = system.servers["worker"].pid
    whole = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (3, whole[1]))
    clone.write("app/a.yaml", config_map("a", n="1"))
    second = clone.commit("1")
    push = clone.push("-o", "plumbline.wait=0", "origin", "main")
    assert "Too many open files" in push.stderr, push.stderr
    assert "objects change" not in push.stderr
    assert "Traceback" not in push.stderr
    resource.prlimit(worker, resource.RLIMIT_NOFILE, whole)
    wait_converged(system, second, 90)
    limit = resource.prlimit(worker, resource.RLIMIT_FSIZE)
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (0, limit[1]))
    clone.write("app/a.yaml", config_map("a", n="2"))
    clone.commit("2")
    push = clone.push("-o", "plumbline.wait=0", "origin", "main")
    assert "objects change" not in push.stderr, push.stderr
    assert "Traceback" not in push.stderr
    assert "cannot" in push.stderr, push.stderr
    resource.prlimit(worker, resource.RLIMIT_FSIZE, limit)
    if push.returncode:
        assert clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
    revision = git("rev-parse", "HEAD", at=clone.folder).strip()
    wait_converged(system, revision, 90)
    assert_invariants(system, revision)
