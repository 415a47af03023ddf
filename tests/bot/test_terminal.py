"""What the pusher reads, line by line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.forges.plain_git import merged
from bot.statuses import LONGEST, status_line
from bot.terminal import convergence_line, preview_lines, short_field
from worker.domain.errors import Problem
from worker.domain.field_text import visible
from worker.domain.messages import RefUpdate
from worker.domain.plan import ABSENT, Action, Change, FieldChange, Plan
from worker.domain.reports import ConvergenceReport, EnvironmentPreview, Outcome, PreviewReport, Step
from worker.domain.resource import ResourceKey, SecretValue

MOVE = RefUpdate("refs/heads/main", "1" * 40, "2" * 40)


@pytest.mark.parametrize(
    ("path", "old", "new", "words"),
    [
        (
            "spec.template.spec.containers[name=cart].image",
            "ghcr.io/a/cart:1.4.1",
            "ghcr.io/a/cart:1.5.0",
            "image 1.4.1 -> 1.5.0",
        ),
        ("spec.template.spec.containers[name=cart].image", "a:1", "b:2", "image a:1 -> b:2"),
        ("spec.template.spec.containers[name=cart].resources.limits.memory", "1Gi", "2Gi", "limits.memory 1Gi -> 2Gi"),
        ("spec.replicas", 2, 3, "replicas 2 -> 3"),
        ("data.a", ABSENT, "x", "data.a unset -> x"),
        ("data.p", SecretValue(b"one"), SecretValue(b"two"), "data.p ••••• (before) -> ••••• (after)"),
        ("data.x", "\x1b[31m", "\u202e", "data.x ^[[31m -> \\x202e"),
    ],
)
def test_a_field_in_short(path: str, old: object, new: object, words: str) -> None:
    assert short_field(FieldChange(path, old, new)) == words


def planned(*changes: Change) -> PreviewReport:
    return PreviewReport(
        "t", "shop", (EnvironmentPreview("production", Outcome.PLANNED, Plan("e", "r", changes, (), "f" * 32)),)
    )


def change(action: Action, name: str = "c", reason: str = "") -> Change:
    return Change(ResourceKey("", "ConfigMap", "ns", name), "v1", action, reason)


def test_nothing_changed_is_said_with_how_much_was_looked_at() -> None:
    lines = preview_lines(planned(change(Action.UNCHANGED), change(Action.UNCHANGED, "d")), [MOVE], colour=False)
    assert lines[-1] == "  No change for the cluster; all 2 objects are as specified."


def test_a_long_plan_ends_with_how_many_more_and_no_line_is_too_wide() -> None:
    lines = preview_lines(planned(*(change(Action.CREATE, f"{'n' * 90}{n}") for n in range(500))), [MOVE], colour=False)
    assert "  and 460 more" in lines
    assert len(lines) <= 200
    assert max(len(line) for line in lines) <= 100


def test_a_tag_that_changes_stands_beside_its_object_however_long_the_image_is_called() -> None:
    image = FieldChange(
        "spec.template.spec.containers[name=cart].image",
        "registry.example.org/acme/platform/cart:1.4.1",
        "registry.example.org/acme/platform/cart:1.5.0",
    )
    lines = preview_lines(planned(replace(change(Action.CONFIGURE), fields=(image,))), [MOVE], colour=False)
    assert lines[1:] == ["  configure  ConfigMap ns/c  image 1.4.1 -> 1.5.0", "  1 of 1 objects changes."]


def test_an_unpredictable_change_is_loud() -> None:
    lines = preview_lines(
        planned(change(Action.UNPREDICTABLE, reason="the admission webhook w does not answer")), [MOVE], colour=False
    )
    assert "the admission webhook w does not answer" in lines[1]
    assert "1 cannot be predicted" in lines[-1]


def test_a_cluster_that_cannot_be_asked_is_never_no_change() -> None:
    report = PreviewReport(
        "t", "shop", (EnvironmentPreview("production", Outcome.UNAVAILABLE, None, (), "it is away"),)
    )
    text = "\n".join(preview_lines(report, [MOVE], colour=False))
    assert "cannot predict production" in text
    assert "No change" not in text
    assert not report.refuses


def test_a_refusal_names_the_place_and_the_next_step() -> None:
    problem = Problem("expected a number", "app/a.yaml", 14, "Deployment shop/cart", "write a number")
    report = PreviewReport("t", "shop", (EnvironmentPreview("production", Outcome.INVALID, None, (problem,)),))
    assert preview_lines(report, [MOVE], colour=False) == [
        "plumbline  refused production app/a.yaml:14 Deployment shop/cart",
        "  expected a number",
        "  write a number",
    ]
    assert report.refuses


def test_colour_only_when_asked_for() -> None:
    report = planned(change(Action.CREATE))
    assert "\x1b" not in "".join(preview_lines(report, [MOVE], colour=False))
    assert "\x1b[32m" in "".join(preview_lines(report, [MOVE], colour=True))


def fact(step: Step, text: str, **proof: object) -> ConvergenceReport:
    return ConvergenceReport("shop", "production", "main", "2" * 40, step, text, 0.0, 1.25, 1, proof or None)


def test_a_fact_is_a_line_with_its_time() -> None:
    line = convergence_line(fact(Step.APPLIED, "2 of 2"), several=False, colour=False)
    assert line.startswith("  applied    2 of 2 ")
    assert line.endswith(" 1.2 s")
    assert "production: " in convergence_line(fact(Step.APPLIED, "2 of 2"), several=True, colour=False)


def test_a_status_fits_where_forges_cut_it() -> None:
    assert len(status_line(fact(Step.FAILED, "x " * 300))) == LONGEST
    assert (
        status_line(fact(Step.VERIFIED, "v", verdict="as predicted", settle=30))
        == "Verified in 1.2 s, as predicted; settling for 30 s"
    )


def test_a_note_keeps_what_other_environments_wrote() -> None:
    one = merged("", "production", "Converged", {"environment": "production", "state": "converged"})
    two = merged(one, "staging", "Failed", {"environment": "staging", "state": "failed"})
    assert two.splitlines()[:2] == ["production: Converged", "staging: Failed"]
    assert merged(two, "staging", "Failed", {"environment": "staging", "state": "failed"}) == two
    again = merged(two, "staging", "Converged", {"environment": "staging", "state": "converged"})
    assert again.count("staging") == 2
    assert '"environment":"production"' in again


def test_every_steering_character_is_written_out() -> None:
    assert visible("a\x00\x1b\r\n\x7f\x9b\u200b\u202e\ufeffä") == "a^@^[^M^J^?\\x9b\\x200b\\x202e\\xfeffä"
