"""The child that reads text: `python parsing.py ROOT FILE…` prints every document of the files as one line of JSON.

It runs by itself so that no text can take the worker down. What it prints: {"documents": [[file, line, value], …]} or
{"problems": […]}; files are named relative to ROOT.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    """Reads the files named in the arguments file and prints the result."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    from worker.domain.errors import DesiredStateError
    from worker.domain.yaml_text import read_documents

    root = Path(sys.argv[1])
    names = json.loads(Path(sys.argv[2]).read_text())
    documents: list[list[object]] = []
    problems: list[dict[str, object]] = []
    for name in names:
        try:
            found = read_documents((root / name).read_bytes(), name)
        except DesiredStateError as error:
            problems += [problem.to_json() for problem in error.problems]
        else:
            documents += [[name, document.line, document.value] for document in found]
    sys.stdout.write(json.dumps({"problems": problems} if problems else {"documents": documents}))


if __name__ == "__main__":
    main()
