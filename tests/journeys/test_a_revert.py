"""`/revert` on every forge: a merged change request is taken back by another one, and what came after it stays."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from bot.forges.port import State
from plumbline.local_system import git
from tests.conftest import config_map
from tests.doubles.forge_rig import ForgeRig
from tests.doubles.gitea_rig import GiteaRig
from tests.doubles.gitlab_rig import GitLabRig
from tests.journeys.shop import Proposal, Shop, manifest
from tests.journeys.test_a_rollback import files

NOTES: Final = "one\ntwo\nthree\nfour\nfive\n"


def method(rig: ForgeRig) -> str:
    """Each forge merges in a way of its own here: by a merge commit, squashed, or commit by commit."""
    return "merge" if isinstance(rig, GiteaRig) else "squash" if isinstance(rig, GitLabRig) else "rebase"


def answered(shop: Shop, number: int, count: int) -> str:
    """The newest of so many answers."""
    shop.until(lambda: len(shop.answers(number)) == count, f"answer {count} is there", "", number)
    return shop.answers(number)[-1]


def test_a_merged_change_is_taken_back_and_what_came_after_it_stays(shop: Shop, tmp_path: Path) -> None:
    first = shop.begin(**{"notes.txt": NOTES})
    change = shop.propose({**manifest("flags", a="bad"), "notes.txt": NOTES.replace("one", "ONE")}, title="A bad idea")
    number = change.number
    shop.rig.say(number, "/revert")
    assert "still open" in answered(shop, number, 1)

    shop.push(change, {"app/added.yaml": config_map("added", a="1")})
    merged = shop.rig.merge(number, method=method(shop.rig))
    later = shop.rig.push(
        shop.branch, {**manifest("other", b="2"), "notes.txt": NOTES.replace("one", "ONE").replace("five", "FIVE")}
    )
    shop.until(lambda: (shop.value("flags"), shop.value("other")) == ("bad", "2"), "both are converged", merged)

    shop.rig.say(number, "/revert")
    found = re.search(r"/(\d+)\) is ready", answered(shop, number, 2))
    assert found is not None, shop.answers(number)
    seen = shop.rig.change_request(int(found[1]))
    back = shop.opened(Proposal(seen.number, "", seen.head))
    assert seen.title == f'Revert "A bad idea" (#{number})'
    assert (seen.base, seen.author.login) == (shop.branch, shop.rig.bot)
    predicted = shop.predicted(back)
    assert "flags" in predicted
    assert "other" not in predicted
    assert shop.rig.tip(shop.branch) == later, "asking for it writes nothing to the branch"
    assert shop.value("flags") == "bad", "nor to the cluster"

    shop.tell_again("/revert")
    shop.all_is_done()
    assert len(shop.answers(number)) == 2

    revision = shop.rig.merge(back.number)
    shop.status(revision, shop.converge, State.SUCCESS)
    assert (shop.value("flags"), shop.value("other")) == ("1", "2")
    assert shop.object("added") is None
    folder = tmp_path / "seen"
    then, now = files(shop, first, folder), files(shop, revision, folder)
    assert {path for path in then.keys() | now.keys() if then.get(path) != now.get(path)} == {
        "app/other.yaml",
        "notes.txt",
    }
    assert git("show", f"{revision}:notes.txt", at=folder) == NOTES.replace("five", "FIVE")

    shop.rig.say(number, "/revert")
    assert "nothing that it changed is on" in answered(shop, number, 3)
    assert shop.rig.tip(shop.branch) == revision


@pytest.mark.parametrize("forge", ["github"], indirect=True)
def test_what_was_changed_again_is_named_file_by_file_and_nothing_is_half_done(shop: Shop) -> None:
    shop.begin()
    change = shop.propose({**manifest("flags", a="2"), **manifest("other", b="2")}, title="Two files")
    shop.rig.merge(change.number, method=method(shop.rig))
    later = shop.rig.push(shop.branch, manifest("flags", a="3"), message="Three")
    shop.rig.say(change.number, "/revert")
    said = answered(shop, change.number, 1)
    assert "nothing was done" in said
    assert re.search(rf"`app/flags.yaml`: the same lines were changed again by {later[:7]} \(Three\)", said), said
    assert "other.yaml" not in said
    shop.all_is_done()
    assert shop.rig.tip(shop.branch) == later
    assert len(shop.answers(change.number)) == 1
