"""Where the corpora are."""

from __future__ import annotations

import os
from pathlib import Path


def corpora_folder() -> Path:
    """The folder of PLUMBLINE_CORPORA, else the one beside the checkout."""
    named = os.environ.get("PLUMBLINE_CORPORA")
    return Path(named) if named else Path(__file__).parents[3] / "shared" / "corpora"
