"""Policies of images on a plain Git server: what is asked of the worker, and its answer as a commit or as a branch to merge."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bot import following, updates
from bot.queue import CommitRequest, FollowRequest
from bot.update_text import branch_name
from tests.bot.beside_a_double import DECLARATION
from tests.bot.beside_plain_git import BesidePlainGit
from worker.domain.blobs import blob_id
from worker.domain.image_section import UpdateBy
from worker.domain.image_update import Naming, NamingFile
from worker.domain.images import read_image
from worker.domain.messages import INTAKE_QUEUE, PREVIEWS_QUEUE, Committed
from worker.domain.policy_update import UpdateReport, UpdateRequest

POLICY = "images:\n- {name: api, image: acme/api, policy: {semver: 1.x}}\n"
MANIFEST = "spec:\n  containers:\n  - image: acme/api:1.0.0  # the api\n"
CHANGED = MANIFEST.replace("1.0.0", "1.1.0")


class Follower(BesidePlainGit):
    """The bot beside a repository with a policy."""

    def followed(self, image: str, revision: str = "", *, forgets: bool = False) -> list[str]:
        """The images that the worker is asked for after this one was announced, by a bot that may have forgotten all."""
        if forgets:
            self.redis.flushall()
        self.redis.delete(f"rq:queue:{PREVIEWS_QUEUE}")
        self.desk.built_images.note([read_image(image)], revision, 1.0)
        following.follow(self.desk, FollowRequest("shop").to_json())
        return [UpdateRequest.from_json(each).image for each in self.asked(PREVIEWS_QUEUE)]

    def report(self, image: str = "acme/api:1.1.0", by: UpdateBy = UpdateBy.CHANGE_REQUEST) -> UpdateReport:
        """What the worker says of the policy at main's tip."""
        place = Naming(0, ("spec", "containers", 0, "image"), 3)
        file = NamingFile("app/a.yaml", blob_id(MANIFEST.encode(), self.tip), "100644", (place,))
        asked = UpdateRequest("shop", "main", "api", image, self.desk.requests.queue.now())
        return UpdateReport(asked, self.tip, image, (file,), ("staging",), ("1.0.0",), by)

    def commit(self, report: UpdateReport) -> None:
        updates.commit(self.desk, CommitRequest(report).to_json())

    def note(self, revision: str) -> dict[str, str]:
        """What a commit's note says of the policy."""
        lines = self.git.run("notes", "--ref", "plumbline", "show", revision).splitlines()
        (found,) = [json.loads(each) for each in lines if each.startswith("{")]
        assert f"images/api: {found['text']}" in lines
        return {"state": found["state"], "text": found["text"]}


@pytest.fixture
def bot(tmp_path: Path, empty_redis: str) -> Follower:
    made = Follower(tmp_path, empty_redis)
    made.push({"plumbline.yaml": DECLARATION + POLICY, "app/a.yaml": MANIFEST, "app/b.yaml": MANIFEST})
    return made


def test_what_was_announced_is_asked_for_and_what_was_built_of_our_own_commit_never(bot: Follower) -> None:
    assert bot.followed("acme/api:1.1.0") == ["acme/api:1.1.0"]
    bot.commit(bot.report(by=UpdateBy.COMMIT))
    ours = bot.tip
    merge = bot.git.commit_tree(f"{ours}^{{tree}}", [f"{ours}^", ours], "Merge it")
    copied = bot.git.run("show", "-s", "--format=%B", ours).replace("acme/api:1.1.0", "acme/api:9.9.9")
    theirs = bot.git.commit_tree(f"{ours}^{{tree}}", [ours], copied)
    assert "acme/api:1.2.0" not in bot.followed("acme/api:1.2.0", ours)
    assert bot.followed("acme/api:1.2.0", ours, forgets=True) == []
    assert bot.followed("acme/api:1.2.0", merge, forgets=True) == []
    assert bot.followed("acme/api:1.2.0", theirs, forgets=True) == ["acme/api:1.2.0"], "a copied trailer has no seal"
    assert bot.followed("acme/api:1.2.0", "e" * 40, forgets=True) == ["acme/api:1.2.0"]


def test_a_policy_of_a_branch_that_nothing_follows_counts_for_nothing(tmp_path: Path, empty_redis: str) -> None:
    bot = Follower(tmp_path, empty_redis, "branches: [main]")
    bot.push({"plumbline.yaml": DECLARATION + POLICY}, "proposal")
    assert bot.followed("acme/api:1.1.0") == []


def test_a_commit_is_on_the_branch_announced_and_not_made_twice(bot: Follower) -> None:
    report, before = bot.report(by=UpdateBy.COMMIT), bot.tip
    bot.commit(report)
    made = bot.tip
    assert bot.git.run("diff-tree", "-r", "--name-status", before, made) == "M\tapp/a.yaml"
    assert bot.git.read(made, "app/a.yaml") == CHANGED.encode()
    said = bot.git.run("show", "-s", "--format=%an%n%P%n%B", made)
    assert said.startswith(f"Plumbline\n{before}\nUpdate acme/api from 1.0.0 to 1.1.0 in staging\n")
    (told,) = map(Committed.from_json, bot.asked(INTAKE_QUEUE))
    assert [(each.ref, each.new) for each in told.updates] == [("refs/heads/main", made)]
    bot.redis.flushall()
    bot.commit(report)
    assert (bot.tip, bot.branches(), bot.asked(PREVIEWS_QUEUE)) == (made, [], []), (
        "who made it was stopped at that moment"
    )
    assert [Committed.from_json(each).updates for each in bot.asked(INTAKE_QUEUE)] == [told.updates]
    moved = bot.push({"app/b.yaml": "b: 2\n"})
    bot.commit(report)
    assert (bot.tip, bot.branches(), len(bot.asked(INTAKE_QUEUE))) == (moved, [], 1)
    (again,) = map(UpdateRequest.from_json, bot.asked(PREVIEWS_QUEUE))
    assert again == replace(report.request, attempt=1), "the branch moved: it is judged again"


def test_a_change_request_is_a_branch_once_and_not_again_where_people_deleted_it(bot: Follower) -> None:
    report, tip = bot.report(), bot.tip
    bot.commit(report)
    (branch,) = bot.branches()
    made = bot.git.tip(f"refs/heads/{branch}")
    assert branch == bot.desk.seals.branch("shop", branch_name(report))
    assert bot.git.run("rev-parse", f"{made}^") == tip
    assert bot.git.read(made, "app/a.yaml") == CHANGED.encode()
    title = "Update acme/api from 1.0.0 to 1.1.0 in staging"
    assert bot.note(tip) == {"state": "pending", "text": f"{title}: it is on the branch {branch}"}
    moved = bot.push({"app/b.yaml": "b: 2\n"})
    for again in (report, bot.report()):
        bot.commit(again)
        assert {name: bot.git.tip(f"refs/heads/{name}") for name in bot.branches()} == {branch: made}
    bot.git.set_ref(f"refs/heads/{branch}", "")
    bot.commit(bot.report())
    assert bot.branches() == []
    bot.commit(bot.report("acme/api:1.2.0"))
    assert len(bot.branches()) == 1
    assert (bot.tip, bot.asked(INTAKE_QUEUE)) == (moved, []), "nothing is pushed to the branch"


def test_where_a_file_is_shared_a_commit_becomes_a_branch_and_says_why(bot: Follower) -> None:
    report, tip = bot.report(by=UpdateBy.COMMIT), bot.tip
    bot.commit(replace(report, files=tuple(replace(each, shared=("production",)) for each in report.files)))
    assert (bot.tip, len(bot.branches()), bot.asked(INTAKE_QUEUE)) == (tip, 1, [])
    assert "no commit, because app/a.yaml is shared" in bot.note(tip)["text"]


def test_a_later_wish_that_was_seen_to_is_not_undone_by_one_that_waited(bot: Follower) -> None:
    waited = bot.report("acme/api:1.1.5", UpdateBy.COMMIT)
    bot.commit(bot.report("acme/api:1.2.0"))
    branches, tip = bot.branches(), bot.tip
    bot.commit(waited)
    assert (bot.branches(), bot.tip) == (branches, tip)


def test_what_a_policy_cannot_have_is_said_in_the_note_and_taken_back(bot: Follower) -> None:
    tip = bot.tip
    bot.commit(replace(bot.report(), files=(), refusal="app/a.yaml, line 3: an alias"))
    assert bot.note(tip) == {"state": "failure", "text": "acme/api:1.1.0 is not used: app/a.yaml, line 3: an alias"}
    bot.commit(replace(bot.report(), files=(), settled="it is there"))
    assert bot.note(tip) == {"state": "success", "text": "it is there"}
    assert (bot.tip, bot.branches()) == (tip, [])


def test_what_is_said_again_and_again_of_a_policy_is_written_once(bot: Follower) -> None:
    """A registry that refuses is asked at every look, and notes are a history that only grows."""

    def notes() -> str:
        return bot.git.tip("refs/notes/plumbline")

    refused = replace(bot.report(), files=(), refusal="the registry wants a login")
    bot.commit(refused)
    written = notes()
    for _ in range(3):
        bot.commit(refused)
    assert notes() == written
    bot.commit(replace(refused, refusal="the registry knows no such image"))
    assert notes() != written
    assert bot.note(bot.tip)["text"] == "acme/api:1.1.0 is not used: the registry knows no such image"
