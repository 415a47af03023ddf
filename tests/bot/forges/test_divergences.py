"""What happened to a commit's environment after it converged, on the commit: on GitHub and on plain Git, in any order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from bot import reports, results
from bot.desk import Desk
from bot.forges.plain_git import NOTES
from bot.forges.port import Credentials, State
from bot.queue import WriteRequest
from bot.settings import Settings
from plumbline.local_system import git
from tests.bot.divergences import PULL, REMOVED, SCALED, fact, said
from tests.doubles.github_rig import GithubRig
from worker.domain.divergence import EpisodeReport, told_news_key
from worker.domain.environment import Mode
from worker.domain.episodes import Event
from worker.domain.installation import Forge, Installation, Repository
from worker.domain.reports import ConvergenceReport, Step
from worker.domain.secret_text import SecretReference, SecretText

Report = ConvergenceReport | EpisodeReport
CONTEXT = "plumbline/converge/production"


def desk_of(
    redis_url: str, repository: Repository, *forges: Forge, credentials: Mapping[str, Credentials] | None = None
) -> Desk:
    reference = SecretReference(env="X")
    installation = Installation(
        "http://127.0.0.1:1", reference, reference, repositories=(repository,), forges=tuple(forges)
    )
    made = Settings(installation, SecretText(redis_url), SecretText("k" * 32), {}, credentials=credentials or {})
    return Desk.of(made)


@pytest.fixture
def desk(github: GithubRig, empty_redis: str) -> Desk:
    credentials = {github.declared.name: github.credentials}
    return desk_of(empty_redis, github.repository, github.declared, credentials=credentials)


@pytest.fixture
def commits(github: GithubRig) -> tuple[str, str]:
    """A commit, and one after it."""
    return github.push("main", {"a.yaml": "a: 1\n"}), github.push("main", {"a.yaml": "a: 2\n"})


def deliver(desk: Desk, *found: Report, write: bool = True) -> None:
    for report in found:
        reports.deliver(desk, report.to_json())
        if write:
            results.write(desk, WriteRequest("shop").to_json())


def story(revision: str) -> list[Report]:
    return [
        fact(Step.CONVERGED, revision=revision),
        said(Event.NOTICED, SCALED, after=100, revision=revision),
        said(Event.OPENED, SCALED, after=130, revision=revision),
        said(Event.HEALED, SCALED, after=140, revision=revision, mode=Mode.HEAL),
        said(Event.CLOSING, after=141, wait=30, revision=revision),
        said(Event.CONVERGED, after=171, revision=revision),
    ]


def test_a_status_a_check_and_a_deployment_turn_with_what_happens(
    github: GithubRig, desk: Desk, commits: tuple[str, str]
) -> None:
    _, revision = commits
    states = []
    for report in story(revision):
        deliver(desk, report)
        status = github.statuses(revision)[CONTEXT]
        states.append((status.state, status.text))
        assert github.checks(revision)[-1].title == status.text
        assert github.deployments("production")[-1].text[:100] == status.text[:100]
    assert states == [
        (State.SUCCESS, "Converged in 4.1 s, as predicted; stayed so for 30 s"),
        (State.SUCCESS, "Converged in 4.1 s, as predicted; stayed so for 30 s"),
        (State.FAILURE, "Drifted: Deployment shop/checkout spec.replicas 5, Git says 3 (kubectl-edit, 2 m)"),
        (State.PENDING, "Healed, settling: Deployment shop/checkout is set back after 2 m"),
        (State.PENDING, "Settling for 30 s: nothing differs any more, after 2 m"),
        (State.SUCCESS, "Back to what Git says after 2 m; stayed so for 30 s"),
    ]
    last = story(revision)[-1]
    assert isinstance(last, EpisodeReport)
    told = desk.requests.queue.connection.get(told_news_key("shop", "production"))
    assert told == last.news.name.encode()


@pytest.mark.parametrize("order", [(5, 4, 2, 0), (4, 0, 5, 2), (2, 5, 0, 4), (0, 5, 2, 4), (5, 0, 2, 4)])
def test_whatever_comes_late_or_twice_the_last_fact_stands(
    github: GithubRig, desk: Desk, commits: tuple[str, str], order: Sequence[int]
) -> None:
    _, revision = commits
    told = [story(revision)[position] for position in order]
    deliver(desk, *told, *told[:2])
    assert github.statuses(revision)[CONTEXT].text == "Back to what Git says after 2 m; stayed so for 30 s"
    assert github.checks(revision)[-1].state is State.SUCCESS
    assert github.status_count(revision) <= 4


def test_a_divergence_that_is_told_late_does_not_stand_over_a_later_convergence(
    github: GithubRig, desk: Desk, commits: tuple[str, str]
) -> None:
    _, revision = commits
    deliver(desk, fact(Step.CONVERGED, after=300, revision=revision))
    deliver(desk, said(Event.OPENED, SCALED, after=130, revision=revision))
    assert github.statuses(revision)[CONTEXT].state is State.SUCCESS
    assert github.checks(revision)[-1].state is State.SUCCESS
    assert github.status_count(revision) == 1


def test_a_commit_that_was_taken_over_from_is_left_as_it_is(
    github: GithubRig, desk: Desk, commits: tuple[str, str]
) -> None:
    first, second = commits
    deliver(desk, fact(Step.CONVERGED, revision=first))
    deliver(desk, fact(Step.CONVERGING, second[:7], after=500, revision=second))
    before = github.status_count(first)
    deliver(desk, said(Event.OPENED, SCALED, after=130, revision=first))
    assert github.status_count(first) == before
    assert github.statuses(first)[CONTEXT].state is State.SUCCESS
    failed = fact(Step.FAILED, "app/a.yaml is not valid", after=501, revision=second)
    deliver(desk, failed, said(Event.OPENED, SCALED, after=900, revision=first))
    assert github.statuses(first)[CONTEXT].state is State.FAILURE, "what is applied is still the first, and drifted"
    assert github.statuses(second)[CONTEXT].text == "app/a.yaml is not valid"


def test_the_same_divergence_again_and_again_is_written_once(
    github: GithubRig, desk: Desk, commits: tuple[str, str]
) -> None:
    _, revision = commits
    deliver(desk, said(Event.OPENED, SCALED, after=130, revision=revision))
    written = github.status_count(revision)
    for number in range(30):
        deliver(desk, said(Event.CHANGED, SCALED, after=200 + 100 * number, revision=revision))
        deliver(desk, said(Event.REMINDER, SCALED, after=201 + 100 * number, revision=revision))
    assert github.status_count(revision) == written
    deliver(desk, said(Event.CHANGED, SCALED, REMOVED, after=9000, revision=revision))
    assert github.status_count(revision) == written + 1


def test_while_the_forge_is_away_the_last_word_of_each_is_kept(
    github: GithubRig, desk: Desk, commits: tuple[str, str]
) -> None:
    _, revision = commits
    deliver(desk, *story(revision), write=False)
    assert CONTEXT not in github.statuses(revision)
    results.write(desk, WriteRequest("shop").to_json())
    assert github.statuses(revision)[CONTEXT].text == "Back to what Git says after 2 m; stayed so for 30 s"
    assert github.status_count(revision) <= 2


def test_on_plain_git_the_note_says_it(tmp_path: Path, empty_redis: str) -> None:
    bare, folder = tmp_path / "shop.git", tmp_path / "clone"
    git("init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    git("clone", "--quiet", str(bare), str(folder))
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    git(*who, "commit", "--quiet", "--allow-empty", "-m", "first", at=folder)
    git("push", "--quiet", "origin", "HEAD:main", at=folder)
    revision = git("rev-parse", "HEAD", at=folder).strip()
    desk = desk_of(empty_redis, Repository("shop", str(bare), SecretReference(env="X")))

    def note() -> tuple[str, str]:
        line, _, facts = git("notes", "--ref", NOTES, "show", revision, at=bare).partition("\n")
        return line, json.loads(facts.strip())["state"]

    told = story(revision)
    for report in told[:3]:
        reports.deliver(desk, report.to_json())
    assert note() == (
        "production: Drifted: Deployment shop/checkout spec.replicas 5, Git says 3 (kubectl-edit, 2 m)", "diverged"
    )  # fmt: skip
    reports.deliver(desk, told[5].to_json())
    for late in told:
        reports.deliver(desk, late.to_json())
    assert note() == ("production: Back to what Git says after 2 m; stayed so for 30 s", "converged")
    reports.deliver(desk, said(Event.OPENED, PULL, after=2000, revision=revision).to_json())
    assert note()[0] == "production: Degraded: Deployment shop/checkout: ImagePullBackOff for 60 s (33 m)"
