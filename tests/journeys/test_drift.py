"""Somebody changes the cluster by hand: it is noticed, said with its author, healed where that is wanted, and closed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from plumbline.local_system import Clone, LocalSystem
from sandbox.control_plane import ControlPlane
from sandbox.processes import wait_until
from tests.conftest import DEPLOYMENT, Kubectl, StartSystem, config_map, declaration
from tests.invariants import note_of, recorded_of, wait_converged
from worker.domain.convergence import EnvironmentState, Phase
from worker.domain.episodes import FIGHT_AFTER, Cause, Episode, Event, Stage

ALERT = "mode: alert, diff-after: 0s, settle: 1s"
HEAL = "mode: heal, diff-after: 0s, settle: 1s"


def with_policy(namespace: str, policy: str) -> str:
    """plumbline.yaml with a policy on its one environment."""
    text = declaration(namespace)
    lines = [line for line in text.splitlines() if "settle" not in line and "policy" not in line]
    return "\n".join([*lines, f"    policy: {{{policy}}}", ""])


@pytest.fixture
def start(system: LocalSystem, clone: Clone, namespace: str) -> Callable[[str], str]:
    """Converges two objects under a policy; the commit."""

    def started(policy: str) -> str:
        clone.write("plumbline.yaml", with_policy(namespace, policy))
        clone.write("app/a.yaml", config_map("a", n="1"))
        clone.write("app/b.yaml", config_map("b", n="1"))
        revision = clone.commit("first")
        pushed = clone.push("-o", "plumbline.wait=0", "origin", "main")
        assert pushed.returncode == 0, pushed.stderr
        wait_converged(system, revision)
        return revision

    return started


def state_of(system: LocalSystem) -> EnvironmentState:
    return recorded_of(system).state


def episode_of(system: LocalSystem) -> Episode | None:
    return state_of(system).episode


def value_of(kubectl: Kubectl, namespace: str, name: str = "a") -> str:
    return kubectl("-n", namespace, "get", "configmap", name, "-o", "jsonpath={.data.n}", check=False).stdout


def edit(kubectl: Kubectl, namespace: str, value: str, name: str = "a", manager: str = "bob") -> None:
    kubectl(
        "-n", namespace, "patch", "configmap", name, f"--field-manager={manager}", "-p", f'{{"data":{{"n":"{value}"}}}}'
    )


def events_of(system: LocalSystem) -> list[Event]:
    return [each.event for each in state_of(system).news]


def test_drift_is_said_with_its_author_and_closed_when_it_is_gone(
    system: LocalSystem, start: Callable[[str], str], kubectl: Kubectl, namespace: str
) -> None:
    revision = start(ALERT)
    edit(kubectl, namespace, "9")
    began = time.monotonic()
    wait_until(lambda: episode_of(system) is not None, 10, "the drift is noticed")
    print(f"\n  noticed after {time.monotonic() - began:.2f} s", end="")
    episode = episode_of(system)
    assert episode is not None
    assert (episode.stage, episode.cause, episode.revision) == (Stage.OPEN, Cause.DRIFT, revision)
    (drift,) = episode.drift
    assert (drift.key.name, drift.field.path, drift.field.old, drift.field.new) == ("a", "data.n", "1", "9")
    assert (drift.manager, drift.operation) == ("bob", "Update")
    assert value_of(kubectl, namespace) == "9", "an alert heals nothing"
    edit(kubectl, namespace, "1")
    wait_until(lambda: episode_of(system) is None, 15, "the episode is closed")
    news = state_of(system).news
    assert [each.event for each in news] == [Event.OPENED, Event.CLOSING, Event.CONVERGED]
    assert {each.episode.id for each in news} == {episode.id}
    assert news[-1].proof is not None
    assert news[-1].proof["revision"] == revision


def test_drift_is_healed_where_that_is_wanted_and_nothing_else_is_written(
    system: LocalSystem, start: Callable[[str], str], kubectl: Kubectl, namespace: str
) -> None:
    start(HEAL)
    before = kubectl("-n", namespace, "get", "configmap", "b", "-o", "jsonpath={.metadata.resourceVersion}").stdout
    began = time.monotonic()
    edit(kubectl, namespace, "9")
    wait_until(lambda: value_of(kubectl, namespace) == "1", 10, "it is healed")
    print(f"\n  healed after {time.monotonic() - began:.2f} s, kubectl's own time included", end="")
    wait_until(lambda: Event.CONVERGED in events_of(system), 15, "the episode is closed")
    assert events_of(system).count(Event.OPENED) == 1
    assert events_of(system).count(Event.HEALED) == 1
    after = kubectl("-n", namespace, "get", "configmap", "b", "-o", "jsonpath={.metadata.resourceVersion}").stdout
    assert after == before, "only what drifted is written"


def test_what_somebody_deleted_is_made_again_and_its_author_is_said_to_be_unknown(
    system: LocalSystem, start: Callable[[str], str], kubectl: Kubectl, namespace: str
) -> None:
    start(HEAL)
    kubectl("-n", namespace, "delete", "configmap", "a")
    wait_until(lambda: value_of(kubectl, namespace) == "1", 10, "it is made again")
    wait_until(lambda: Event.HEALED in events_of(system), 10, "and that is said")
    opened = next(each for each in state_of(system).news if each.event is Event.OPENED)
    assert [each.manager for each in opened.episode.drift] == [""]


def test_a_label_of_ours_that_is_taken_away_is_drift_too(
    system: LocalSystem, start: Callable[[str], str], kubectl: Kubectl, namespace: str
) -> None:
    start(HEAL)
    kubectl("-n", namespace, "label", "configmap", "a", "plumbline.io/environment-")
    wait_until(lambda: Event.HEALED in events_of(system), 10, "it is healed")
    labels = kubectl("-n", namespace, "get", "configmap", "a", "-o", "jsonpath={.metadata.labels}").stdout
    assert "plumbline.io/environment" in labels


def test_f36_what_others_add_beside_is_not_drift(
    system: LocalSystem, start: Callable[[str], str], kubectl: Kubectl, namespace: str
) -> None:
    start(HEAL)
    kubectl("-n", namespace, "patch", "configmap", "a", "--field-manager=bob", "-p", '{"data":{"theirs":"1"}}')
    edit(kubectl, namespace, "9", name="b")
    wait_until(lambda: value_of(kubectl, namespace, "b") == "1", 10, "the other one is healed")
    wait_until(lambda: episode_of(system) is None, 15, "the episode is closed")
    found = kubectl("-n", namespace, "get", "configmap", "a", "-o", "jsonpath={.data.theirs}").stdout
    assert found == "1"
    opened = next(each for each in state_of(system).news if each.event is Event.OPENED)
    assert {each.key.name for each in opened.episode.drift} == {"b"}


def test_a_commit_that_comes_meanwhile_ends_the_episode(
    system: LocalSystem, clone: Clone, start: Callable[[str], str], kubectl: Kubectl, namespace: str
) -> None:
    start(ALERT)
    edit(kubectl, namespace, "9")
    wait_until(lambda: Event.OPENED in events_of(system), 10, "the drift is alerted")
    clone.write("app/a.yaml", config_map("a", n="2"))
    revision = clone.commit("second")
    assert clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
    wait_converged(system, revision)
    assert value_of(kubectl, namespace) == "2"
    state = state_of(system)
    assert state.episode is None
    assert [each.event for each in state.news][-2:] == [Event.OPENED, Event.CONVERGED]
    assert len({each.episode.id for each in state.news}) == 1


def test_what_stops_working_after_it_had_converged_is_said_and_not_applied_again(
    system: LocalSystem, clone: Clone, start: Callable[[str], str], kubectl: Kubectl, namespace: str
) -> None:
    clone.write("app/cart.yaml", DEPLOYMENT)
    start(HEAL)
    pods = kubectl("-n", namespace, "get", "pods", "-o", "jsonpath={.items[0].metadata.name}").stdout
    before = kubectl("-n", namespace, "get", "deployment", "d", "-o", "jsonpath={.metadata.generation}").stdout
    status = {
        "status": {
            "phase": "Pending",
            "conditions": [{"type": "Ready", "status": "False"}],
            "containerStatuses": [
                {
                    "name": "c", "image": "registry.example/x:1", "imageID": "", "ready": False, "restartCount": 9,
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                }
            ],
        }
    }  # fmt: skip
    kubectl("-n", namespace, "patch", "pod", pods, "--subresource=status", "--type=merge", "-p", json.dumps(status))
    wait_until(lambda: Event.OPENED in events_of(system), 20, "it is said that it does not work")
    opened = next(each for each in state_of(system).news if each.event is Event.OPENED)
    assert opened.episode.cause is Cause.FAILURE
    assert opened.episode.troubles[0].key.name == "d"
    assert "CrashLoopBackOff" in opened.episode.troubles[0].text
    assert Event.HEALED not in events_of(system)
    after = kubectl("-n", namespace, "get", "deployment", "d", "-o", "jsonpath={.metadata.generation}").stdout
    assert after == before


def test_a_rollout_that_failed_and_works_later_turns_the_commit_green(
    system: LocalSystem, clone: Clone, start: Callable[[str], str], kubectl: Kubectl, namespace: str
) -> None:
    start(ALERT)
    clone.write("plumbline.yaml", with_policy(namespace, ALERT + ", health-timeout: 2s"))
    clone.write("app/cart.yaml", DEPLOYMENT.replace("x:1", "x:never-ready"))
    revision = clone.commit("slow")
    assert clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
    wait_until(lambda: note_of(system, revision).get("state") == "failed", 60, "it takes too long")
    wait_until(lambda: episode_of(system) is not None, 20, "and goes on being looked at")
    pod = kubectl("-n", namespace, "get", "pods", "-o", "jsonpath={.items[0].metadata.name}").stdout
    ready = {
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            "containerStatuses": [
                {
                    "name": "c", "image": "x", "imageID": "", "ready": True, "restartCount": 0, "started": True,
                    "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
                }
            ],
        }
    }  # fmt: skip
    kubectl("-n", namespace, "patch", "pod", pod, "--subresource=status", "--type=merge", "-p", json.dumps(ready))
    wait_converged(system, revision, 40)
    state = state_of(system)
    assert state.operation is not None
    assert state.operation.phase is Phase.SUCCEEDED
    assert state.converged is not None
    assert state.converged.revision == revision


def test_a_manager_that_keeps_undoing_heals_is_not_fought_for_ever(
    system: LocalSystem, start: Callable[[str], str], kubectl: Kubectl, namespace: str
) -> None:
    start(HEAL)
    writes = 0

    def fought() -> bool:
        nonlocal writes
        if value_of(kubectl, namespace) == "1":
            writes += 1
            edit(kubectl, namespace, f"9{writes}", manager="other-bot")
        return Event.FIGHT in events_of(system)

    wait_until(fought, 90, "the fight is said")
    heals = (episode := episode_of(system)) and episode.heals
    assert heals == FIGHT_AFTER
    assert episode is not None
    assert episode.quarrel == "other-bot"
    assert writes == FIGHT_AFTER + 1, "one write of ours for each of theirs"
    assert events_of(system).count(Event.FIGHT) == 1


def test_a_commit_that_does_not_touch_what_drifted_is_told_of_it_and_heals_nothing(
    system: LocalSystem, clone: Clone, start: Callable[[str], str], kubectl: Kubectl, namespace: str
) -> None:
    start(ALERT)
    edit(kubectl, namespace, "9")
    wait_until(lambda: Event.OPENED in events_of(system), 10, "the drift is alerted")
    clone.write("README.md", "nothing of any environment")
    revision = clone.commit("words")
    assert clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0

    def advanced() -> bool:
        applied = state_of(system).applied
        return applied is not None and applied.revision == revision

    wait_until(advanced, 20, "the revision is advanced")
    state = state_of(system)
    assert state.episode is not None
    assert state.episode.revision == revision
    assert value_of(kubectl, namespace) == "9", "what the commit does not touch is left as it is"
    assert state.converged is not None
    assert state.converged.revision != revision, "it is not claimed to be converged"
    edit(kubectl, namespace, "1")
    wait_converged(system, revision, 20)
    assert len({each.episode.id for each in state_of(system).news}) == 1


def test_an_environment_is_looked_after_before_the_branches_were_read_again(
    control_plane: ControlPlane,
    empty_redis: str,
    start_system: StartSystem,
    kubectl: Kubectl,
    namespace: str,
    tmp_path: Path,
) -> None:
    """The poller has read an empty repository and sleeps; that it saw no environment says nothing of one pushed since."""
    with start_system(control_plane.kubeconfig("worker"), empty_redis, poll="10m") as system:
        clone = Clone(tmp_path / "clone", system.repository)
        clone.write("plumbline.yaml", with_policy(namespace, HEAL))
        clone.write("app/a.yaml", config_map("a", n="1"))
        revision = clone.commit("first")
        assert clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
        wait_converged(system, revision)
        edit(kubectl, namespace, "9")
        wait_until(lambda: Event.HEALED in events_of(system), 20, "it is healed")
        assert value_of(kubectl, namespace) == "1"


def test_an_environment_that_left_plumbline_yaml_is_looked_after_no_more_and_again_once_it_is_back(
    system: LocalSystem, clone: Clone, start: Callable[[str], str], kubectl: Kubectl, namespace: str
) -> None:
    start(HEAL)
    clone.write("plumbline.yaml", "environments: []\n")
    clone.commit("by hand from here on")
    assert "nobody looks" in clone.push("-o", "plumbline.wait=0", "origin", "main").stderr
    time.sleep(4)  # two rounds of the poller
    edit(kubectl, namespace, "9")
    time.sleep(3)
    assert value_of(kubectl, namespace) == "9"
    assert events_of(system) == []
    clone.write("plumbline.yaml", with_policy(namespace, HEAL))
    clone.commit("back again")
    clone.push("-o", "plumbline.wait=0", "origin", "main")
    wait_until(lambda: value_of(kubectl, namespace) == "1", 20, "Git counts again")
