"""`make demo ONCE=1`: it plays to its end, says which step is missing where one is, and leaves nothing running."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from plumbline.local_system import ROOT

BROKEN = """
import sys
from plumbline.__main__ import main
from plumbline.demo import acts
acts.ACTS = (("A quiet act. Nothing.", lambda stage: None), ("The moon. It rises.", lambda stage: stage.require(False, "it is up")))
sys.exit(main(["demo", "--once"]))
"""


def played(*command: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """The demo's output, and the folder that it started everything in."""
    environ = {name: value for name, value in os.environ.items() if name != "PLUMBLINE_REDIS_URL"}
    run = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    found = re.search(r"start on 127\.0\.0\.1 \((\S+)\)", run.stdout)
    assert found is not None, run.stdout + run.stderr
    return run, found[1]


def left_behind(folder: str) -> list[str]:
    """The processes that have the folder in their arguments or work in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_bytes() + os.fsencode((process / "cwd").readlink())
        except OSError:
            continue
        if folder.encode() in text:
            found.append(text.decode(errors="replace"))
    return found


def test_the_demo_plays_every_step_and_leaves_nothing() -> None:
    run, folder = played("-m", "plumbline", "demo", "--once")
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr
    assert "Every step happened" in run.stdout
    for fact in (
        "Plumbline predicts 3 changes in 2 environments",
        "+   resources.limits.memory: 512Mi",
        "-   password: ••••• (before)",
        "plumbline/converge/production  success",
        "Merged: converged as predicted in production and staging",
        "pre-receive hook declined",
        "ImagePullBackOff",
        "Roll back production to ",
        "holds byte for byte what",
    ):
        assert fact in run.stdout, fact
    assert "correct-horse" not in run.stdout
    assert left_behind(folder) == []
    assert not Path(folder).exists()


def test_a_step_that_is_missing_ends_the_demo_with_its_name_and_leaves_nothing() -> None:
    run, folder = played("-c", BROKEN)
    assert run.returncode == 1
    assert run.stderr.strip().endswith("the demo stopped: act 2 (The moon): it is up")
    assert "Every step happened" not in run.stdout
    assert "Traceback" not in run.stderr
    assert left_behind(folder) == []
    assert not Path(folder).exists()
