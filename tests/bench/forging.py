"""The whole path at a real Gitea: a change request until its comment is there, and its merge until it is live."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from plumbline.forge_system import BOT, ForgeSystem
from plumbline.local_system import Clone, git
from sandbox.forge import GiteaServer
from sandbox.gitea_program import find_gitea
from sandbox.processes import wait_until
from tests.bench.ground import Figures, Ground, quantile
from tests.bench.pushing import DECLARATION, Live, config_map

CHANGES = 24
OBJECTS = 20
NAMESPACE = "forge"
PREDICT, CONVERGE = "plumbline/predict", "plumbline/converge/production"


class Shop:
    """A repository at Gitea with an environment of 20 objects, and all of Plumbline beside it."""

    def __init__(self, system: ForgeSystem, clone: Clone) -> None:
        self.system = system
        self.clone = clone

    def pushed(self, branch: str, value: str) -> str:
        """A branch with one line changed, on the newest main; its commit."""
        git("fetch", "--quiet", "origin", at=self.clone.folder)
        git("checkout", "--quiet", "-B", branch, "origin/main", at=self.clone.folder)
        self.clone.write("app/c7.yaml", config_map(7, value))
        revision = self.clone.commit(value)
        git("push", "--quiet", "origin", branch, at=self.clone.folder)
        return revision

    @property
    def tip(self) -> str:
        """The main branch's commit, read in the forge's own folder."""
        return (self.system.repository / "refs/heads/main").read_text().strip()

    def comments(self, number: int) -> list[str]:
        """What the bot has commented."""
        found = self.system.ask("GET", f"/issues/{number}/comments")
        return [each["body"] for each in found if each["user"]["login"] == BOT]

    def status(self, revision: str, context: str) -> str:
        """The newest state of a context; empty where there is none."""
        found = self.system.ask("GET", f"/commits/{revision}/status").get("statuses") or []
        return next((str(each["status"]) for each in found if each["context"] == context), "")


@contextlib.contextmanager
def shop(ground: Ground, redis_url: str, name: str, poll: str = "30s") -> Iterator[Shop]:
    """Everything, with one converged commit."""
    ground.namespace(name)
    with (
        GiteaServer.start(ground.root / f"gitea-{name}", find_gitea()) as forge,
        ForgeSystem.beside(
            forge,
            ground.root / f"system-{name}",
            kubeconfig=ground.plane.kubeconfig("worker"),
            redis_url=redis_url,
            tools=ground.tools["helm"].parent,
            namespaces=[name],
            state_namespace=f"state-{name}",
            poll=poll,
        ) as system,
    ):
        clone = Clone(ground.root / f"clone-{name}", system.remote)
        clone.write("plumbline.yaml", DECLARATION.format(name))
        for number in range(OBJECTS):
            clone.write(f"app/c{number}.yaml", config_map(number, "start"))
        revision = clone.commit("start")
        git("push", "--quiet", "origin", "HEAD:refs/heads/main", at=clone.folder)
        made = Shop(system, clone)
        wait_until(lambda: made.status(revision, CONVERGE) == "success", 60, "the first commit is converged")
        yield made


def measure_forge(ground: Ground) -> Figures:
    """Opens and merges a change request of one line again and again, in an environment of 20 objects."""
    with shop(ground, ground.redis_url, NAMESPACE) as made:
        live = Live(ground.plane, NAMESPACE, "c7")
        rows = [_once(made, live, f"v{each}") for each in range(CHANGES + 1)]
    commented, pending, lived, clicked = zip(*rows[1:], strict=True)  # the first finds nothing warm, as after a start
    return {
        "comment_p50": quantile(commented, 0.5),
        "comment_p95": quantile(commented, 0.95),
        "pending_p50": quantile(pending, 0.5),
        "pending_p95": quantile(pending, 0.95),
        "merged_live_p50": quantile(lived, 0.5),
        "merged_live_p95": quantile(lived, 0.95),
        "clicked_live_p50": quantile(clicked, 0.5),
        "forge_first_comment_seconds": rows[0][0],
        "forge_samples": float(CHANGES),
    }


def _once(made: Shop, live: Live, value: str) -> tuple[float, float, float, float]:
    """Seconds from the opening to the comment; from the moved branch to `pending`, to live; from the click on merge to live."""
    branch, before = f"change-{value}", made.tip
    head = made.pushed(branch, value)
    began = time.perf_counter()
    number = int(made.system.ask("POST", "/pulls", {"head": branch, "base": "main", "title": value})["number"])
    wait_until(lambda: bool(made.comments(number)), 60, "the comment is there")
    commented = time.perf_counter() - began
    wait_until(lambda: made.status(head, PREDICT) == "success", 30, "it is predicted")
    wait_until(lambda: bool(made.system.ask("GET", f"/pulls/{number}")["mergeable"]), 30, "Gitea would merge it")
    with ThreadPoolExecutor(2) as pool:
        moved = pool.submit(_when_moved, made, before)
        clicked = time.perf_counter()
        merging = pool.submit(made.system.ask, "POST", f"/pulls/{number}/merge", {"Do": "merge"})
        at = moved.result()
        merged = made.tip
        wait_until(lambda: bool(made.status(merged, CONVERGE)), 60, "the merge is pending")
        pending = time.perf_counter() - at
        merging.result()
    lived = live.wait(value)
    wait_until(lambda: made.status(merged, CONVERGE) == "success", 60, "the merge is converged")
    assert len(made.comments(number)) == 1
    return commented, pending, lived - at, lived - clicked


def _when_moved(made: Shop, before: str) -> float:
    """Looks at the branch every half millisecond, and says when it was not there any more."""
    until = time.monotonic() + 30
    while made.tip == before:
        if time.monotonic() > until:
            raise TimeoutError("the branch did not move")
        time.sleep(0.0005)
    return time.perf_counter()
