"""A repository to render from."""

from __future__ import annotations

from pathlib import Path

import pytest

from plumbline.local_system import Clone, git
from tests.conftest import config_map
from worker.adapters.checkout import Checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """The bare repository `r.git`, whose one commit has the folders `app` and `other`."""
    git("init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "r.git"))
    clone = Clone(tmp_path / "clone", tmp_path / "r.git")
    clone.write("app/a.yaml", config_map("a", n="1"))
    clone.write("other/b.yaml", config_map("b", n="1"))
    clone.commit("one")
    clone.push()
    return Checkout.open(str(tmp_path / "r.git"), tmp_path)
