"""What a commit's status says of a divergence, as a table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.divergence_statuses import (
    diverged,
    divergence_check,
    divergence_deployment,
    divergence_facts,
    divergence_line,
    divergence_state,
    same_said,
)
from bot.forges.port import State
from bot.statuses import LONGEST
from tests.bot.divergences import GONE, PASSWORD, PULL, REMOVED, SCALED, TAKEN, episode, said
from worker.domain.divergence import EpisodeReport
from worker.domain.environment import Mode
from worker.domain.episodes import Event, News
from worker.domain.plan import FieldChange
from worker.domain.resource import ResourceKey

LINK = "https://plumbline.example.com/environments/shop/production"


@pytest.mark.parametrize(
    ("report", "state", "text"),
    [
        (said(Event.OPENED, SCALED), State.FAILURE, "Drifted: Deployment shop/checkout spec.replicas 5, Git says 3 (kubectl-edit, 14 m)"),
        (said(Event.CHANGED, SCALED, PULL, REMOVED), State.FAILURE, "Drifted: Deployment shop/checkout spec.replicas 5, Git says 3 (kubectl-edit, 14 m) and 2 more"),
        (said(Event.OPENED, TAKEN), State.FAILURE, "Conflict: Deployment shop/checkout spec.replicas 5, Git says 3 (argocd, 14 m)"),
        (said(Event.OPENED, GONE), State.FAILURE, "Drifted: ConfigMap shop/flags is gone, Git has it (by whom is not known, 14 m)"),
        (said(Event.OPENED, REMOVED, after=3), State.FAILURE, "Drifted: ConfigMap shop/flags data.colour is removed, Git says green (by whom is not known, 3 s)"),
        (said(Event.OPENED, PULL), State.FAILURE, "Degraded: Deployment shop/checkout: ImagePullBackOff for 60 s (14 m)"),
        (said(Event.CHANGED, replace(PULL, health="missing", text="is not there")), State.FAILURE, "Missing: Deployment shop/checkout: is not there (14 m)"),
        (said(Event.FIGHT, SCALED, mode=Mode.HEAL, quarrel="kubectl-edit"), State.FAILURE, "Drifted, healing stopped: Deployment shop/checkout spec.replicas 5, Git says 3 (kubectl-edit, 14 m)"),
        (said(Event.HEALED, SCALED, mode=Mode.HEAL), State.PENDING, "Healed, settling: Deployment shop/checkout is set back after 14 m"),
        (said(Event.CLOSING, wait=30), State.PENDING, "Settling for 30 s: nothing differs any more, after 14 m"),
        (said(Event.CONVERGED), State.SUCCESS, "Back to what Git says after 14 m; stayed so for 30 s"),
    ],
)  # fmt: skip
def test_a_divergence_in_a_line(report: EpisodeReport, state: State, text: str) -> None:
    for mode in Mode:
        status = diverged(replace(report, mode=mode), "default", LINK)
        assert status is not None
        assert (status.context, status.state, status.text, status.link) == (
            "plumbline/converge/production",
            state,
            text,
            LINK,
        )
    assert divergence_deployment(report, state, LINK).text == text
    check = divergence_check(report, state, "default", LINK)
    assert (check.state, check.title) == (state, text)
    assert check.name != "plumbline/converge/production"


def test_what_is_only_noticed_reminded_of_or_ended_by_a_newer_commit_writes_nothing() -> None:
    assert diverged(said(Event.NOTICED, SCALED), "default", LINK) is None
    assert diverged(said(Event.REMINDER, SCALED), "default", LINK) is None
    ended = said(Event.CONVERGED)
    ended = replace(ended, news=News(Event.CONVERGED, ended.news.episode, ended.news.at, None))
    assert diverged(ended, "default", LINK) is None


def test_what_is_too_long_keeps_its_author_and_its_age() -> None:
    long = replace(
        SCALED,
        key=ResourceKey("apps", "Deployment", "n" * 63, "d" * 200),
        field=FieldChange("spec." + "x" * 300, "w" * 300, "v" * 300),
        manager="m" * 128,
    )
    for events in ([long], [long, PULL], [replace(PULL, text="why " * 100)]):
        text = divergence_line(said(Event.OPENED, *events))
        assert len(text) <= LONGEST
        assert ", 14 m)" in text or text.endswith(" (14 m)")
    assert "mmm" in divergence_line(said(Event.OPENED, long))


def test_the_same_divergence_later_is_the_same_and_another_is_not() -> None:
    first = same_said(said(Event.OPENED, SCALED, after=30))
    assert same_said(said(Event.CHANGED, SCALED, after=3000)) == first
    others = [
        said(Event.CHANGED, replace(SCALED, field=FieldChange("spec.replicas", 3, 6))),
        said(Event.CHANGED, replace(SCALED, manager="bob")),
        said(Event.CHANGED, SCALED, PULL),
        said(Event.HEALED, SCALED),
        said(Event.FIGHT, SCALED, quarrel="bob"),
        said(Event.CLOSING),
    ]
    assert len({first, *(same_said(each) for each in others)}) == 1 + len(others)


def test_a_note_says_to_machines_what_is_so_and_keeps_the_proof_of_what_converged() -> None:
    facts = divergence_facts(said(Event.OPENED, SCALED))
    assert (facts["state"], facts["cause"], facts["episode"]) == ("diverged", "drift", episode(SCALED).id)
    assert "digest" not in facts
    facts = divergence_facts(said(Event.CONVERGED))
    assert (facts["state"], facts["digest"]) == ("converged", "d" * 16)


def test_a_secret_that_drifted_is_not_shown() -> None:
    report = said(Event.OPENED, PASSWORD)
    state = divergence_state(report)
    assert state is State.FAILURE
    said_everywhere = (
        f"{divergence_line(report)}{divergence_facts(report)}{divergence_check(report, state, 'default', LINK)}"
    )
    assert "canary" not in said_everywhere
    assert "Secret shop/db data.password" in said_everywhere
