"""All histories, each repository on a control plane of its own: their stub definitions exclude each other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from sandbox.control_plane import ControlPlane
from tests.truth.histories import History, histories
from tests.truth.replay import Count, Replay, apply_stubs, renders


def replayed(
    corpora: Path,
    tools: dict[str, Path],
    workspace: Path,
    *,
    every: Callable[[History], int],
    wanted: Callable[[History], bool] = lambda _: True,
    progress: Callable[[str], None] = lambda _: None,
) -> Iterator[tuple[History, Count]]:
    """Replays every how manieth commit of each wanted history, and says what came of it."""
    programs = tools["helm"].parent
    found = histories(corpora, workspace, renders(workspace / "cache", programs))
    for name, roots in itertools.groupby(filter(wanted, found), key=lambda history: history.name):
        with ControlPlane.start(workspace / f"{name}.cluster", tools) as plane:
            for number, history in enumerate(roots):
                if number == 0:
                    apply_stubs(history, tools["kubectl"], plane.kubeconfig())
                replay = Replay(history, plane.kubeconfig(), programs, workspace / "cache")
                yield history, replay.run(every(history), progress)
