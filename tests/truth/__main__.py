"""`python -m tests.truth`: replays the histories of the corpora and prints, per repository, how true Plumbline was."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from sandbox.tools import find
from tests.truth.corpora import corpora_folder
from tests.truth.replay import Count
from tests.truth.running import replayed

SHOWN = 12
COLUMNS = (
    "commits",
    "refused",
    "predicted",
    "exact",
    "unpredictable",
    "unserved",
    "unchanged",
    "unproven",
    "unhealthy",
)


def main() -> int:
    """Prints a line per history and every miss; returns 1 where there is one."""
    parser = argparse.ArgumentParser(prog="tests.truth")
    parser.add_argument("--only", default="", help="histories whose name contains this")
    parser.add_argument("--every", type=int, default=1, help="every how manieth commit (1)")
    arguments = parser.parse_args()
    tools = find(progress=lambda text: print(text, file=sys.stderr))
    missed = 0
    print(f"{'history':<52}" + "".join(f"{name:>14}" for name in COLUMNS) + f"{'wrong':>8}{'seconds':>9}")
    with tempfile.TemporaryDirectory(prefix="plumbline-truth-") as folder:
        for history, count in replayed(
            corpora_folder(),
            tools,
            Path(folder),
            every=lambda _: arguments.every,
            wanted=lambda history: arguments.only in str(history),
            progress=_progress,
        ):
            missed += _tell(str(history), count)
    return 1 if missed else 0


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif "0 of" in text:
        print(text, file=sys.stderr, flush=True)


def _tell(name: str, count: Count) -> int:
    figures = "".join(f"{getattr(count, column):>14}" for column in COLUMNS)
    print(f"{name[:51]:<52}{figures}{len(count.wrong):>8}{count.seconds:>9.1f}", flush=True)
    for text in count.wrong[:SHOWN]:
        print(f"    {text}")
    if len(count.wrong) > SHOWN:
        print(f"    and {len(count.wrong) - SHOWN} more")
    for reason, times in count.refusals.most_common(5):
        print(f"    refused {times} times: {reason}")
    return len(count.wrong)


if __name__ == "__main__":
    sys.exit(main())
