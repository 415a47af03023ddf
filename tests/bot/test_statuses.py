"""What stands beside a commit, as tables."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bot.forges.port import State
from bot.statuses import (
    LONGEST,
    NOTED,
    check_name,
    converge_context,
    converging,
    converging_check,
    deployment,
    is_written,
    predict_context,
    predicted,
    predicted_check,
    predicting,
    proposal_page,
    state_of,
    waiting_for_a_maintainer,
)
from tests.bot.situations import (
    AWAY,
    CLAIM,
    IMAGE,
    INVALID,
    LINK,
    PRODUCTION,
    SAME,
    SECRET,
    STAGING,
    UNKNOWN,
    UNTOUCHED,
    comment,
    report,
    verdict,
)
from worker.domain.proposals import ProposalReport
from worker.domain.reports import Step
from worker.domain.resource import Source


@pytest.mark.parametrize(
    ("found", "state", "text"),
    [
        (report(STAGING), State.SUCCESS, "1 change in 1 environment; nothing is deleted"),
        (report(STAGING, PRODUCTION), State.SUCCESS, "4 changes in 2 environments; 1 is deleted; merging production waits for a confirmation"),
        (report(SAME, UNTOUCHED), State.SUCCESS, "No change"),
        (report(STAGING, INVALID), State.FAILURE, "production: clusters/production/cart.yaml:14: Deployment shop/cart "),
        (report(STAGING, AWAY), State.ERROR, "production: Cannot predict: blue does not answer (timed out)"),
        (report(UNKNOWN), State.ERROR, "production: Cannot predict: Deployment shop/cart the webhook inject.acme.io"),
        (report(), State.FAILURE, "Nothing was predicted: no environment follows main"),
        (report(STAGING, merged=""), State.FAILURE, "Nothing was predicted"),
        (report(merged="", conflicts=("a",)), State.FAILURE, "Conflicts with main: nothing to predict until they are resolved"),
    ],
)  # fmt: skip
def test_f13_only_a_known_prediction_is_green(found: ProposalReport, state: State, text: str) -> None:
    whole, *each = predicted(found, "default", LINK)
    assert (whole.context, whole.state, whole.link) == ("plumbline/predict", state, LINK)
    assert whole.text.startswith(text)
    assert [one.context for one in each] == [f"plumbline/predict/{one.environment}" for one in found.environments]
    assert all(len(one.text) <= LONGEST for one in (whole, *each))


@pytest.mark.parametrize("step", Step)
def test_only_converged_is_green_and_everything_else_says_what_it_is(step: Step) -> None:
    status = converging(verdict(step, "why " * 100), "default", LINK)
    expected = {
        Step.CONVERGED: State.SUCCESS, Step.FAILED: State.FAILURE, Step.SUPERSEDED: State.CANCELLED,
        Step.LEFT: State.CANCELLED,
    }  # fmt: skip
    assert status.state is state_of(verdict(step)) is expected.get(step, State.PENDING)
    assert status.context == "plumbline/converge/production"
    assert 0 < len(status.text) <= LONGEST
    assert deployment(verdict(step), LINK).state is status.state


@pytest.mark.parametrize(
    ("step", "text", "said"),
    [
        (Step.CONVERGING, "3f9c2ab", "Converging to 3f9c2ab"),
        (Step.VERIFIED, "", "Verified in 4.1 s, as predicted; settling for 30 s"),
        (Step.CONVERGED, "", "Converged in 4.1 s, as predicted; stayed so for 30 s"),
        (Step.SUPERSEDED, "5b1e0aa took over", "Superseded before it converged: 5b1e0aa took over"),
        (Step.HELD, "frozen", "Held: frozen"),
        (Step.LEFT, "its branch next is gone: its objects stay", "Its branch next is gone: its objects stay"),
        (Step.FAILED, "Deployment shop/cart:\nImagePullBackOff", "Deployment shop/cart: ImagePullBackOff"),
    ],
)
def test_a_convergence_in_a_line(step: Step, text: str, said: str) -> None:
    assert converging(verdict(step, text), "default", LINK).text == said


@pytest.mark.parametrize(
    ("was", "written"), [("converged", False), ("diverged", True), ("failed", True), ("held", True), ("waiting", True)]
)
def test_a_commit_that_had_converged_did_so_also_where_its_environment_is_left(was: str, written: bool) -> None:
    assert is_written(replace(verdict(Step.LEFT, "left"), proof={"was": was})) is written


def test_a_commit_that_changes_nothing_for_an_environment_says_so_in_status_and_comment() -> None:
    report_ = verdict(Step.CONVERGED)
    report_ = replace(report_, proof={**(report_.proof or {}), "same_as": "a41b7e9" * 5})
    status = converging(report_, "default", LINK)
    assert (status.state, status.text) == (
        State.SUCCESS, "No change for this environment; it stays converged as at a41b7e9",
    )  # fmt: skip
    text = comment(report(PRODUCTION), verdicts=(report_,))
    assert f"✔ **production** is at `{report_.revision[:7]}`, which changes nothing for it." in text
    assert "in 4.1 s" not in text


def test_two_installations_and_checks_and_statuses_never_share_a_name() -> None:
    names = {
        name.lower()
        for instance in ("default", "blue")
        for name in (
            predict_context(instance), predict_context(instance, "production"), converge_context(instance, "production"),
            check_name(instance, "prediction"), check_name(instance, "production"),
        )
    }  # fmt: skip
    assert len(names) == 10
    assert predict_context("blue") == "plumbline-blue/predict"


def test_a_check_notes_a_problem_at_its_line_and_shows_plan_and_proof_as_text_only() -> None:
    check = predicted_check(report(INVALID), "default", LINK)
    assert [(note.path, note.line, note.level) for note in check.annotations] == [
        ("clusters/production/cart.yaml", 14, "failure")
    ]
    told = converging_check(verdict(Step.CONVERGED, "@org `x`"), PRODUCTION.plan, "default", LINK)
    assert "prune PersistentVolumeClaim shop/cart-data" in told.summary
    assert "verdict: as predicted" in told.summary
    assert told.summary.count("```text") == 2
    assert told.name == "Plumbline: production"


def test_what_waits_is_pending() -> None:
    assert predicting("default", LINK).state is State.PENDING
    assert waiting_for_a_maintainer("default").state is State.PENDING


def test_an_address_holds_no_character_that_ends_it() -> None:
    assert proposal_page("https://p.example/", "a/b?c#d é", 7) == "https://p.example/proposals/a%2Fb%3Fc%23d%20%C3%A9/7"


def test_f13_a_hold_is_green_only_with_the_words_that_merging_waits_also_where_nothing_changes() -> None:
    held = replace(PRODUCTION, change=())
    for found in (report(PRODUCTION), report(held), report(held, STAGING)):
        for status in predicted(found, "default", LINK)[:2]:
            assert status.state is State.SUCCESS
            assert "waits for a confirmation" in status.text
    assert not any("waits" in each.text for each in predicted(report(STAGING, SAME), "default", LINK))


def test_what_changes_is_noted_at_the_line_of_its_manifest_and_nowhere_else() -> None:
    at = [Source("clusters/production/cart.yaml", 14), Source("kustomization.yaml"), Source("gone.yaml", 3)]
    found = [replace(change, source=source) for change, source in zip((IMAGE, SECRET, CLAIM), at, strict=True)]
    production = replace(PRODUCTION, change=(*found, replace(SECRET, source=Source("secret.yaml", 2))))
    sent = ProposalReport.from_json(json.loads(json.dumps(report(production, INVALID, STAGING).to_json())))
    problem, image, secret = predicted_check(sent, "default", LINK).annotations
    assert (problem.level, problem.path, problem.line) == ("failure", "clusters/production/cart.yaml", 14)
    assert (image.level, image.path, image.line) == ("notice", "clusters/production/cart.yaml", 14)
    assert image.title == "production: configure Deployment shop/cart"
    assert "1.4.1 -> ghcr.io/acme/cart:1.5.0" in image.text
    assert (secret.path, secret.line) == ("secret.yaml", 2)
    assert "canary" not in secret.text
    assert "data.password" in secret.text


def test_no_more_is_noted_than_one_request_takes_and_what_is_to_be_mended_comes_first() -> None:
    many = tuple(replace(IMAGE, source=Source("a.yaml", line)) for line in range(1, 200))
    found = predicted_check(report(replace(STAGING, change=many), INVALID), "default", LINK).annotations
    assert len(found) == NOTED == 50
    assert [each.level for each in found[:2]] == ["failure", "notice"]
