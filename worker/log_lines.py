"""The log of the processes: a record begins a line and nothing in it begins another, so that nobody writes one for us."""

from __future__ import annotations

import logging
from typing import Final

from worker.domain.field_text import visible

FORMAT: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"
MORE: Final = "\n    | "
"""What the further lines of a record begin with: of a trace, of a list of mistakes."""


class OneRecord(logging.Formatter):
    """Writes out what steers a terminal, and indents every further line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text; whatever a repository, a forge or a cluster put into it."""
        lines = super().format(record).replace("\r", "\n").split("\n")
        return MORE.join(visible(line) for line in lines)


def log_to_stderr() -> None:
    """Logs of this process go to stderr, from INFO on."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneRecord(FORMAT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a permission that is tried for and refused is no fault
