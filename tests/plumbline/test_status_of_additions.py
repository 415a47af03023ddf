"""What people added, and fields that belong to somebody else now, as `plumbline status` says them."""

from __future__ import annotations

import json

import pytest

from plumbline.status_text import FIELDS, document, print_status
from worker.domain.convergence import EnvironmentState, Mark, Operation, Phase, seeing
from worker.domain.episodes import Look
from worker.domain.plan import ABSENT, FieldChange
from worker.domain.proposals import VANISHED, Drift
from worker.domain.resource import ResourceKey, SecretValue

CART = ResourceKey("apps", "Deployment", "shop", "cart")
STRAY = ResourceKey("", "ConfigMap", "shop", "stray")


def added(key: ResourceKey, path: str, value: object) -> Drift:
    return Drift(key, FieldChange(path, ABSENT, value), "kubectl-edit", "2026-11-24T12:51:00Z", "Update")


def state(*additions: Drift, lost: tuple[Drift, ...] = ()) -> EnvironmentState:
    operation = Operation("a" * 40, "main", Phase.SUCCEEDED, 1, 1)
    made = EnvironmentState("shop/production", "uid", operation, applied=Mark("a" * 40, 1), converged=Mark("a" * 40, 1))
    return seeing(made, Look("a" * 40, additions=additions, lost=lost))


def test_additions_and_lost_fields_are_said_with_who_made_them(capsys: pytest.CaptureFixture[str]) -> None:
    gone = Drift(CART, FieldChange("spec.paused", ABSENT, ABSENT), "bob", "", "Update")
    found = document(
        "production",
        state(added(CART, "metadata.labels.debug", "on"), added(STRAY, VANISHED, "stray"), lost=(gone,)),
        [],
        {},
        2,
    )
    assert [(each["object"], each["path"], each["cluster"], each["manager"]) for each in found["additions"]] == [
        ("ConfigMap shop/stray", None, None, "kubectl-edit"),
        ("Deployment shop/cart", "metadata.labels.debug", "on", "kubectl-edit"),
    ]
    print_status(found, 5)
    said = " ".join(capsys.readouterr().out.split())
    assert "ConfigMap shop/stray is there, and nobody declared it (kubectl-edit)" in said
    assert "Deployment shop/cart metadata.labels.debug on, not in Git (kubectl-edit)" in said
    assert "Deployment shop/cart spec.paused is as Git says, and belongs to bob now" in said


def test_they_are_kept_brief_without_secrets_and_known_again() -> None:
    secret = added(ResourceKey("", "Secret", "shop", "s"), "data.b", SecretValue(b"hunter2"))
    large = [added(CART, f"metadata.annotations.a{number}", "x" * 500_000) for number in range(FIELDS + 3)]
    first = state(secret, *large)
    text = json.dumps(first.to_json())
    assert len(text) < 20_000
    assert "hunter2" not in text
    assert "aHVudGVy" not in text
    kept = EnvironmentState.from_json(json.loads(text))
    assert seeing(kept, Look("a" * 40, additions=(secret, *large))) is kept, "the same is nothing new"
    assert seeing(kept, Look("a" * 40, reason="the cluster does not answer")) is kept
    some = seeing(kept, Look("a" * 40, keys=frozenset({CART})))
    assert [each.key.kind for each in some.additions] == ["Secret"], "what was not looked at is as it was"
