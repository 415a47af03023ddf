"""`/rollback` on every forge: a comment becomes one change request, which is predicted, merged and converges to what it was."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bot.forges.port import Permission, State
from plumbline.local_system import git
from tests.conftest import config_map
from tests.doubles.gitea_rig import GiteaRig
from tests.doubles.github import Fault
from tests.doubles.github_rig import GithubRig
from tests.journeys.shop import Proposal, Shop, manifest


def source(shop: Shop) -> str:
    """Where git reads the repository without a password."""
    return str(shop.rig.bare) if isinstance(shop.rig, GiteaRig) else shop.rig.repository.url


def begun(shop: Shop, *paths: str) -> str:
    """The branch's first commit, converged and not just verified: only that is something to go back to."""
    first = shop.begin(*paths)
    shop.status(first, shop.converge, State.SUCCESS)
    return first


def files(shop: Shop, revision: str, folder: Path) -> dict[str, str]:
    """What git has at a commit: path -> mode and blob."""
    if not folder.exists():
        git("clone", "--quiet", "--bare", source(shop), str(folder))
    git("fetch", "--quiet", "origin", "+refs/heads/*:refs/heads/*", at=folder)
    rows = git("ls-tree", "-r", "--format=%(path) %(objectmode) %(objectname)", revision, at=folder).splitlines()
    return dict(row.split(" ", 1) for row in rows)


def released(shop: Shop, changed: dict[str, str | None]) -> tuple[Proposal, str]:
    """A change request, merged and converged; it, and the commit on the branch."""
    proposal = shop.propose(changed, title="Release")
    shop.predicted(proposal)
    revision = shop.rig.merge(proposal.number)
    shop.status(revision, shop.converge, State.SUCCESS)
    return proposal, revision


def rolled_back(shop: Shop, number: int) -> Proposal:
    """The change request that the newest answer on another one names."""
    shop.until(lambda: "is ready" in "".join(shop.answers(number)[-1:]), f"#{number} is answered", "", number)
    found = re.search(r"/(\d+)\) is ready", shop.answers(number)[-1])
    assert found is not None, shop.answers(number)
    seen = shop.rig.change_request(int(found[1]))
    return shop.opened(Proposal(seen.number, "", seen.head))


def branches(shop: Shop, folder: Path) -> list[str]:
    """The bot's branches for the journey's environment."""
    found = git("ls-remote", "--heads", source(shop), f"plumbline/rollback-{shop.name}-*", at=folder)
    return [line.partition("refs/heads/")[2] for line in found.splitlines()]


def test_a_bad_release_is_taken_back_by_a_comment_and_nothing_else_is(shop: Shop, tmp_path: Path) -> None:
    good = begun(shop, "side")
    bad: dict[str, str | None] = {
        **manifest("flags", a="bad"),
        "app/other.yaml": None,
        "app/added.yaml": config_map("added", a="1"),
        "side/side.yaml": config_map("side", a="2"),
        "README": "What is new\n",
    }
    release, merged = released(shop, bad)
    assert (shop.value("flags"), shop.value("other"), shop.value("side")) == ("bad", "", "2")

    shop.rig.say(release.number, f"/rollback {shop.name}")
    back = rolled_back(shop, release.number)
    seen = shop.rig.change_request(back.number)
    assert seen.title == f"Roll back {shop.name} to {good[:7]}"
    assert (seen.base, seen.author.login) == (shop.branch, shop.rig.bot)
    predicted = shop.predicted(back)
    assert "flags" in predicted
    assert "bad" in predicted
    assert shop.value("flags") == "bad", "asking for it writes nothing to the cluster"
    assert shop.rig.tip(shop.branch) == merged, "asking for it writes nothing to the branch"

    shop.tell_again(f"/rollback {shop.name}")
    shop.all_is_done()
    assert len(branches(shop, tmp_path)) == 1
    assert len(shop.answers(release.number)) == 1

    revision = shop.rig.merge(back.number)
    shop.status(revision, shop.converge, State.SUCCESS)
    shop.comment(back.number, "converged as predicted")
    assert (shop.value("flags"), shop.value("other"), shop.value("side")) == ("1", "1", "2")
    assert shop.object("added") is None
    folder = tmp_path / "seen"
    then, before, now = (files(shop, each, folder) for each in (good, merged, revision))
    assert {path: now[path] for path in now if path.startswith("app/")} == {
        path: then[path] for path in then if path.startswith("app/")
    }
    assert {path: now[path] for path in now if not path.startswith("app/")} == {
        path: before[path] for path in before if not path.startswith("app/")
    }


def test_the_same_rollback_asked_for_twice_is_one_change_request(shop: Shop, tmp_path: Path) -> None:
    begun(shop)
    release, _ = released(shop, dict(manifest("flags", a="bad")))
    shop.rig.say(release.number, f"/rollback {shop.name}")
    first = rolled_back(shop, release.number)
    shop.rig.say(release.number, f"/rollback {shop.name} last-converged")
    shop.until(lambda: len(shop.answers(release.number)) == 2, "both are answered", "", release.number)
    assert rolled_back(shop, release.number).number == first.number
    assert len(branches(shop, tmp_path)) == 1


def test_a_rollback_is_refused_who_may_not_and_where_there_is_nothing_to_go_back_to(shop: Shop, tmp_path: Path) -> None:
    begun(shop)
    release, merged = released(shop, dict(manifest("flags", a="bad")))
    number = release.number
    shop.rig.permit("rita", Permission.READ)
    shop.rig.say(number, f"/rollback {shop.name}", login="rita")
    shop.until(lambda: len(shop.answers(number)) == 1, "who may not is answered", "", number)
    assert "needs `write` permission" in shop.answers(number)[0]

    shop.rig.say(number, f"/rollback {shop.name} ~7")
    shop.until(lambda: len(shop.answers(number)) == 2, "what is not possible is answered", "", number)
    assert "is not rolled back" in shop.answers(number)[1]
    assert "only 1 earlier desired state converged" in shop.answers(number)[1]

    shop.rig.say(number, f"/rollback {shop.name} {merged[:8]}")
    shop.until(lambda: len(shop.answers(number)) == 3, "what changes nothing is answered", "", number)
    assert "nothing to roll back" in shop.answers(number)[2]
    shop.all_is_done()
    assert branches(shop, tmp_path) == []
    assert shop.rig.tip(shop.branch) == merged
    assert shop.value("flags") == "bad"


@pytest.mark.parametrize("forge", ["github"], indirect=True)
def test_f46_a_pushed_rollback_whose_answer_was_lost_is_found_again_and_answered_once(
    shop: Shop, tmp_path: Path
) -> None:
    assert isinstance(shop.rig, GithubRig)
    policy = shop.declaration().replace("policy: {", "policy: {rollback: push, ")
    good = shop.begin(**{"plumbline.yaml": policy})
    shop.status(good, shop.converge, State.SUCCESS)
    release, bad = released(shop, dict(manifest("flags", a="bad")))
    at = f"/git/refs/heads/{shop.branch}"
    lost: list[str] = []

    def fault(method: str, path: str) -> Fault | None:
        if method == "PATCH" and path.endswith(at) and not lost:
            lost.append(path)
            return Fault(0, after=True)
        return None

    shop.rig.double.fault = fault
    try:
        shop.rig.say(release.number, f"/rollback {shop.name} --push")
        shop.until(lambda: bool(shop.answers(release.number)), "it is answered", "", release.number)
    finally:
        shop.rig.double.fault = lambda _method, _path: None
    assert len(lost) == 1
    made = shop.rig.tip(shop.branch)
    assert f"{made} was pushed to" in shop.answers(release.number)[0]
    folder = tmp_path / "seen"
    assert files(shop, made, folder)["app/flags.yaml"] == files(shop, good, folder)["app/flags.yaml"]
    assert git("rev-list", "--count", f"{bad}..{made}", at=folder).strip() == "1"
    shop.status(made, shop.converge, State.SUCCESS)
    shop.all_is_done()
    assert shop.rig.tip(shop.branch) == made
    assert len(shop.answers(release.number)) == 1
    assert branches(shop, tmp_path) == []
    assert shop.value("flags") == "1"


@pytest.mark.parametrize("forge", ["gitea"], indirect=True)
def test_a_branch_that_takes_no_push_of_the_bot_s_gets_a_change_request_and_the_answer_says_why(
    shop: Shop, tmp_path: Path
) -> None:
    policy = shop.declaration().replace("policy: {", "policy: {rollback: push, ")
    good = shop.begin(**{"plumbline.yaml": policy})
    shop.status(good, shop.converge, State.SUCCESS)
    release, bad = released(shop, dict(manifest("flags", a="bad")))
    shop.rig.protect(shop.branch, [])
    shop.rig.say(release.number, f"/rollback {shop.name} --push")
    back = rolled_back(shop, release.number)
    (said,) = shop.answers(release.number)
    assert f"was not pushed straight to `{shop.branch}`" in said
    assert "protected branch" in said
    assert shop.rig.tip(shop.branch) == bad
    assert len(branches(shop, tmp_path)) == 1
    assert "plumbline-draft" not in git("ls-remote", "--heads", source(shop), at=tmp_path)
    assert "bad" in shop.predicted(back)
    shop.status(shop.rig.merge(back.number), shop.converge, State.SUCCESS)
    assert shop.value("flags") == "1"
