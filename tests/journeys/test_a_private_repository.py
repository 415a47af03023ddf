"""A private repository on a real Gitea: workers fetch with a token that may only read, and forge tokens are the bot's alone."""

from __future__ import annotations

import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest

from bot.forges.port import State
from tests.doubles.gitea_rig import GiteaRig
from tests.doubles.gitlab import GIT
from tests.journeys.shop import Shop, manifest

pytestmark = pytest.mark.parametrize("forge", ["gitea"], indirect=True)


def remote(*arguments: str) -> bool:
    """Whether git may do that, with nothing but what the address holds."""
    environ = {**GIT, "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true"}
    return subprocess.run(["git", *arguments], env=environ, capture_output=True, check=False).returncode == 0


def test_what_nobody_else_may_read_is_predicted_and_converged_with_credentials_that_only_read(
    shop: Shop, tmp_path: Path
) -> None:
    rig, repository = shop.rig, shop.rig.repository
    assert isinstance(rig, GiteaRig)
    assert repository.credentials is not None
    assert repository.credentials.file is not None
    given = Path(repository.credentials.file).read_text()
    user, _, token = given.partition(":")
    assert rig.credentials.token is not None
    assert token != rig.credentials.token.opened()
    at = repository.url.replace("http://", f"http://{quote(user)}:{quote(token)}@")
    assert not remote("ls-remote", repository.url), "everybody may read it"
    assert remote("ls-remote", at)
    clone = str(tmp_path / "clone")
    assert remote("clone", "-q", at, clone)
    assert not remote("-C", clone, "push", "-q", at, "HEAD:refs/heads/mine"), "the worker's token may write"

    shop.begin()
    proposal = shop.propose(manifest("flags", a="2"))
    shop.predicted(proposal)
    merged = shop.rig.merge(proposal.number)
    shop.status(merged, shop.converge, State.SUCCESS)
    logs = "".join(shop.system.log(name) for name in ("web", "bot", "worker", "watch"))
    assert token not in logs
