"""How many requests the forge is asked for one event: from the look at what it named to the comment, statuses and checks.

The bot's own jobs on a real Redis, at GitHub's and GitLab's doubles and at a real Gitea; what a worker would say of the cluster is
made here. Every request counts, also those for a token and for who we are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from bot import intake, reports, results
from bot.desk import Desk
from bot.forges.gitea import Gitea
from bot.queue import WriteRequest
from bot.settings import Settings
from tests.bot.situations import IMAGE, plan
from tests.doubles.forge_rig import ForgeRig
from tests.doubles.gitea_rig import GiteaRig
from tests.doubles.github_rig import GithubRig
from tests.doubles.gitlab_rig import GitLabRig
from worker.domain.installation import Installation
from worker.domain.messages import LookRequest
from worker.domain.plan import Change
from worker.domain.proposals import EnvironmentProposal, ProposalReport
from worker.domain.reports import Outcome
from worker.domain.resource import ResourceKey
from worker.domain.secret_text import SecretReference, SecretText

FIRST, UPDATE, NOTHING = 12, 6, 4
"""The most requests for a first prediction, for one that changes the comment, for one that does not."""

CONTEXTS: Final = {"plumbline/predict", "plumbline/predict/production"}
FORGES: Final = ("github app", "github token", "gitlab", "gitea")


@pytest.fixture(params=FORGES)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ForgeRig]:
    """Each forge with a repository."""
    make: dict[str, Callable[[], ForgeRig]] = {
        "github app": lambda: GithubRig(tmp_path / "forge"),
        "github token": lambda: GithubRig(tmp_path / "forge", with_app=False),
        "gitlab": lambda: GitLabRig(tmp_path / "forge"),
        "gitea": lambda: GiteaRig(tmp_path / "forge", request.getfixturevalue("gitea")),
    }
    made = make[request.param]()
    yield made
    made.close()


def requests(rig: ForgeRig) -> list[tuple[str, str]]:
    """All of them, also the App's own."""
    if isinstance(rig, GithubRig):
        return [(method, path) for method, path, _ in rig.double.seen]
    return list(rig.requests())


class Bot:
    """The bot's jobs, in the order in which their queues have them."""

    def __init__(self, rig: ForgeRig, redis_url: str) -> None:
        self.rig = rig
        installation = Installation(
            "http://127.0.0.1:1", SecretReference(env="A"), SecretReference(env="B"),
            repositories=(replace(rig.repository, branches=("main",)),), forges=(rig.declared,),
        )  # fmt: skip
        credentials = {rig.declared.name: rig.credentials}
        self.desk = Desk.of(Settings(installation, SecretText(redis_url), SecretText("k" * 32), {}, {}, credentials))
        self.at = 1000.0

    def event(self, number: int, *changes: Change) -> list[tuple[str, str]]:
        """What is asked of the forge from a delivery about a change request on, whose merge would change this."""
        before, self.at = len(requests(self.rig)), self.at + 10
        intake.look(self.desk, LookRequest("shop", self.at, number=number).to_json())
        results.write(self.desk, WriteRequest("shop").to_json())
        self._predicted(number, *changes)
        return requests(self.rig)[before:]

    def moved(self, number: int, *changes: Change) -> list[tuple[str, str]]:
        """The same where the cluster moved, which the worker notices by itself."""
        before, self.at = len(requests(self.rig)), self.at + 10
        self._predicted(number, *changes)
        return requests(self.rig)[before:]

    def _predicted(self, number: int, *changes: Change) -> None:
        request = self.rig.change_request(number)
        environment = EnvironmentProposal(
            "production", "blue", Outcome.PLANNED, change=changes, plan=plan("production", *changes), objects=12
        )
        report = ProposalReport(
            "shop", number, request.head, request.base, self.rig.tip("main"), "e" * 40, environments=(environment,), at=self.at + 1,
            seconds=0.9,
        )  # fmt: skip
        reports.deliver(self.desk, report.to_json())
        results.write(self.desk, WriteRequest("shop").to_json())

    def close(self) -> None:
        """Lets go of the connections."""
        self.desk.requests.queue.connection.close()
        forge = self.desk.forge(self.rig.repository)
        if isinstance(forge, Gitea):
            forge.close()


@pytest.fixture
def bot(rig: ForgeRig, empty_redis: str) -> Iterator[Bot]:
    """A bot that has just been started, with nothing to remember."""
    with contextlib.closing(Bot(rig, empty_redis)) as made:
        yield made


def proposed(rig: ForgeRig, text: str = "1") -> int:
    rig.push("change", {"app/a.yaml": text})
    return rig.open("change")


MORE: Final = replace(IMAGE, key=ResourceKey("apps", "Deployment", "shop", "till"))


def test_a_first_prediction_takes_twelve_requests_at_most(bot: Bot, rig: ForgeRig) -> None:
    number = proposed(rig)
    asked = bot.event(number, IMAGE)
    assert len(asked) <= FIRST, asked
    (comment,) = rig.comments(number)
    assert "1 change in production" in comment.body
    statuses = rig.statuses(rig.tip("change"))
    assert set(statuses) == CONTEXTS
    assert {each.state for each in statuses.values()} == {"success"}
    assert rig.status_count(rig.tip("change")) in (2, 3), "pending, and what came of it; GitLab's are one row each"


@pytest.mark.parametrize("how", ["the head moved", "the cluster moved"])
def test_an_update_that_changes_the_comment_takes_six_requests_at_most(bot: Bot, rig: ForgeRig, how: str) -> None:
    number = proposed(rig)
    bot.event(number, IMAGE)
    if how == "the head moved":
        rig.push("change", {"app/a.yaml": "2"})
        asked = bot.event(number, IMAGE, MORE)
    else:
        asked = bot.moved(number, IMAGE, MORE)
    assert len(asked) <= UPDATE, asked
    (comment,) = rig.comments(number)
    assert "2 changes in production" in comment.body
    head = rig.tip("change")
    assert head in comment.body or head[:7] in comment.body
    statuses = rig.statuses(head)
    assert set(statuses) == CONTEXTS
    assert all("2 changes" in each.text for each in statuses.values()), statuses


def test_an_update_that_changes_nothing_takes_four_requests_at_most_and_writes_nothing(bot: Bot, rig: ForgeRig) -> None:
    number = proposed(rig)
    bot.event(number, IMAGE)
    comments, count = rig.comments(number), rig.status_count(rig.tip("change"))
    for asked in (bot.event(number, IMAGE), bot.moved(number, IMAGE)):
        assert len(asked) <= NOTHING, asked
        assert {method for method, _ in asked} <= {"GET"}
    assert rig.comments(number) == comments
    assert rig.status_count(rig.tip("change")) == count


def test_what_another_process_or_a_person_did_meanwhile_is_not_overlooked(
    bot: Bot, rig: ForgeRig, empty_redis: str
) -> None:
    number = proposed(rig)
    bot.event(number, IMAGE)
    with contextlib.closing(Bot(rig, empty_redis)) as other:
        other.at = bot.at
        other.moved(number, IMAGE, MORE)
    count = rig.status_count(rig.tip("change"))
    bot.at = other.at
    assert not [asked for asked in bot.moved(number, IMAGE, MORE) if asked[0] != "GET"], "the other has said it already"
    assert rig.status_count(rig.tip("change")) == count
    (comment,) = rig.comments(number)
    rig.edit_comment(number, comment.id, "somebody wrote into it")
    bot.moved(number, IMAGE, MORE)
    (mended,) = rig.comments(number)
    assert mended.body == comment.body
    rig.delete_comment(number, comment.id)
    bot.moved(number, IMAGE)
    (made,) = rig.comments(number)
    assert "1 change in production" in made.body
