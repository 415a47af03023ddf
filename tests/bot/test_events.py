"""What happened as events: by their published schemas, each under one id, without a secret in any."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.events import LONGEST_VALUE, Alert, alert_of
from tests.bot.divergences import BEGAN, GONE, PASSWORD, PROOF, PULL, REMOVED, REVISION, SCALED, TAKEN, fact, said
from tests.doubles.receiver import valid
from worker.domain.divergence import EpisodeReport
from worker.domain.environment import Mode
from worker.domain.episodes import Event
from worker.domain.hold_reminder import HoldReport
from worker.domain.locks import Holding
from worker.domain.plan import FieldChange
from worker.domain.reports import ConvergenceReport, Step

FROZEN = Holding("frozen", BEGAN, "the holidays", "bob", "/thaw")
WAITS = Holding("waits for 1 more of 2 approvals", BEGAN, "converge: on-approval", "", "/approve production 4k7m2p9x")
ADDRESS = "https://plumbline.example.com"
PAGE = f"{ADDRESS}/environments/shop/production"


def holding(found: Holding, times: int = 3, period: float = 3600.0) -> HoldReport:
    report = HoldReport("shop", "production", "main", REVISION, found, times, period)
    return HoldReport.from_json(report.to_json())


def alert(report: ConvergenceReport | EpisodeReport | HoldReport) -> Alert:
    found = alert_of(report, "default", ADDRESS)
    assert found is not None
    valid(dict(found.event))
    return found


def data(report: ConvergenceReport | EpisodeReport | HoldReport) -> dict[str, Any]:
    found: dict[str, Any] = alert(report).event["data"]
    return found


@pytest.mark.parametrize(
    ("report", "alert_type", "severity"),
    [
        (fact(Step.CONVERGING, "3f9c2ab", after=0.0), "change-committed", "info"),
        (fact(Step.CONVERGED), "converged", "info"),
        (fact(Step.FAILED, "Deployment shop/cart: ImagePullBackOff"), "failed", "error"),
        (fact(Step.LEFT, "no longer declared in 3f9c2ab: its objects stay"), "left", "warning"),
        (said(Event.OPENED, SCALED), "diff", "warning"),
        (said(Event.OPENED, TAKEN), "diff", "warning"),
        (said(Event.OPENED, PULL), "failed", "error"),
        (said(Event.OPENED, SCALED, PULL, mode=Mode.HEAL), "diff", "warning"),
        (said(Event.REMINDER, SCALED, reminded=BEGAN + 3600), "diff", "warning"),
        (said(Event.REMINDER, PULL, reminded=BEGAN + 3600), "failed", "error"),
        (said(Event.FIGHT, SCALED, mode=Mode.HEAL, quarrel="kubectl-edit"), "fight", "error"),
        (said(Event.CONVERGED), "converged", "info"),
        (holding(FROZEN), "held", "warning"),
        (holding(WAITS), "held", "warning"),
    ],
)
def test_what_is_alerted(
    report: ConvergenceReport | EpisodeReport | HoldReport, alert_type: str, severity: str
) -> None:
    found = alert(report)
    assert (found.alert_type, found.severity) == (alert_type, severity)
    assert (found.event["type"], found.event["severity"]) == (f"io.plumbline.{alert_type}", severity)
    assert (found.event["source"], found.event["subject"]) == (PAGE, "shop/production")
    line, link = found.text.split("\n")
    assert link == PAGE
    assert line.startswith("shop/production: ")


@pytest.mark.parametrize(
    "report",
    [
        *(fact(step) for step in Step if step not in (Step.CONVERGING, Step.CONVERGED, Step.FAILED, Step.LEFT)),
        *(said(event, SCALED) for event in (Event.NOTICED, Event.CHANGED, Event.HEALED, Event.CLOSING)),
        *(said(event, SCALED, mode=Mode.OBSERVE, quarrel="x") for event in Event),
        said(Event.CONVERGED, of_operation=True),  # its end is the commit's own, which is told
    ],
)
def test_what_is_not_alerted(report: ConvergenceReport | EpisodeReport) -> None:
    assert alert_of(report, "default", ADDRESS) is None


def test_a_diff_says_what_git_says_what_is_live_who_wrote_it_and_what_happens_next() -> None:
    found = data(said(Event.OPENED, SCALED, REMOVED, GONE, PULL, mode=Mode.HEAL, wait=5.0, more=7))
    assert (found["episode"], found["cause"], found["mode"], found["next"]) == (
        "e1d2c3b4a5968778",
        "drift",
        "heal",
        "heals in 5 s",
    )
    assert (found["since"], found["more"]) == ("2023-11-14T22:13:20.000Z", 7)
    first, second = found["objects"]
    assert first["key"] == {"group": "apps", "kind": "Deployment", "namespace": "shop", "name": "checkout"}
    assert first["fields"] == [
        {"path": "spec.replicas", "desired": 3, "observed": 5, "manager": "kubectl-edit", "operation": "Update", "time": "2026-11-24T12:51:03Z"}
    ]  # fmt: skip
    assert (first["health"], first["text"]) == ("degraded", "ImagePullBackOff for 60 s")
    assert [(each["path"], each["observed"], each["manager"]) for each in second["fields"]] == [
        ("data.colour", None, ""),
        ("metadata.name", None, ""),
    ]
    assert data(said(Event.OPENED, SCALED, mode=Mode.ALERT))["next"] == "reminds in 1 h"
    assert data(said(Event.FIGHT, SCALED, mode=Mode.HEAL, quarrel="bob"))["next"] == "reminds in 1 h"
    assert data(said(Event.OPENED, SCALED, mode=Mode.HEAL, wait=0))["next"] == "heals now"


def test_what_converged_says_what_it_closes_and_why_that_is_known() -> None:
    found = data(said(Event.CONVERGED, after=870.0))
    assert (found["episode"], found["after"]) == ("e1d2c3b4a5968778", 870.0)
    assert (found["proof"]["objects"], found["proof"]["settle"], found["proof"]["verdict"]) == (
        12,
        30.0,
        "as predicted",
    )
    found = data(fact(Step.CONVERGED))
    assert (found["revision"], found["after"], found["proof"]) == (REVISION, 34.1, PROOF)
    assert "episode" not in found


def test_what_is_left_says_which_divergence_that_ends() -> None:
    left = fact(Step.LEFT, "no longer declared in 3f9c2ab: its objects stay as they are")
    open_then = replace(left, proof={"was": "diverged", "episode": "e1d2c3b4a5968778"})
    assert data(open_then)["episode"] == data(said(Event.OPENED, SCALED))["episode"]
    assert "episode" not in data(replace(left, proof={"was": "converged", "episode": ""}))
    assert data(open_then)["text"].startswith("No longer declared in 3f9c2ab: ")


def test_an_episode_has_one_diff_one_converged_and_reminders_of_their_own() -> None:
    opened, later = said(Event.OPENED, SCALED, after=30), said(Event.OPENED, SCALED, REMOVED, after=900)
    assert alert(opened).event["id"] == alert(later).event["id"], "the id has no time of saying in it"
    reminders = [said(Event.REMINDER, SCALED, after=after, reminded=BEGAN + after) for after in (3600, 7200)]
    ids = [alert(each).event["id"] for each in reminders]
    assert len(set(ids)) == 2
    assert all(each.startswith(f"{alert(opened).event['id']}-reminder-") for each in ids)
    assert [alert(each).event.get("reminder") for each in (opened, *reminders)] == [None, True, True]
    assert "still: " in alert(reminders[0]).text
    again = EpisodeReport.from_json(reminders[0].to_json())
    assert alert(again).event == alert(reminders[0]).event, "told again, it is the same"
    other = replace(opened, environment="staging")
    assert alert(other).event["id"] != alert(opened).event["id"]
    found = alert_of(opened, "blue", ADDRESS)
    assert found is not None
    assert found.event["id"] != alert(opened).event["id"]


def test_what_is_held_says_who_why_for_how_long_and_what_ends_it() -> None:
    found = data(holding(FROZEN))
    assert (found["what"], found["by"], found["reason"], found["release"], found["times"]) == (
        "frozen", "bob", "the holidays", "/thaw", 3,
    )  # fmt: skip
    assert (found["since"], found["text"]) == (
        "2023-11-14T22:13:20.000Z",
        "Frozen by bob for 3 h: the holidays (/thaw)",
    )
    assert alert(holding(FROZEN)).event["time"] == "2023-11-15T01:13:20Z", "when it was due, not when it was said"
    assert alert(holding(FROZEN)).text.startswith("shop/production: still: Frozen by bob")
    found = data(holding(WAITS))
    assert (found["by"], found["text"]) == (
        "",
        "Waits for 1 more of 2 approvals for 3 h: converge: on-approval (/approve production 4k7m2p9x)",
    )
    long = data(holding(replace(FROZEN, why="because " * 400)))
    assert len(long["text"]) <= 140
    assert long["text"].endswith("(/thaw)")


def test_each_period_of_a_hold_is_one_event_and_another_hold_another() -> None:
    first, again = holding(FROZEN), holding(replace(FROZEN, why="the same hold"))
    others = [
        holding(FROZEN, 4),
        holding(replace(FROZEN, since=BEGAN + 1)),
        holding(replace(FROZEN, release="/unhold production")),
        replace(first, environment="staging"),
    ]
    assert alert(first).event["id"] == alert(again).event["id"]
    assert len({alert(each).event["id"] for each in (first, *others)}) == 1 + len(others)


def test_a_commit_s_events_are_told_apart_by_arrival_and_not_by_when_they_are_said() -> None:
    first, told_again = fact(Step.FAILED, "why", after=60), fact(Step.FAILED, "why else", after=600)
    assert alert(first).event["id"] == alert(told_again).event["id"]
    later = replace(first, at=first.at + 86400)
    assert alert(later).event["id"] != alert(first).event["id"], "the same commit again, after a rollback to it"
    assert alert(fact(Step.CONVERGED)).event["id"] != alert(first).event["id"]


def test_no_secret_and_nothing_endless_is_in_an_event() -> None:
    long = replace(SCALED, field=FieldChange("spec.text", "a" * 100_000, ["b" * 100_000]))
    found = alert(said(Event.OPENED, PASSWORD, long))
    text = json.dumps(found.event) + found.text
    assert "canary" not in text
    assert "•••••" in json.dumps(found.event, ensure_ascii=False)
    assert len(text) < 3 * LONGEST_VALUE + 4000
    assert "(100000 characters)" in text


@pytest.mark.parametrize(
    "hostile", ["@everyone", "<!channel>", "[x](https://evil)", "*bold*", "`code`", "a\nb", "\x1b[31m"]
)
def test_what_a_cluster_says_mentions_and_marks_up_nothing_in_a_chat(hostile: str) -> None:
    line, link = alert(said(Event.OPENED, replace(SCALED, manager=hostile))).text.split("\n")
    assert hostile not in line
    assert link == PAGE


@given(
    st.sampled_from(list(Event)), st.sampled_from(list(Mode)), st.text(max_size=300), st.text(min_size=1, max_size=300),
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.lists(st.text(), max_size=3)),
    st.floats(0, 1e7), st.floats(0, 1e5),
)  # fmt: skip
def test_whatever_a_cluster_says_the_event_is_valid(
    event: Event, mode: Mode, manager: str, path: str, value: object, after: float, wait: float
) -> None:
    drift = replace(SCALED, manager=manager, field=FieldChange(path, "wanted", value))
    report = said(event, drift, mode=mode, after=after, wait=wait, quarrel=manager or "x", reminded=BEGAN + after)
    found = alert_of(report, "default", ADDRESS)
    if found is not None:
        valid(dict(found.event))
        assert found.text.count("\n") == 1
