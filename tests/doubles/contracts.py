"""Where the forges' own descriptions and samples of their APIs lie: they are data of the tests, and no part of the project."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

CONTRACTS: Final = Path(os.environ.get("PLUMBLINE_CONTRACTS", Path(__file__).parents[3] / "shared/contracts"))
"""The folder of PLUMBLINE_CONTRACTS, else the one beside the checkout."""


def require_contracts() -> None:
    """Fails the test that needs them with where they were looked for, before anything is built on what is not there."""
    assert CONTRACTS.is_dir(), (
        f"the API descriptions that the forges' doubles are held to are not there: {CONTRACTS}; "
        "PLUMBLINE_CONTRACTS names another folder"
    )
