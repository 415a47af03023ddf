"""What is asked for on a plain Git server is a branch of the bot's own: made once, found again, of nothing but what was proven."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot import adoptions, images
from bot.image_text import branch_name
from bot.queue import CommitRequest
from bot.tickets import CommandOutcome
from tests.bot.beside_plain_git import TICKET, BesidePlainGit
from worker.domain.adoption import AdoptedFile, AdoptionReport, AdoptionRequest
from worker.domain.blobs import blob_id
from worker.domain.edits.changes import Put
from worker.domain.image_update import ImageReport, ImageRequest, Naming, NamingFile
from worker.domain.messages import PREVIEWS_QUEUE
from worker.domain.plan import FieldChange
from worker.domain.proposals import Drift
from worker.domain.resource import ResourceKey

MANIFEST = "# the shop\nspec:\n  containers:\n  - image: 'acme/api:1.0.0'   # by hand\n"
CHANGED = MANIFEST.replace("1.0.0", "1.5.0")


@pytest.fixture
def bot(tmp_path: Path, empty_redis: str) -> BesidePlainGit:
    made = BesidePlainGit(tmp_path, empty_redis)
    made.push({"app/a.yaml": MANIFEST, "app/b.yaml": MANIFEST})
    return made


def image_report(bot: BesidePlainGit, blob: str = "") -> ImageReport:
    """The worker's word on an image that one file names."""
    asked = ImageRequest("shop", "staging", "acme/api:1.5.0", "main", bot.origin, bot.desk.requests.queue.now())
    place = Naming(0, ("spec", "containers", 0, "image"), 4)
    file = NamingFile("app/a.yaml", blob or blob_id(MANIFEST.encode(), bot.tip), "100644", (place,), ("production",))
    return ImageReport(asked, bot.tip, (file,))


def commit(bot: BesidePlainGit, report: ImageReport) -> None:
    images.commit(bot.desk, CommitRequest(report).to_json())


def test_an_image_is_a_branch_of_the_bot_s_own_and_the_second_time_the_same(bot: BesidePlainGit) -> None:
    report, tip = image_report(bot), bot.tip
    theirs = bot.push({"app/a.yaml": "image: stolen\n"}, branch_name(report))
    commit(bot, report)
    (branch,) = set(bot.branches()) - {branch_name(report)}
    made = bot.git.tip(f"refs/heads/{branch}")
    assert bot.git.run("diff-tree", "-r", "--name-status", tip, made) == "M\tapp/a.yaml"
    assert bot.git.read(made, "app/a.yaml") == CHANGED.encode()
    assert bot.git.run("rev-parse", f"{made}:app/a.yaml") == blob_id(CHANGED.encode(), tip)
    said = bot.git.run("show", "-s", "--format=%an%n%P%n%B", made)
    assert said.startswith(f"Plumbline\n{tip}\nUse acme/api:1.5.0 in staging\n")
    assert "\nRequested-by: ada\n" in said
    seals = bot.desk.seals
    assert seals.is_ours("shop", tip, said, [("app/a.yaml", "100644", blob_id(CHANGED.encode(), tip))])
    assert f"git fetch origin {branch} && git merge FETCH_HEAD && git push origin HEAD:main" in bot.said()
    assert "app/a.yaml is shared: production would change too" in bot.said()
    assert bot.desk.tickets.said(TICKET).outcome is CommandOutcome.DONE
    commit(bot, report)
    assert bot.git.tip(f"refs/heads/{branch}") == made
    assert sorted(bot.branches()) == sorted((branch, branch_name(report)))
    assert (bot.tip, bot.git.tip(f"refs/heads/{branch_name(report)}")) == (tip, theirs)


def test_a_newer_one_names_the_older_and_leaves_it(bot: BesidePlainGit) -> None:
    commit(bot, image_report(bot))
    (older,) = bot.branches()
    report = image_report(bot)
    commit(bot, replace(report, request=replace(report.request, image="acme/api:1.6.0")))
    assert f"takes the place of `{older}`, which can be deleted" in bot.said()
    assert len(bot.branches()) == 2


def test_what_somebody_wrote_to_the_bot_s_branch_is_not_given_out_as_the_bot_s(bot: BesidePlainGit) -> None:
    report = image_report(bot)
    theirs = bot.push({"app/a.yaml": CHANGED, "evil": "x\n"}, bot.desk.seals.branch("shop", branch_name(report)))
    commit(bot, report)
    assert "holds something else" in bot.said()
    assert bot.desk.tickets.said(TICKET).outcome is CommandOutcome.REFUSED
    assert [bot.git.tip(f"refs/heads/{name}") for name in bot.branches()] == [theirs]


def test_where_the_branch_moved_the_worker_is_asked_anew_and_nothing_is_made(bot: BesidePlainGit) -> None:
    report = image_report(bot)
    moved = bot.push({"app/c.yaml": "c: 1\n"})
    commit(bot, report)
    assert (bot.tip, bot.branches(), bot.said()) == (moved, [], "")
    (again,) = bot.asked(PREVIEWS_QUEUE)
    assert ImageRequest.from_json(again) == replace(report.request, attempt=1)


def test_a_file_that_is_not_the_one_that_the_worker_read_is_refused(bot: BesidePlainGit) -> None:
    tip = bot.tip
    commit(bot, image_report(bot, blob=blob_id(b"something else", tip)))
    assert "is not given as the worker read it" in bot.said()
    assert (bot.tip, bot.branches()) == (tip, [])


def adoption_report(bot: BesidePlainGit, made: bytes) -> AdoptionReport:
    """The worker's word on a field of one file, which it proved to become `made`."""
    asked = AdoptionRequest("shop", "staging", "", "main", bot.origin, bot.desk.requests.queue.now())
    image = ("spec", "containers", 0, "image")
    before, after = (blob_id(each, bot.tip) for each in (MANIFEST.encode(), made))
    file = AdoptedFile("app/a.yaml", before, "100644", after, (Put(0, image, "acme/api:1.5.0"),))
    drift = Drift(
        ResourceKey("apps", "Deployment", "shop", "web"),
        FieldChange("spec.containers[0].image", "acme/api:1.0.0", "acme/api:1.5.0"), "kubectl", "", "Update",
    )  # fmt: skip
    return AdoptionReport(asked, bot.tip, (file,), (drift,), ("ConfigMap shop/b: it is gone",))


def test_what_drifted_is_a_branch_with_the_very_blob_that_was_proven(bot: BesidePlainGit) -> None:
    tip, report = bot.tip, adoption_report(bot, CHANGED.encode())
    for _ in "twice":
        adoptions.commit(bot.desk, CommitRequest(report).to_json())
    (branch,) = bot.branches()
    made = bot.git.tip(f"refs/heads/{branch}")
    assert bot.git.run("diff-tree", "-r", "--name-status", tip, made) == "M\tapp/a.yaml"
    assert bot.git.run("rev-parse", f"{made}:app/a.yaml") == report.files[0].made
    assert f"git fetch origin {branch} && git merge FETCH_HEAD" in bot.said()
    assert "Not adopted:" in bot.said()
    assert bot.tip == tip


def test_a_change_that_comes_to_another_blob_than_was_proven_is_refused(bot: BesidePlainGit) -> None:
    tip = bot.tip
    adoptions.commit(bot.desk, CommitRequest(adoption_report(bot, CHANGED.encode() + b"\n")).to_json())
    assert "does not become what was proven" in bot.said()
    assert bot.desk.tickets.said(TICKET).outcome is CommandOutcome.REFUSED
    assert (bot.tip, bot.branches()) == (tip, [])
