"""The child of a render: `python -I -S child.py WORK.json` confines itself, looks at the files, and then does one thing.

WORK.json says what it `does`: `look and run` becomes a program (`command`) once the files that the program will read are
found harmless, `look` ends there, `run` does not look; `read` prints every document of `files` as JSON; `probe` tries what
is not taken from it. What it prints: {"documents": [[file, line, value], …]}, {"problems": […]} with the exit code 65, or
{"shortfalls": […]}; files are named relative to `names`.
"""

from __future__ import annotations

import json
import os
import sys

PROBLEMS = 65
"""EX_DATAERR of sysexits.h."""


def main() -> int:
    """Does the work that the file named in the arguments describes."""
    with open(sys.argv[1], "rb") as file:  # noqa: PTH123 (pathlib is slow to start)
        work = json.load(file)
    sys.path[:0] = work["imports"]
    from worker.adapters.confined import confinement, reading, references

    confinement.confine(work["limits"], work["readable"], work["writable"])
    if work["does"] == "probe":
        return _print({"shortfalls": confinement.shortfalls()})
    if work["does"] == "read":
        problems, documents = reading.documents(work["names"], work["files"], work["limits"]["file_size"])
        return _print({"problems": problems}, PROBLEMS) if problems else _print({"documents": documents})
    if work["does"] != "run" and (problems := references.problems(work)):
        return _print({"problems": problems}, PROBLEMS)
    if work["does"] != "look":
        os.execv(work["command"][0], work["command"])  # noqa: S606
    return 0


def _print(answer: dict[str, object], code: int = 0) -> int:
    sys.stdout.write(json.dumps(answer))
    return code


if __name__ == "__main__":
    sys.exit(main())
