"""How an environment stands by what is known of it: the table is the test; and record and reports come to the same."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from worker.domain.axes import PHASES, Known, Plumb, Standing, Word, open_news, recorded, standing, told
from worker.domain.convergence import EnvironmentState, Mark, Operation, Phase
from worker.domain.divergence import EpisodeReport
from worker.domain.environment import Mode
from worker.domain.episodes import Cause, Episode, Event, News, Stage, Trouble
from worker.domain.health import Health
from worker.domain.plan import ABSENT, FieldChange
from worker.domain.proposals import Drift
from worker.domain.reports import ConvergenceReport, Step
from worker.domain.resource import ResourceKey

NEW, OLD = "b" * 40, "a" * 40
CART = ResourceKey("apps", "Deployment", "shop", "cart")
REPLICAS = Drift(CART, FieldChange("spec.replicas", 3, 5), "kubectl-edit", "2026-11-24T12:51:00Z", "Update")
THEIRS = replace(REPLICAS, manager="argocd", operation="Apply")
GONE = Drift(CART, FieldChange("metadata.name", "cart", ABSENT))


def trouble(health: str) -> Trouble:
    return Trouble(CART, health, "why")


def episode(*drift: Drift, troubles: tuple[Trouble, ...] = (), **more: object) -> Episode:
    cause = Cause.DRIFT if drift else Cause.FAILURE
    facts: dict[str, object] = {"revision": NEW, "cause": cause, "stage": Stage.OPEN, "since": 100.0, **more}
    return Episode("e1", drift=drift, troubles=troubles, **facts)  # type: ignore[arg-type]


DRIFTED, CLOSING = episode(REPLICAS), episode(stage=Stage.CLOSING, clear=200.0)
CONFLICT = episode(THEIRS, cause=Cause.CONFLICT)
BROKEN, SLOW = episode(troubles=(trouble("degraded"),)), episode(troubles=(trouble("progressing"),))
UNSEEN = episode()
OF_OLD = replace(DRIFTED, revision=OLD)

TABLE = """
phase      | verified | health      | degraded | episode   || sync     | health      | operation  | cause     | mark     | word
queued     | never    |             |          |           || unknown  | unknown     | queued     | committed | moving   | retrying
queued     | before   | healthy     |          |           || diverged | healthy     | queued     | committed | moving   | retrying
queued     | before   | healthy     |          | drifted   || diverged | healthy     | queued     | committed | moving   | retrying
planning   | never    |             |          |           || unknown  | unknown     | planning   | committed | moving   | converging
planning   | before   | degraded    |          |           || diverged | degraded    | planning   | committed | moving   | converging
planning   | this     | healthy     |          |           || in sync  | healthy     | planning   |           | moving   | converging
planning   | this     | healthy     |          | drifted   || diverged | healthy     | planning   | committed | moving   | converging
applying   | never    |             |          |           || diverged | progressing | applying   | committed | moving   | converging
applying   | before   | healthy     |          | of old    || diverged | progressing | applying   | committed | moving   | converging
waiting    | before   | healthy     |          |           || diverged | progressing | applying   | committed | moving   | converging
waiting    | before   | healthy     | yes      |           || diverged | degraded    | applying   | committed | moving   | degraded
waiting    | before   | healthy     |          | broken    || diverged | progressing | applying   | committed | moving   | converging
settling   | this     | healthy     |          |           || in sync  | healthy     | settling   |           | moving   | settling
settling   | this     | suspended   |          |           || in sync  | suspended   | settling   |           | moving   | settling
settling   | this     |             |          |           || in sync  | healthy     | settling   |           | moving   | settling
succeeded  | this     |             |          |           || in sync  | healthy     | succeeded  |           | straight | converged
succeeded  | this     | suspended   |          |           || in sync  | suspended   | succeeded  |           | straight | converged
succeeded  | this     | degraded    |          |           || in sync  | degraded    | succeeded  |           | tilted   | not healthy
succeeded  | this     | unknown     |          |           || in sync  | unknown     | succeeded  |           | tilted   | not healthy
succeeded  | this     | healthy     |          | drifted   || diverged | healthy     | succeeded  | drift     | tilted   | drifted
succeeded  | this     | healthy     |          | conflict  || diverged | healthy     | succeeded  | conflict  | tilted   | in conflict
succeeded  | this     | healthy     |          | gone      || diverged | missing     | succeeded  | drift     | tilted   | drifted
succeeded  | this     | healthy     |          | broken    || in sync  | degraded    | succeeded  | failure   | tilted   | not healthy
succeeded  | this     | healthy     |          | slow      || in sync  | progressing | succeeded  | failure   | moving   | progressing
succeeded  | this     | healthy     |          | closing   || in sync  | healthy     | succeeded  |           | moving   | settling
failed     | never    |             |          |           || unknown  | unknown     | failed     | failure   | tilted   | failed
failed     | before   | healthy     |          |           || diverged | healthy     | failed     | failure   | tilted   | failed
failed     | before   | healthy     | yes      |           || diverged | degraded    | failed     | failure   | tilted   | failed
failed     | before   | healthy     |          | unseen    || diverged | healthy     | failed     | failure   | tilted   | failed
failed     | before   | healthy     | yes      | broken    || in sync  | degraded    | failed     | failure   | tilted   | failed
failed     | before   | healthy     |          | drifted   || diverged | healthy     | failed     | drift     | tilted   | failed
failed     | before   | healthy     |          | of old    || diverged | healthy     | failed     | drift     | tilted   | failed
failed     | before   | healthy     | yes      | closing   || in sync  | healthy     | failed     | failure   | tilted   | failed
failed     | this     | healthy     |          |           || unknown  | unknown     | failed     | failure   | tilted   | failed
failed     | this     | healthy     |          | unseen    || unknown  | unknown     | failed     | failure   | tilted   | failed
failed     | this     | healthy     |          | drifted   || diverged | healthy     | failed     | drift     | tilted   | failed
superseded | before   | healthy     |          |           || diverged | healthy     | superseded |           | moving   | superseded
held       | never    |             |          |           || diverged | unknown     | held       | committed | tilted   | held
held       | before   | healthy     |          |           || diverged | healthy     | held       | committed | tilted   | held
held       | before   | healthy     |          | drifted   || diverged | healthy     | held       | committed | tilted   | held
left       | before   |             |          |           || unknown  | unknown     | left       |           | moving   | no longer declared
left       | this     | healthy     |          |           || unknown  | healthy     | left       |           | moving   | no longer declared
"""
"""`verified`: whether the newest revision ever was (this), only another one (before), or none; `degraded` while waited for."""

EPISODES = {
    "": None, "drifted": DRIFTED, "conflict": CONFLICT, "gone": episode(GONE), "broken": BROKEN, "slow": SLOW,
    "closing": CLOSING, "unseen": UNSEEN, "of old": OF_OLD,
}  # fmt: skip
VERIFIED = {"never": None, "before": False, "this": True}
ROWS = [[cell.strip() for cell in line.replace("||", "|").split("|")] for line in TABLE.strip().splitlines()[1:]]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: " ".join(row[:5]))
def test_what_is_known_decides_the_axes_the_cause_the_mark_and_the_word(row: list[str]) -> None:
    phase, verified, health, degraded, about, *wanted = row
    known = Known(
        Phase(phase), NEW, VERIFIED[verified], degraded == "yes", Health(health) if health else None, EPISODES[about]
    )
    found = standing(known)
    assert [
        found.axes.sync.value, found.axes.health.value, found.axes.operation.value,
        found.cause.value if found.cause else "", found.plumb.value, found.word.value,
    ] == wanted  # fmt: skip


def test_the_table_has_every_phase_and_every_answer() -> None:
    assert {row[0] for row in ROWS} == {phase.value for phase in Phase}
    assert {row[7] for row in ROWS} == {phase.value for phase in Phase} - {"waiting"}, "who waits is still applying"
    assert {row[10] for row in ROWS} == {word.value for word in Word}
    assert {row[8] for row in ROWS} == {cause.value for cause in Cause} | {""}


def test_every_step_that_is_said_leaves_an_operation_in_a_phase() -> None:
    assert set(PHASES) == set(Step)


def test_nothing_is_straight_without_proof() -> None:
    every = itertools.product(Phase, (None, False, True), EPISODES, (None, *Health))
    for phase, verified, about, health in every:
        found = standing(Known(phase, NEW, verified, health=health, episode=EPISODES[about]))
        is_proven = phase is Phase.SUCCEEDED and about == "" and (health is None or health.is_good)
        assert (found.plumb is Plumb.STRAIGHT) is is_proven, (phase, verified, about, health)


# -- record and reports ----------------------------------------------------------------------------------------------


def fact(step: Step, at: float, revision: str = NEW, health: dict[str, int] | None = None) -> ConvergenceReport:
    proof = {"health": health, "objects": 1} if health else None
    return ConvergenceReport("shop", "production", "main", revision, step, "", 0.0, at, int(at * 1000), proof)


def said(event: Event, at: float, about: Episode) -> EpisodeReport:
    return EpisodeReport("shop", "production", "main", about.revision, Mode.ALERT, News(event, about, at))


def state(phase: Phase, revision: str = NEW, **more: object) -> EnvironmentState:
    operation = Operation(revision, "main", phase, 0.0, 0.0)
    return EnvironmentState("shop/production", "uid", operation=operation, **more)  # type: ignore[arg-type]


CONVERGED = [fact(Step.CONVERGING, 1), fact(Step.APPLIED, 2), fact(Step.VERIFIED, 3, health={"healthy": 1}), fact(Step.CONVERGED, 9, health={"healthy": 1})]  # fmt: skip
NEXT = [fact(Step.CONVERGING, 20, "c" * 40), fact(Step.APPLIED, 21, "c" * 40), fact(Step.WAITING, 22, "c" * 40)]
DONE = Mark(NEW, 3.0)


@pytest.mark.parametrize(
    ("record", "history", "episodes"),
    [
        (state(Phase.WAITING), CONVERGED[:2], []),
        (state(Phase.SETTLING, verified=DONE, health="healthy"), CONVERGED[:3], []),
        (state(Phase.SUCCEEDED, verified=DONE, health="healthy"), CONVERGED, []),
        (state(Phase.SUCCEEDED, verified=DONE, health="healthy", episode=DRIFTED), CONVERGED, [said(Event.OPENED, 12, DRIFTED)]),
        (state(Phase.SUCCEEDED, verified=DONE, health="healthy", episode=CLOSING), CONVERGED, [said(Event.OPENED, 12, DRIFTED), said(Event.CLOSING, 13, CLOSING)]),
        (state(Phase.SUCCEEDED, verified=DONE, health="healthy"), CONVERGED, [said(Event.OPENED, 12, DRIFTED), said(Event.CONVERGED, 14, CLOSING)]),
        (state(Phase.SUCCEEDED, verified=DONE, health="healthy"), CONVERGED, [said(Event.NOTICED, 12, DRIFTED), said(Event.GONE, 13, DRIFTED)]),
        (state(Phase.WAITING, "c" * 40, verified=DONE, episode=DRIFTED), [*CONVERGED, *NEXT], [said(Event.OPENED, 12, DRIFTED)]),
        (state(Phase.SETTLING, "c" * 40, verified=Mark("c" * 40, 23.0), health="healthy", episode=DRIFTED), [*CONVERGED, *NEXT, fact(Step.VERIFIED, 23, "c" * 40, {"healthy": 1})], [said(Event.OPENED, 12, DRIFTED)]),
        (state(Phase.FAILED, "c" * 40, verified=DONE, health="healthy"), [*CONVERGED, *NEXT, fact(Step.FAILED, 24, "c" * 40)], []),
        (state(Phase.HELD, "c" * 40, verified=DONE, health="healthy"), [*CONVERGED, NEXT[0], fact(Step.HELD, 24, "c" * 40)], []),
        (state(Phase.LEFT, verified=DONE), [*CONVERGED, fact(Step.LEFT, 24)], [said(Event.OPENED, 12, DRIFTED)]),
    ],
)  # fmt: skip
def test_pages_and_terminals_say_the_same_of_the_same_story(
    record: EnvironmentState, history: list[ConvergenceReport], episodes: list[EpisodeReport]
) -> None:
    known = recorded(record)
    assert known is not None
    by_record, by_reports = standing(known), standing(told(history, episodes))
    assert by_record == by_reports
    assert isinstance(by_record, Standing)


def test_nothing_is_known_of_what_was_never_begun() -> None:
    assert recorded(EnvironmentState("shop/production", "uid")) is None


def test_a_degraded_object_is_degraded_until_something_else_is_said_of_its_health() -> None:
    degraded = [*NEXT, fact(Step.DEGRADED, 23, "c" * 40)]
    assert told(degraded).is_troubled
    assert told([*degraded, fact(Step.FAILED, 24, "c" * 40)]).is_troubled
    assert not told([*degraded, fact(Step.WAITING, 24, "c" * 40)]).is_troubled
    assert not told([*degraded, fact(Step.CONVERGING, 24, "d" * 40)]).is_troubled, "another revision's"


def test_a_divergence_is_over_once_all_of_it_was_verified_also_where_its_end_was_never_heard() -> None:
    news = [said(Event.OPENED, 12, DRIFTED)]
    assert open_news(CONVERGED, news) is news[0]
    assert open_news([*CONVERGED, *NEXT], news) is news[0], "a commit on its way ends nothing"
    assert open_news([*CONVERGED, *NEXT, fact(Step.VERIFIED, 23, "c" * 40)], news) is None
    assert open_news([*CONVERGED, *NEXT, fact(Step.FAILED, 23, "c" * 40)], news) is news[0]
    assert open_news([*CONVERGED, fact(Step.LEFT, 23)], news) is None, "nobody looks any more"
    again = said(Event.OPENED, 40, DRIFTED)
    assert open_news([*CONVERGED, fact(Step.LEFT, 23)], [*news, again]) is again
