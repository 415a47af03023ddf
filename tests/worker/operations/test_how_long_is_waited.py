"""How long an operation waits for objects that are not healthy: until its deadline, or shorter where waiting mends nothing."""

from __future__ import annotations

import pytest

from tests.conftest import DEPLOYMENT, Kubectl, config_map
from tests.world import World
from worker.domain.convergence import Operation, Phase
from worker.domain.episodes import Cause
from worker.domain.health import Health
from worker.domain.reports import Step
from worker.operations import advancing
from worker.operations.advancing import GRACE, MENDS_NOT, patience

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("health", "since", "left", "expected"),
    [
        (Health.PROGRESSING, 0.0, 100.0, (0.0, False)),
        (Health.PROGRESSING, NOW - GRACE, 100.0, (0.0, False)),  # it was degraded and is tried again
        (Health.UNKNOWN, 0.0, 100.0, (0.0, False)),
        (Health.PROGRESSING, 0.0, -0.1, (0.0, True)),
        (Health.DEGRADED, 0.0, 100.0, (NOW, False)),
        (Health.DEGRADED, NOW - GRACE + 0.1, 100.0, (NOW - GRACE + 0.1, False)),
        (Health.DEGRADED, NOW - GRACE, 100.0, (NOW - GRACE, True)),
        (Health.MISSING, 0.0, 100.0, (NOW, False)),  # whoever deleted it may be about to make it again
        (Health.MISSING, NOW - GRACE, 100.0, (NOW - GRACE, True)),
        (Health.MISSING, 0.0, -0.1, (NOW, True)),
    ],
)
def test_what_waiting_does_not_mend_is_waited_for_for_a_grace_only(
    health: Health, since: float, left: float, expected: tuple[float, bool]
) -> None:
    operation = Operation("f" * 40, "main", Phase.WAITING, NOW, NOW, deadline=NOW + left, troubled=since)
    assert patience(operation, NOW, is_bad=health in MENDS_NOT) == expected


def test_what_somebody_deletes_while_a_rollout_is_waited_for_fails_the_operation_and_is_made_again(
    world: World, kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advancing, "GRACE", 0.5)
    patient = world.with_policy(health_timeout=600)
    text = f"{config_map('a', v='1')}\n---\n{DEPLOYMENT.replace('x:1', 'x:never-ready')}"
    deleted: list[int] = []

    def delete() -> None:
        if not deleted:
            deleted.append(1)
            kubectl("-n", world.namespace, "delete", "configmap", "a")

    recorded = patient.converge(text, between_looks=delete)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.FAILED, "long before its deadline"
    said = patient.said(Step.FAILED)
    assert f"ConfigMap {world.namespace}/a: was applied and is not there any more" in said
    assert recorded.state.episode is not None
    assert recorded.state.episode.cause is Cause.FAILURE
    seen = patient.look(text).look
    assert [(each.key.name, each.field.path) for each in seen.drift] == [("a", "metadata.name")], "and so it is healed"
    patient.heal(text)
    assert kubectl("-n", world.namespace, "get", "configmap", "a", "-o", "jsonpath={.data.v}").stdout == "1"
