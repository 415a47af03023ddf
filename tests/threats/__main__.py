"""`python -m tests.threats`: runs every test that holds a row of attacks or faults, and prints the table of the rows."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.threats.rows import NOT_APPLICABLE, ROWS

NAMED = re.compile(r"(?:(?<=_)|(?<=Test))([af]\d\d)(?![a-z0-9])", re.IGNORECASE)
STYLES = {"pass": "green", "fail": "bold red", "miss": "bold red", "not applicable": "dim"}


class Rows:
    """A pytest plugin: keeps the tests whose names carry a row's id, and remembers how each ended."""

    def __init__(self, wanted: frozenset[str]) -> None:
        self._wanted = wanted
        self.tests: dict[str, set[str]] = defaultdict(set)
        self.failures: dict[str, str] = {}
        self._left = 0
        self._screen = os.fdopen(os.dup(sys.stderr.fileno()), "w")

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leaves out every test that holds no wanted row."""
        kept = [item for item in items if rows_of(item.nodeid) & self._wanted]
        for item in kept:
            for row in rows_of(item.nodeid):
                self.tests[row].add(item.nodeid)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept
        self._left = len(kept)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A module that cannot be imported holds nothing."""
        if report.failed:
            self.failures[report.nodeid] = report.longreprtext

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remembers what failed, and what did not run."""
        if report.failed:
            self.failures[report.nodeid] = report.longreprtext
        elif report.skipped:
            self.failures[report.nodeid] = f"did not run: {report.longreprtext}"
        if report.when == "teardown":
            self._left -= 1
            if self._screen.isatty():
                print(f"\r\033[K{self._left} tests to go", end="", file=self._screen, flush=True)

    def result(self, row: str) -> str:
        """How a row stands: pass, fail, miss (no test holds it) or not applicable."""
        if row not in self.tests:
            return "not applicable" if row in NOT_APPLICABLE else "miss"
        return "fail" if self.tests[row] & self.failures.keys() else "pass"


def rows_of(test: str) -> frozenset[str]:
    """The rows that a test's name says it holds: `test_f33_…`, `TestA59::…`."""
    return frozenset(match.upper() for match in NAMED.findall(test.partition("[")[0].partition("::")[2]))


def main() -> int:
    """Prints the table; 1 where a row fails or no test holds it."""
    parser = argparse.ArgumentParser(prog="tests.threats")
    parser.add_argument("rows", nargs="*", type=str.upper, help="only these rows (F09 A59)")
    wanted = frozenset(parser.parse_args().rows) or frozenset(ROWS)
    if unknown := wanted - ROWS.keys():
        parser.error(f"there is no row {', '.join(sorted(unknown))}")
    found = Rows(wanted)
    pytest.main(["-o", "addopts=", "-p", "no:terminal", str(Path(__file__).parents[1])], plugins=[found])
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    for test, text in sorted(found.failures.items()):
        print(f"{test}\n{text}\n")
    return _show(found, [row for row in ROWS if row in wanted])


def _show(found: Rows, rows: Iterable[str]) -> int:
    console = Console(width=None if sys.stdout.isatty() else 150)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("row", "result", "tests"):
        table.add_column(name, no_wrap=True)
    table.add_column("what is tried, and what must hold")
    counts: dict[str, int] = defaultdict(int)
    for row in rows:
        result = found.result(row)
        counts[result] += 1
        why = f" ({NOT_APPLICABLE[row]})" if result == "not applicable" else ""
        number = str(len(found.tests[row])) if found.tests.get(row) else ""
        table.add_row(row, Text(result, STYLES[result]), number, Text(ROWS[row] + why, STYLES[result] if why else ""))
    console.print(table)
    console.print(", ".join(f"{counts[result]} {result}" for result in STYLES))
    stale = sorted(row for row in NOT_APPLICABLE if found.tests.get(row))
    for row in stale:
        console.print(f"{row} is listed as not applicable, but has tests: take it off the list in rows.py")
    broken = [test for test in found.failures if "::" not in test]
    return 1 if counts["fail"] or counts["miss"] or stale or broken else 0


if __name__ == "__main__":
    sys.exit(main())
