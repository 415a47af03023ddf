"""GitHub's double, and the adapter that speaks to it through the real client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.forges.github import Github
from tests.doubles.forge_rig import ForgeRig
from tests.doubles.github_rig import GithubRig


@pytest.fixture
def github(tmp_path: Path) -> Iterator[GithubRig]:
    """GitHub with the App installed; at the end every exchange must fit GitHub's own description."""
    rig = GithubRig(tmp_path / "github")
    as_protocol: ForgeRig = rig
    yield rig
    as_protocol.close()
    assert rig.double.faults == []


@pytest.fixture
def forge(github: GithubRig) -> Github:
    """The adapter with the App's credentials."""
    return Github.of(github.declared, github.repository, github.credentials)
