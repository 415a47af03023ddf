"""Which branch a command is about that names an environment, or nothing; said of a push, by the API or from a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest

from bot.declarations import Declared, declaring
from tests.bot.beside_a_double import BesideADouble, beside_a
from worker.domain.errors import DesiredStateError, Refused

ROW: Final = "environments:\n  - {{name: {}, path: app, namespace: shop}}\n"


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[BesideADouble]:
    with beside_a("github", tmp_path_factory.mktemp("declaring"), redis_url) as made:
        made.redis.flushall()
        for branch, name in (("a", "twice"), ("b", "twice"), ("c", "once")):
            made.rig.push(branch, {"plumbline.yaml": ROW.format(name)})
        made.rig.push("broken", {"plumbline.yaml": "environments: 1\n"})
        yield made


def found(beside: BesideADouble, environment: str, *branches: str, first: str = "") -> Declared:
    listed = beside.desk.settings.installation.repository("shop")
    assert listed is not None
    repository = replace(listed, branches=branches)
    return declaring(beside.desk, repository, beside.desk.forge(repository), environment, first)


@pytest.mark.parametrize(
    ("environment", "branches", "first", "branch"),
    [
        ("once", ("a", "b", "c"), "", "c"),
        ("once", ("a", "b", "c"), "a", "c"),
        ("twice", ("a", "c"), "", "a"),
        ("twice", ("a", "b"), "b", "b"),
        ("once", ("broken", "c"), "broken", "c"),
        ("", ("c",), "", "c"),
        ("", ("a", "c"), "c", "c"),
    ],
)
def test_the_branch_that_declares_it(
    beside: BesideADouble, environment: str, branches: tuple[str, ...], first: str, branch: str
) -> None:
    place = found(beside, environment, *branches, first=first)
    assert place.branch == branch
    assert environment in ("", *(name for name, _ in place.declaration.targets()))


@pytest.mark.parametrize(
    ("environment", "branches", "first", "why"),
    [
        ("twice", ("a", "b", "c"), "", r"declared on 2 branches \(a, b\). Name one"),
        ("twice", ("a", "b", "c"), "c", r"declared on 2 branches \(a, b\). Declare it on one"),
        ("nothing", ("a", "b"), "a", "no branch of shop declares an environment nothing"),
        ("", ("a", "b"), "", r"about a whole branch, and shop has 2 branches \(a, b\)"),
        ("", ("none",), "", "no branch that may declare one"),
        ("once", ("a",), "c", "no branch of shop declares an environment once"),
    ],
)
def test_nothing_is_guessed(
    beside: BesideADouble, environment: str, branches: tuple[str, ...], first: str, why: str
) -> None:
    with pytest.raises(Refused, match=why):
        found(beside, environment, *branches, first=first)


def test_a_declaration_that_cannot_be_read_is_no_missing_environment(beside: BesideADouble) -> None:
    with pytest.raises(DesiredStateError):
        found(beside, "nothing", "a", "broken")
    with pytest.raises(DesiredStateError):
        found(beside, "", "broken", first="broken")


def test_of_several_the_one_counts_that_it_was_last_converged_from(beside: BesideADouble) -> None:
    beside.rig.push("other", {"plumbline.yaml": ROW.format("staging")})
    assert found(beside, "staging", "main", "other", first="other").branch == "other"
    beside.converged(beside.base, beside.now)
    assert found(beside, "staging", "main", "other", first="other").branch == "main"
    assert found(beside, "staging", "other").branch == "other", (
        "main does not declare it any more, as nobody follows it"
    )
