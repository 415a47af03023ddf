"""The web process as the Procfile starts it, with an app.yaml of a test's own, and a board that is filled as the bot fills it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from bot.board import Board, Commit, Request
from plumbline.local_system import ROOT, LocalSystem, procfile
from sandbox.processes import Server, free_port, stop_all, wait_until
from worker.domain.divergence import EpisodeReport
from worker.domain.environment import Mode
from worker.domain.episodes import Cause, Episode, Event, News, Stage, Trouble
from worker.domain.errors import Problem
from worker.domain.plan import ABSENT, Action, Change, FieldChange, Plan
from worker.domain.proposals import Drift, EnvironmentProposal, ProposalReport
from worker.domain.reports import ConvergenceReport, EnvironmentPreview, Outcome, PreviewReport, Step
from worker.domain.resource import ResourceKey, SecretValue

TOKEN = "let-me-look-at-the-pages"
TICKET = "a" * 32
NOW = 1_700_000_000

APP = """\
address: {address}
redis: {{env: PLUMBLINE_REDIS_URL}}
signing-key: {{env: SIGNING}}
repositories:
  - {{name: shop, url: /srv/shop.git, secret: {{env: HOOK}}, {where}ceiling: {{}}}}
  - {{name: other, url: /srv/other.git, secret: {{env: HOOK}}, {where_else}ceiling: {{}}}}
"""


@dataclass(frozen=True, slots=True)
class Web:
    """A running web process."""

    address: str
    log: Path

    def visitor(self) -> httpx.Client:
        """Somebody with a cookie jar, who follows nothing by themselves."""
        return httpx.Client(base_url=self.address)

    @contextmanager
    def signed_in(self) -> Iterator[httpx.Client]:
        """Somebody who signed in by the token."""
        with self.visitor() as client:
            assert post_token(client, TOKEN).status_code == 302
            yield client


def form_of(text: str) -> str:
    """The form token of a page."""
    return text.partition('name="form" value="')[2].partition('"')[0]


def post_token(client: httpx.Client, token: str, **headers: str) -> httpx.Response:
    """Fills in the form of the door and sends it."""
    form = form_of(client.get("/login").text)
    return client.post("/login", data={"form": form, "token": token}, headers=headers)


@contextmanager
def web(folder: Path, redis_url: str, more: str, *, forge: str = "", public: str = "", **environ: str) -> Iterator[Web]:
    """Web under its real server; `more` is added to app.yaml, `public` is the address that people use.

    The repositories lie on the forge that `forge` names.
    """
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    where, where_else = (f"forge: {forge}, project: acme/{name}, " if forge else "" for name in ("shop", "other"))
    text = APP.format(address=public or address, where=where, where_else=where_else)
    (folder / "app.yaml").write_text(text + more)
    given = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PORT": str(port),
        "PLUMBLINE_CONFIG": str(folder / "app.yaml"),
        "PLUMBLINE_REDIS_URL": redis_url,
        "SIGNING": "k" * 32,
        "HOOK": "h" * 32,
        "PAGES": TOKEN,
        **environ,
    }
    log = folder / "web.log"
    server = Server(
        "web",
        ["/bin/sh", "-c", f"exec {procfile()['web']}"],
        log,
        environ=given,
        directory=ROOT,
        begin=LocalSystem.begin,
    )
    try:

        def answers() -> bool:
            server.require_running()
            try:
                return httpx.get(f"{address}/readyz").status_code == 200
            except httpx.TransportError:
                return False

        wait_until(answers, 30, "web answers")
        yield Web(address, log)
    finally:
        stop_all([server])


def fact(
    step: Step,
    text: str,
    *,
    environment: str = "production",
    repository: str = "shop",
    branch: str = "main",
    revision: str = "3f9c2ab" + "0" * 33,
    after: float = 0.0,
    at: float | None = None,
    proof: dict[str, object] | None = None,
) -> ConvergenceReport:
    """A fact that came `after` seconds after its commit arrived."""
    arrived = time.time() - 3600 if at is None else at
    return ConvergenceReport(
        repository, environment, branch, revision, step, text, arrived, after, int((arrived + after) * 1000), proof
    )


def proof(arrived: float, **more: object) -> dict[str, object]:
    """What a worker says of a revision that it has verified."""
    return {
        "digest": "9f2b" * 16,
        "objects": 12,
        "health": {"healthy": 11, "suspended": 1},
        "verdict": "as predicted",
        "settle": 30,
        "times": {"arrived": arrived, "applied": arrived + 0.4, "verified": arrived + 4.1, "converged": arrived + 34.2},
        **more,
    }


def converged(board: Board, environment: str, revision: str, at: float, **more: str) -> None:
    """An environment goes from a commit's arrival to converged."""
    for step, text, after in (
        (Step.CONVERGING, f"{environment} to {revision[:7]}", 0.1),
        (Step.APPLIED, "3 of 3", 0.4),
        (Step.HEALTHY, "Deployment shop/cart 3/3", 3.2),
        (Step.VERIFIED, f"{environment} is at {revision[:7]}, as predicted", 4.1),
        (Step.CONVERGED, f"{environment} stayed so for 30 s", 34.2),
    ):
        own = proof(at) if step in (Step.VERIFIED, Step.CONVERGED) else None
        board.record(
            fact(step, text, environment=environment, revision=revision, at=at, after=after, proof=own, **more)
        )


LAST_WROTE = datetime.fromtimestamp(time.time() - 900, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
KEY = ResourceKey("apps", "Deployment", "shop", "cart")
CHANGES = (
    Change(
        KEY,
        "v1",
        Action.CONFIGURE,
        fields=(
            FieldChange(
                "spec.template.spec.containers[name=cart].image", "ghcr.io/acme/cart:1.4.1", "ghcr.io/acme/cart:1.5.0"
            ),
            FieldChange("spec.template.spec.containers[name=cart].resources.limits.memory", "256Mi", "512Mi"),
        ),
    ),
    Change(
        ResourceKey("", "ConfigMap", "shop", "cart-flags"),
        "v1",
        Action.CONFIGURE,
        fields=(FieldChange("data.flags", "checkout: old\nsearch: on\n", "checkout: new\nsearch: on\nwishlist: on\n"),),
    ),
    Change(
        ResourceKey("", "Secret", "shop", "cart-db"),
        "v1",
        Action.CONFIGURE,
        fields=(
            FieldChange("data.password", SecretValue(b"hunter2-the-first"), SecretValue(b"hunter2-the-second")),
            FieldChange("data.user", ABSENT, SecretValue(b"cart-owner-name")),
        ),
    ),
    Change(
        ResourceKey("", "PersistentVolumeClaim", "shop", "cart-data"),
        "v1",
        Action.PRUNE,
        "removed from clusters/production/cart.yaml",
    ),
    Change(ResourceKey("", "Service", "shop", "cart"), "v1", Action.UNCHANGED),
)
DRIFT = Drift(
    ResourceKey("apps", "Deployment", "shop", "checkout"),
    FieldChange("spec.replicas", 3, 5),
    "kubectl-edit",
    LAST_WROTE,
    "Update",
)


CHECKOUT = ResourceKey("apps", "Deployment", "shop", "checkout")
FOUND = (
    DRIFT,
    Drift(
        CHECKOUT,
        FieldChange("spec.template.spec.containers[name=checkout].env", [{"name": "FAST", "value": "on"}], ABSENT),
    ),
    Drift(
        ResourceKey("", "ConfigMap", "shop", "cart-flags"),
        FieldChange(
            "data.flags", "checkout: new\nsearch: on\nwishlist: on\n", "checkout: old\nsearch: on\nwishlist: on\n"
        ),
        "rancher",
        LAST_WROTE,
        "Update",
    ),
    Drift(
        ResourceKey("", "Secret", "shop", "cart-db"),
        FieldChange("data.password", SecretValue(b"hunter2-git"), SecretValue(b"hunter2-live")),
        "kubectl-edit",
        LAST_WROTE,
        "Update",
    ),
    Drift(ResourceKey("", "Service", "shop", "cart"), FieldChange("metadata.name", "cart", ABSENT)),
)


def episode(event: Event, at: float, **more: object) -> EpisodeReport:
    """One event of one episode, which was seen first 40 s before it; `mode` and `next_at` are the report's own."""
    report = {
        name: more.pop(name, default)
        for name, default in {
            "repository": "shop", "environment": "production", "branch": "main", "revision": "3f9c2ab" + "1" * 33,
            "mode": Mode.ALERT, "next_at": at + 3600, "proof": None,
        }.items()
    }  # fmt: skip
    stage = {Event.NOTICED: Stage.NOTICED, Event.GONE: Stage.NOTICED}
    stage |= {Event.CLOSING: Stage.CLOSING, Event.CONVERGED: Stage.CLOSING}
    facts: dict[str, object] = {
        "id": "e1", "revision": report["revision"], "cause": Cause.DRIFT, "stage": stage.get(event, Stage.OPEN),
        "since": at - 40, "drift": FOUND, "by": "kubectl-edit, rancher", "alerted": at,
    }  # fmt: skip
    news = News(event, Episode(**{**facts, **more}), at, report.pop("proof"))  # type: ignore[arg-type]
    return EpisodeReport(**report, news=news)  # type: ignore[arg-type]


def proposal(number: int = 7, at: float | None = None, **more: object) -> ProposalReport:
    """A prediction with everything in it."""
    plan = Plan(
        "production", "8d21f0c" + "0" * 33, CHANGES, ("ConfigMap shop/x: the field is deprecated",), "7k2m91fd" * 4
    )
    environments = (
        EnvironmentProposal(
            "production", "sandbox", Outcome.PLANNED, True, CHANGES[:3], (DRIFT,), plan,
            ("Deletes data: PersistentVolumeClaim shop/cart-data would be pruned",), objects=12,
        ),
        EnvironmentProposal("load-test", "sandbox", Outcome.PLANNED, touched=False),
        EnvironmentProposal(
            "staging", "sandbox", Outcome.INVALID,
            problems=(Problem("expected a string, found a list", "staging/cart.yaml", 14, "spec.image", "write one image"),),
        ),
    )  # fmt: skip
    given: dict[str, object] = {
        "repository": "shop",
        "number": number,
        "head": "8d21f0c" + "0" * 33,
        "base": "main",
        "base_revision": "a41b7e9" + "0" * 33,
        "merged": "e" * 40,
        "environments": environments,
        "at": time.time() if at is None else at,
        "seconds": 0.9,
    }
    return ProposalReport(**{**given, **more})  # type: ignore[arg-type]


def preview(ticket: str = TICKET, repository: str = "shop", revision: str = "8d21f0c" + "0" * 33) -> PreviewReport:
    """The prediction of a push."""
    plan = Plan("production", revision, CHANGES, (), "7k2m91fd" * 4)
    return PreviewReport(ticket, repository, (EnvironmentPreview("production", Outcome.PLANNED, plan),), seconds=0.4)


def diverged(board: Board, now: float) -> None:
    """Production was healed once last night, and has an open episode now; load-test does not work."""
    night, ours = now - 4 * 3600, {"mode": Mode.HEAL, "by": "kubectl-edit", "drift": FOUND[:1]}
    board.note_episode(episode(Event.OPENED, night, id="e0", **ours))
    board.note_episode(episode(Event.HEALED, night + 1, id="e0", heals=1, since=night - 40, **ours))
    over = {**ours, "drift": (), "since": night - 40, "heals": 1, "clear": night + 2}
    board.note_episode(episode(Event.CLOSING, night + 2, id="e0", **over))
    board.note_episode(episode(Event.CONVERGED, night + 32, id="e0", next_at=0.0, proof=proof(night), **over))
    since = now - 14 * 60
    board.note_episode(episode(Event.NOTICED, since, since=since, drift=FOUND[:1], by="kubectl-edit"))
    board.note_episode(episode(Event.OPENED, since + 30, since=since, drift=FOUND[:1], by="kubectl-edit"))
    board.note_episode(episode(Event.CHANGED, since + 200, since=since, next_at=now + 46 * 60))
    trouble = Trouble(
        ResourceKey("apps", "Deployment", "shop", "load"),
        "degraded",
        "CrashLoopBackOff in the container load: exit 137",
    )
    board.note_episode(
        episode(
            Event.OPENED, now - 700, id="e2", environment="load-test", cause=Cause.FAILURE, drift=(), by="",
            troubles=(trouble,), next_at=now + 2900,
        )
    )  # fmt: skip


def fill(board: Board) -> None:
    """A board as a working team has one: one of each state."""
    now = time.time()
    head, older, image = "3f9c2ab" + "1" * 33, "a41b7e9" + "2" * 33, "5b1e0aa" + "3" * 33
    converged(board, "production", older, now - 86400 * 2)
    converged(board, "production", head, now - 5 * 3600)
    converged(board, "tools", older, now - 86400 * 9)
    converged(board, "load-test", head, now - 7 * 3600)
    converged(board, "staging", head, now - 4 * 3600)
    diverged(board, now)
    for step, text, after in (
        (Step.CONVERGING, "staging to 5b1e0aa", 0.1),
        (Step.APPLIED, "2 of 12", 0.5),
        (Step.WAITING, "Deployment shop/cart: 2 of 3 ready", 1.4),
    ):
        board.record(fact(step, text, environment="staging", revision=image, at=now - 20, after=after))
    failed = "Deployment shop/search: ImagePullBackOff for 60 s (ghcr.io/acme/search:9.9); still serving 1.4.1"
    own = {"state": "failed", "reason": failed, "verdict": ""}
    for step, text, after, said in (
        (Step.CONVERGING, "preview to 5b1e0aa", 0.1, None),
        (Step.APPLIED, "1 of 9", 0.5, None),
        (Step.DEGRADED, failed, 3.0, None),
        (Step.FAILED, failed, 61.0, own),
    ):
        board.record(
            fact(step, text, environment="preview", revision=image, at=now - 900, after=after, proof=said)  # type: ignore[arg-type]
        )
    board.describe("shop", head, Commit("Let the cart keep 512 MiB", "Ada Lovelace"))
    board.describe("shop", older, Commit("Retire the old flags", "Grace Hopper"))
    board.describe("shop", image, Commit("Search 9.9, and the wish list for everybody", "Barbara Liskov"))
    board.propose(proposal(7, now - 240), Request("Cart 1.5.0", "ada", "https://git.example.org/acme/shop/pulls/7"))
    board.propose(
        proposal(5, now - 86400, environments=()), Request("Words in the README", "grace", "https://git.example.org/5")
    )
    board.answer(preview(revision=head))
