"""Which of a cluster's environments an installation looks after, and how another one's record is asked for."""

from __future__ import annotations

import pytest

from plumbline.status_command import options
from worker.domain.installation import Installation, Repository
from worker.domain.secret_text import SecretReference
from worker.watching import is_of_others

KEY = SecretReference(env="KEY")


@pytest.mark.parametrize(
    ("instance", "slug", "expected"),
    [
        ("default", "shop/production", False),
        ("default", "till/production", True),
        ("default", "blue:shop/production", True),
        ("blue", "blue:shop/production", False),
        ("blue", "shop/production", True),
        ("blue", "green:shop/production", True),
        ("blue", "blue:till/production", True),
    ],
)
def test_an_environment_of_another_repository_or_instance_is_another_installation_s(
    instance: str, slug: str, expected: bool
) -> None:
    shop = Repository("shop", "/shop.git", None)
    assert is_of_others(Installation("http://x", KEY, KEY, repositories=(shop,), instance=instance), slug) is expected


@pytest.mark.parametrize(
    ("slug", "expected"),
    [
        ("shop/production", "--repository shop"),
        ("blue:shop/production", "--repository shop --instance blue"),
        ("shop/staging", ""),
        ("blue:shop/staging", ""),
    ],
)
def test_a_record_under_another_repository_or_instance_is_named_by_the_options_that_find_it(
    slug: str, expected: str
) -> None:
    assert options(slug, "production") == expected
