"""A journey's own place at a forge: a branch with environments of its own, people who propose, and what they then see."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from bot.forges.port import Comment, State, Status
from plumbline.local_system import LocalSystem
from sandbox.control_plane import ControlPlane
from sandbox.processes import SandboxError, wait_until
from tests.conftest import config_map
from tests.doubles.forge_rig import ForgeRig

ANSWER = ":answer:"
"""What stands in the hidden first line of an answer to a command only."""

PREDICT: Final = "plumbline/predict"
MARKER: Final = "<!-- plumbline:default:prediction -->"
SECONDS: Final = 40

_NAMES = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change request and the head that it has had last."""

    number: int
    branch: str
    head: str


@dataclass
class Shop:
    """A branch `release/<name>` that the environment `<name>` follows, with its own namespace, below `app/`."""

    rig: ForgeRig
    system: LocalSystem
    plane: ControlPlane
    name: str
    namespace: str
    _opened: list[int] = field(default_factory=list)

    @property
    def branch(self) -> str:
        return f"release/{self.name}"

    @property
    def converge(self) -> str:
        """The context of the environment's results."""
        return f"plumbline/converge/{self.name}"

    @property
    def predict(self) -> str:
        """The context of the environment's predictions."""
        return f"{PREDICT}/{self.name}"

    def declaration(self, *paths: str) -> str:
        """plumbline.yaml with the environment, and one more for each further path, named `<name>-<path>`."""
        rows = [(self.name, "app"), *((f"{self.name}-{path}", path) for path in paths)]
        return "environments:\n" + "".join(
            f"  - name: {name}\n    path: {path}\n    namespace: {self.namespace}\n"
            "    policy: {settle: 1s, health-timeout: 20s}\n"
            for name, path in rows
        )

    # What people do.

    def begin(self, *paths: str, **files: str) -> str:
        """The branch's first commit, waited for until it is verified: `flags` and `other` below app/, and more files.

        Each of `paths` has a ConfigMap of its own name, and is an environment.
        """
        content = {
            "plumbline.yaml": self.declaration(*paths),
            "app/flags.yaml": config_map("flags", a="1"),
            "app/other.yaml": config_map("other", b="1"),
            **{f"{path}/{path}.yaml": config_map(path, a="1") for path in paths},
            **files,
        }
        first = self.rig.push(self.branch, content, message="Start")
        for context in (self.converge, *(f"{self.converge}-{path}" for path in paths)):

            def is_verified(context: str = context) -> bool:
                found = self.rig.statuses(first).get(context)
                return found is not None and found.text.startswith(("Verified", "Converged"))

            self.until(is_verified, f"{context} is verified", first)
        assert self.value("flags") == "1"
        return first

    def propose(self, files: Mapping[str, str | None], *, title: str = "Change", is_draft: bool = False) -> Proposal:
        """Pushes a branch with changed files and opens a change request of it."""
        branch = f"change-{next(_NAMES)}"
        head = self.rig.push(branch, files, onto=self.rig.tip(self.branch))
        number = self.rig.open(branch, self.branch, title, is_draft=is_draft)
        return self.opened(Proposal(number, branch, head))

    def push(self, proposal: Proposal, files: Mapping[str, str | None], *, onto: str = "") -> Proposal:
        """Moves a change request's head: by another commit, or with `onto` by force to a commit on that one."""
        head = self.rig.push(proposal.branch, files, onto=onto, force=bool(onto))
        return replace(proposal, head=head)

    def opened(self, proposal: Proposal) -> Proposal:
        """Remembers a change request, so that it is closed when the journey ends."""
        self._opened.append(proposal.number)
        return proposal

    def end(self) -> None:
        """Closes what is still open: nobody is to predict it any more."""
        for number in self._opened:
            if str(self.rig.change_request(number).state) == "open":
                self.rig.close_request(number)

    # What they see.

    def status(self, revision: str, context: str, state: State) -> Status:
        """The commit's status, once it is in that state."""

        def is_it() -> bool:
            found = self.rig.statuses(revision).get(context)
            return found is not None and found.state is state

        self.until(is_it, f"{context} of {revision[:7]} is {state}", revision)
        return self.rig.statuses(revision)[context]

    def predicted(self, proposal: Proposal, state: State = State.SUCCESS) -> str:
        """The one comment of a change request, once its head is predicted (and the comment is of that head)."""
        self.status(proposal.head, PREDICT, state)
        return self.comment(proposal.number, f"`{proposal.head[:7]}`")

    def comment(self, number: int, *words: str) -> str:
        """Our one comment, once it has all these words."""
        self.until(lambda: all(word in self._our_text(number) for word in words), f"#{number} says {words}", "", number)
        return self._our_text(number)

    def _our_text(self, number: int) -> str:
        ours = self.ours(number)
        assert len(ours) <= 1, f"{len(ours)} comments of ours on #{number}"
        return ours[0].body if ours else ""

    def ours(self, number: int) -> Sequence[Comment]:
        """The bot's comments but for its answers to commands."""
        return [each for each in self._said(number) if ANSWER not in each.body]

    def answers(self, number: int) -> list[str]:
        """What the bot answered to commands, oldest first."""
        return [each.body for each in self._said(number) if ANSWER in each.body]

    def tell_again(self, said: str) -> None:
        """Sends once more the delivery that told of the newest comment which says exactly this."""
        for index, delivery in reversed(list(enumerate(self.rig.deliveries()))):
            body = json.loads(delivery.body)
            told = body.get("comment") or body.get("object_attributes") or {}
            if said in (told.get("body"), told.get("note")):
                assert self.rig.redeliver(index).code < 300
                return
        raise AssertionError(f"no delivery told of {said!r}")

    def _said(self, number: int) -> Sequence[Comment]:
        return [each for each in self.rig.comments(number) if each.author.login == self.rig.bot]

    def writings(self, number: int) -> int:
        """How many times the bot has made or edited a comment on a change request."""
        own = "|".join(each.id for each in self.ours(number)) or "none"
        place = re.compile(rf"/{number}/(?:comments|notes)$|/(?:comments|notes)/(?:{own})$")
        return sum(method != "GET" and bool(place.search(path)) for method, path in self.rig.requests())

    def all_is_done(self) -> None:
        """Everything that was asked for before is done: something that came after it in every queue is."""
        self.predicted(self.propose({f"app/after-{next(_NAMES)}.yaml": config_map(f"after-{next(_NAMES)}", a="1")}))

    def history(self, revision: str, context: str) -> list[State]:
        """The states that a status went through, one after the other, each once."""
        states = [each.state for each in self.rig.history(revision) if each.context == context]
        return [state for state, _ in itertools.groupby(states)]

    # What is in the cluster.

    def object(self, name: str) -> Mapping[str, Any] | None:
        """A ConfigMap of the namespace, None where it is not there."""
        code, found = self.plane.request("GET", f"/api/v1/namespaces/{self.namespace}/configmaps/{name}")
        return found if code == 200 else None

    def value(self, name: str) -> str:
        """The first value of a ConfigMap, empty where it is not there."""
        found = self.object(name) or {}
        return next(iter((found.get("data") or {}).values()), "")

    def versions(self) -> dict[str, str]:
        """The resourceVersion of every ConfigMap of the namespace: what shows that nothing was written."""
        _, found = self.plane.request("GET", f"/api/v1/namespaces/{self.namespace}/configmaps")
        return {each["metadata"]["name"]: each["metadata"]["resourceVersion"] for each in found["items"]}

    def meddle(self, name: str, **data: str) -> None:
        """Somebody changes an object past Git."""
        found = dict(self.object(name) or {})
        found["data"] = data
        code, answer = self.plane.request("PUT", f"/api/v1/namespaces/{self.namespace}/configmaps/{name}", found)
        assert code == 200, answer

    # Waiting.

    def until(self, condition: Callable[[], bool], what: str, revision: str = "", number: int = 0) -> None:
        """Waits for a condition; where it does not come, says what is there instead."""
        try:
            wait_until(condition, SECONDS, what)
        except SandboxError as error:
            told = [str(error)]
            told += [f"{each}" for each in self.rig.history(revision)] if revision else []
            told += [each.body for each in self.ours(number)] if number else []
            told += [f"-- {name}\n{self.system.log(name)}" for name in ("bot", "worker")]
            raise AssertionError("\n".join(told)) from None


def manifest(name: str, **data: str) -> dict[str, str]:
    """One file with one ConfigMap, as `propose` takes it."""
    return {f"app/{name}.yaml": config_map(name, **data)}


def broken() -> str:
    """A manifest whose third line is wrong."""
    return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: flags}}\n"
