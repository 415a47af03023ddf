"""Real histories, commit by commit, on a real API server: a sample here, all of them by `make truth`."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.truth.histories import History
from tests.truth.running import replayed

COMMITS = int(os.environ.get("PLUMBLINE_TRUTH_COMMITS", "4"))
"""Commits of each history that are replayed, besides its last."""

ROOTS = 4
"""Folders of one repository that are replayed."""


@pytest.mark.timeout(900)
def test_every_prediction_comes_true_and_nothing_is_claimed_wrongly(
    corpora: Path, tools: dict[str, Path], tmp_path: Path
) -> None:
    seen: Counter[str] = Counter()

    def wanted(history: History) -> bool:
        seen[history.name] += 1
        return seen[history.name] <= ROOTS

    counts = [
        count
        for _, count in replayed(
            corpora, tools, tmp_path, every=lambda history: max(1, len(history.steps) // COMMITS), wanted=wanted
        )
    ]
    assert [text for count in counts for text in count.wrong] == []
    predicted = sum(count.predicted for count in counts)
    assert predicted > 100
    assert sum(count.exact for count in counts) / predicted >= 0.995
