"""Somebody changes the cluster by hand: it is noticed, said with its author, healed where that is wanted, and closed."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from plumbline.local_system import Clone, LocalSystem
from sandbox.processes import wait_until
from tests.conftest import Kubectl, config_map, declaration
from tests.invariants import recorded_of, wait_converged
from worker.domain.convergence import EnvironmentState
from worker.domain.episodes import Cause, Episode, Event, Stage

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
