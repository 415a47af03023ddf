"""The stage of the demo: what runs, what a person does there, and how each step is shown and checked.

Every method that waits shows what it waits for, and raises StepMissing with the step that did not happen.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from plumbline.comment_screen import comment_lines
from plumbline.demo.shop import Cart
from plumbline.forge_system import BOT, ForgeSystem
from plumbline.local_system import Clone, git
from plumbline.screen import coloured, safe
from sandbox.control_plane import ControlPlane
from sandbox.forge import GiteaServer
from sandbox.processes import SandboxError, wait_until

PATIENCE: Final = 90.0
"""Seconds for a step that takes one or two on a machine that does nothing else."""

ANSWER: Final = ":answer:"
"""What stands in the hidden first line of an answer to a command only."""

COLOURS: Final = {"pending": "33", "success": "32", "failure": "31", "error": "31", "warning": "35"}


class StepMissing(Exception):
    """A step of the play did not happen; the text says which."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs, and the clone in which Ada works; `main` is where her branch stands."""

    plane: ControlPlane
    forge: GiteaServer
    system: ForgeSystem
    clone: Clone
    kubectl: Path

    # -- what is read --------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The repository's address at Gitea."""
        return f"{self.forge.address}/{self.system.project}"

    def comment(self, number: int) -> str:
        """Plumbline's comment on a pull request, empty where there is none. Raises StepMissing where there are several."""
        found = [each for each in self._said(number) if ANSWER not in each]
        if len(found) > 1:
            raise StepMissing(
                f"pull request {number} has {len(found)} comments of Plumbline, where one is edited in place"
            )
        return found[0] if found else ""

    def answer(self, number: int) -> str:
        """What Plumbline answered last to a command on a pull request, empty where it answered none yet."""
        return next((each for each in reversed(self._said(number)) if ANSWER in each), "")

    def _said(self, number: int) -> list[str]:
        comments = self.system.ask("GET", f"/issues/{number}/comments")
        return [str(each["body"]) for each in comments if each["user"]["login"] == BOT]

    def statuses(self, revision: str) -> list[tuple[str, str, str]]:
        """(context, state, text) of everything that was written on a commit, oldest first."""
        found = self.system.ask("GET", f"/commits/{revision}/statuses?limit=50")
        return [
            (each["context"], each["status"], each["description"])
            for each in sorted(found, key=lambda each: each["id"])
        ]

    def head(self, number: int) -> str:
        """The newest commit of a pull request."""
        return str(self.system.ask("GET", f"/pulls/{number}")["head"]["sha"])

    def holds_same(self, one: str, other: str) -> bool:
        """Whether two commits that the clone has hold the very same files."""
        return git("rev-parse", f"{one}^{{tree}}", at=self.clone.folder) == git(
            "rev-parse", f"{other}^{{tree}}", at=self.clone.folder
        )

    def live_image(self, cart: Cart) -> str:
        """The image that the cluster's Deployment has now."""
        at = f"/apis/apps/v1/namespaces/{cart.namespace}/deployments/cart"
        status, found = self.plane.request("GET", at)
        if status != 200:
            raise StepMissing(f"there is no Deployment {cart.namespace}/cart in the cluster")
        return str(found["spec"]["template"]["spec"]["containers"][0]["image"])

    def require(self, holds: bool, step: str) -> None:  # noqa: FBT001
        """Raises StepMissing with the step unless it holds."""
        if not holds:
            raise StepMissing(step)

    def wait(self, condition: Callable[[], bool], step: str) -> None:
        """Waits until something holds; the step is what did not happen where it never does."""
        try:
            wait_until(condition, PATIENCE, step)
        except SandboxError as error:
            raise StepMissing(str(error)) from None

    # -- what Ada does -------------------------------------------------------------------------------------------

    def write(self, *carts: Cart) -> None:
        """Writes manifests into the clone."""
        for cart in carts:
            self.clone.write(cart.file, cart.text)

    def branch(self, name: str, start: str = "main") -> None:
        """Goes to a branch; a new one begins at `start`."""
        git("checkout", "--quiet", "-B", name, start, at=self.clone.folder)

    def pull(self) -> str:
        """Brings `main` to where Gitea has it, and throws away what was not accepted; its commit."""
        git("fetch", "--quiet", "origin", at=self.clone.folder)
        self.branch("main", "origin/main")
        return git("rev-parse", "HEAD", at=self.clone.folder).strip()

    def push(self, expected: Sequence[str], *, accepted: bool = True, wait: int = 60) -> None:
        """Pushes `main`, shows what the pusher sees, and checks that each expected word came, in this order.

        It goes on for at most `wait` seconds. Gitea holds a short answer back until then, so with 0 the prediction is seen at
        once, and the statuses tell the rest as it comes.
        """
        options = ["-o", f"plumbline.wait={wait}"]
        if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
            options += ["-o", "plumbline.colour=1"]
        self.command("git push origin main")
        left, code = list(expected), ""
        for line in self.clone.pushed(*options, "origin", "main"):
            if line.startswith("exit "):
                code = line
                break
            if self.forge.password not in line:  # git names the address, which has Ada's password in it
                print(f"  {line.rstrip()}", flush=True)
            while left and left[0] in line:
                left.pop(0)
        if left:
            raise StepMissing(f"`{left[0]}` did not come in the push's output")
        if (code == "exit 0") is not accepted:
            raise StepMissing("the push was " + ("refused" if accepted else "accepted"))

    def require_status(self, context: str) -> None:
        """Has Gitea merge nothing into `main` on whose head this status is not green; pushes go in as before."""
        rule = {
            "rule_name": "main",
            "enable_push": True,
            "enable_status_check": True,
            "status_check_contexts": [context],
        }
        self.system.ask("POST", "/branch_protections", rule)
        self.fact(f"protected  main: a pull request needs the status {context}")

    def propose(self, branch: str, title: str, body: str) -> tuple[int, str]:
        """Pushes the branch that Ada is on and opens a pull request; its number and head."""
        self.command(f"git push origin {branch}   # and open a pull request of it")
        pushed = self.clone.push("origin", branch)
        if pushed.returncode != 0:
            raise StepMissing(f"the branch {branch} was not accepted: {pushed.stderr[-300:]}")
        made = self.system.ask("POST", "/pulls", {"head": branch, "base": "main", "title": title, "body": body})
        number = int(made["number"])
        self.fact(f"opened     {self.url}/pulls/{number}")
        return number, str(made["head"]["sha"])

    def say(self, number: int, text: str) -> str:
        """Ada's comment on a pull request, and the answer to it, once it is there."""
        before = self.answer(number)
        self.command(f"# and say in a comment on {self.url}/pulls/{number}:  {text}")
        self.system.ask("POST", f"/issues/{number}/comments", {"body": text})
        self.wait(lambda: self.answer(number) != before, f"`{text}` is answered")
        self.show_comment(self.answer(number))
        return self.answer(number)

    def merge(self, number: int) -> str:
        """Merges a pull request as the button does; the commit that it became."""
        self.wait(
            lambda: bool(self.system.ask("GET", f"/pulls/{number}")["mergeable"]),
            f"Gitea lets pull request {number} be merged",
        )
        self.system.ask("POST", f"/pulls/{number}/merge", {"Do": "merge"})
        return str(self.system.ask("GET", f"/pulls/{number}")["merge_commit_sha"])

    def by_hand(self, cart: Cart, *arguments: str) -> None:
        """What somebody does to the cluster past Git, with kubectl."""
        self.command(f"kubectl -n {cart.namespace} {' '.join(arguments)}")
        command = [str(self.kubectl), "--kubeconfig", str(self.plane.kubeconfig()), "-n", cart.namespace, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise StepMissing(f"kubectl refused: {done.stderr.strip()[-300:]}")

    # -- what is shown -------------------------------------------------------------------------------------------

    def show_statuses(self, revision: str, wanted: dict[str, str]) -> list[tuple[str, str, str]]:
        """Shows what is written on a commit as it comes, until each wanted context has its state; all of it."""
        began, shown = time.monotonic(), 0
        found: list[tuple[str, str, str]] = []
        width = max(map(len, wanted))

        def is_there() -> bool:
            nonlocal shown, found
            found = [each for each in self.statuses(revision) if each[0] in wanted]
            for context, state, text in found[shown:]:
                self.show_coming(time.monotonic() - began, f"{context:<{width}}", state, text)
            shown = len(found)
            newest = {context: state for context, state, _ in found}
            return all(newest.get(context) == state for context, state in wanted.items())

        said = ", ".join(f"{context} is {state}" for context, state in wanted.items())
        self.wait(is_there, f"the statuses of {revision[:7]} say that {said}")
        return found

    def show_last(self, revision: str, context: str, state: str) -> str:
        """Waits until a context of a commit has its state, and shows it and what comes before it; its text."""
        began, shown = time.monotonic(), None
        found: list[tuple[str, str]] = []

        def is_there() -> bool:
            nonlocal shown, found
            found = [(now, text) for name, now, text in self.statuses(revision) if name == context]
            is_now = found[-1:] != [] and found[-1][0] == state
            if shown is None:  # what was there before is known, all but the one that is waited for
                shown = len(found) - is_now
            for now, text in found[shown:]:
                self.show_coming(time.monotonic() - began, context, now, text)
            shown = len(found)
            return is_now

        self.wait(is_there, f"{context} of {revision[:7]} is {state}")
        return found[-1][1]

    def show_coming(self, seconds: float, context: str, state: str, text: str) -> None:
        """One status in a line, with how long it was waited for."""
        mark = coloured(f"{state:<8}", COLOURS.get(state, "0"))
        print(f"  {seconds:5.1f} s  {context}  {mark} {safe(text)}", flush=True)

    def show_status(self, context: str, state: str, text: str) -> None:
        """One status in a line."""
        self.fact(f"{context}  {coloured(state, COLOURS.get(state, '0'))} {safe(text)}")

    def show_comment(self, body: str) -> None:
        """The comment as a person reads it."""
        bar = coloured("│", "34")
        for line in comment_lines(body):
            print(f"  {bar} {line}", flush=True)

    def command(self, text: str) -> None:
        """What Ada types."""
        print(coloured(f"  $ {text}", "1"), flush=True)

    def fact(self, text: str) -> None:
        """Something that happened."""
        print(f"  {text}", flush=True)


@contextmanager
def named(act: str) -> Iterator[None]:
    """Names the act in a step that is missing, and takes what the forge refuses for one."""
    try:
        yield
    except (StepMissing, SandboxError) as error:
        raise StepMissing(f"{act}: {error}") from None
