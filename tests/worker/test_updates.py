"""The whole job `update` on a real repository: what a policy changes where, and when nothing is to be done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from plumbline.local_system import Clone, git
from tests.conftest import declaration
from worker.adapters.outbox import Outbox, Report
from worker.domain.image_section import UpdateBy
from worker.domain.policy_update import UpdateReport, UpdateRequest, trailer
from worker.domain.reports import report_from_json
from worker.domain.seals import Seals
from worker.settings import Settings
from worker.updates import update
from worker.workbench import Workbench

DIGEST = "sha256:" + "0a" * 32
APP = """\
signing-key: {env: SIGNING}
clusters: [{name: sandbox}]
repositories:
  - {name: shop, url: %s, secret: {env: HOOK}, ceiling: {namespaces: [shop]}}
"""
SECOND = "  - {name: staging, path: staging, namespace: shop}\n"
POLICY = "images:\n- {name: cart, image: shop/cart, policy: {semver: 1.x}}\n"
POD = "kind: Pod\napiVersion: v1\nmetadata: {name: a}\nspec: {containers: [{name: a, image: 'shop/cart:1.0.0'}]}\n"


class Heard(Outbox):
    """Keeps what is said, as the bot would read it."""

    def __init__(self) -> None:
        self.reports: list[UpdateReport] = []

    def report(self, message: Report) -> None:
        """Keeps one report."""
        read = report_from_json(json.loads(json.dumps(message.to_json())))
        assert isinstance(read, UpdateReport)
        self.reports.append(read)


@dataclass
class Keeper:
    """A repository and the worker's job beside it."""

    clone: Clone
    bench: Workbench
    heard: Heard

    def committed(self, subject: str = "next", **files: str) -> str:
        """A commit of these files (`app/a` is written `app__a`), pushed."""
        for name, text in files.items():
            self.clone.write(f"{name.replace('__', '/')}.yaml", text)
        revision = self.clone.commit(subject)
        assert self.clone.push().returncode == 0
        return revision

    def asked(self, image: str, policy: str = "cart", branch: str = "main") -> UpdateReport:
        """The worker's answer."""
        update(self.bench, UpdateRequest("shop", branch, policy, image, 1.0).to_json())
        return self.heard.reports[-1]


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    git("init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "shop.git"), at=tmp_path)
    (tmp_path / "app.yaml").write_text(APP % (tmp_path / "shop.git"))
    heard = Heard()
    environ = {
        "PLUMBLINE_CONFIG": str(tmp_path / "app.yaml"), "PLUMBLINE_REDIS_URL": "redis://:x@127.0.0.1:1/0",
        "SIGNING": "k" * 32, "HOOK": "h" * 32, "XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path),
    }  # fmt: skip
    bench = Workbench.of(Settings.load(environ))
    bench.outbox = heard
    yield Keeper(Clone(tmp_path / "clone", tmp_path / "shop.git"), bench, heard)
    bench.checkout(bench.installation.repositories[0]).close()


def begun(keeper: Keeper, policies: str = POLICY, **files: str) -> str:
    return keeper.committed(
        plumbline=declaration("shop") + SECOND + policies, app__a=POD, staging__a=POD, other__a=POD, **files
    )


def test_all_environments_of_a_policy_change_together(keeper: Keeper) -> None:
    tip = begun(keeper)
    found = keeper.asked("docker.io/shop/cart:1.2.0@" + DIGEST)
    assert (found.settled, found.refusal, found.warnings) == ("", "", ())
    assert (found.onto, found.image) == (tip, "shop/cart:1.2.0")
    assert [(each.path, each.places[0].line, each.shared) for each in found.files] == [
        ("app/a.yaml", 4, ()), ("staging/a.yaml", 4, ()),
    ]  # fmt: skip
    assert found.environments == ("production", "staging")
    assert found.update_by is UpdateBy.CHANGE_REQUEST


def test_one_environment_is_updated_alone_and_who_reads_its_files_too_is_named(keeper: Keeper) -> None:
    begun(
        keeper,
        "  - {name: twin, path: app, namespace: shop}\n"
        "images:\n- {name: cart, image: shop/cart, policy: {newest: true}, environments: [production], update-by: commit,"
        " pin-digest: true}\n",
    )
    found = keeper.asked(f"shop/cart:main-7@{DIGEST}")
    assert found.image == f"shop/cart:main-7@{DIGEST}"
    assert [(each.path, each.shared) for each in found.files] == [("app/a.yaml", ("twin",))]
    assert found.update_by is UpdateBy.COMMIT
    assert "nobody says which one shop/cart:main-8 has" in keeper.asked("shop/cart:main-8").refusal


def test_what_is_there_already_or_higher_is_settled(keeper: Keeper) -> None:
    begun(keeper)
    for image in ("shop/cart:1.0.0", "shop/cart:1.0.0-rc.1"):
        found = keeper.asked(image)
        assert (found.files, found.refusal) == ((), "")
        assert found.settled
    assert "a higher one already" in keeper.asked("shop/cart:1.0.0").settled


def test_a63_what_the_branch_s_own_policy_does_not_want_is_not_written(keeper: Keeper) -> None:
    begun(keeper)
    for image in ("shop/cart:2.0.0", "shop/cart:latest", "evil/cart:1.2.0"):
        found = keeper.asked(image)
        assert (found.files, found.refusal) == ((), ""), image
        assert "no such policy any more" in found.settled
    assert "no such policy" in keeper.asked("shop/cart:1.2.0", policy="other").settled
    found = keeper.asked('shop/cart:1.2.0"\n  privileged: true')
    assert found.files == ()
    assert "has no tag behind its colon" in found.refusal


def test_a_policy_of_a_proposal_counts_for_nothing(keeper: Keeper) -> None:
    begun(keeper, "")
    git("checkout", "-q", "-b", "proposal", at=keeper.clone.folder)
    keeper.clone.write("plumbline.yaml", declaration("shop") + SECOND + POLICY)
    keeper.clone.commit("a policy")
    assert keeper.clone.push("origin", "proposal").returncode == 0
    assert "no such policy" in keeper.asked("shop/cart:1.2.0").settled
    assert "no branch proposal that is followed" in keeper.asked("shop/cart:1.2.0", branch="proposal").refusal


def test_what_somebody_took_back_is_not_set_again_but_the_next_one_is(keeper: Keeper) -> None:
    begun(keeper)
    newer = POD.replace("1.0.0", "1.2.0")
    seal = keeper.bench.seals.word("shop", "cart", "shop/cart:1.2.0")
    keeper.committed(f"Use it\n\n{trailer('cart', 'shop/cart:1.2.0', seal)}\n", app__a=newer, staging__a=newer)
    assert "a higher one already" in keeper.asked("shop/cart:1.2.0").settled
    keeper.committed("Return", app__a=POD)
    found = keeper.asked("shop/cart:1.2.0")
    assert found.files == ()
    assert "somebody took it back" in found.settled
    assert [each.path for each in keeper.asked("shop/cart:1.3.0").files] == ["app/a.yaml", "staging/a.yaml"]


def test_a23_a_commit_that_only_says_it_is_the_policy_s_stops_nothing(keeper: Keeper) -> None:
    begun(keeper)
    seal = Seals(b"l" * 32).word("shop", "cart", "shop/cart:1.2.0")
    keeper.committed(f"Mine\n\n{trailer('cart', 'shop/cart:1.2.0', seal)}\n", app__b=POD)
    assert keeper.asked("shop/cart:1.2.0").settled == ""


def test_an_environment_that_cannot_be_read_is_left_out_and_named(keeper: Keeper) -> None:
    keeper.committed(plumbline=declaration("shop") + SECOND + POLICY, app__a=POD)
    found = keeper.asked("shop/cart:1.2.0")
    assert [each.path for each in found.files] == ["app/a.yaml"]
    assert len(found.warnings) == 1
    assert "staging is left out" in found.warnings[0]
