"""The bot in this process beside a double of a forge, on a real Redis: a test speaks for the worker."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bot import intake, polling, reports, results
from bot.desk import Desk
from bot.queue import WriteRequest
from bot.settings import Settings
from plumbline.local_system import ROOT
from tests.bot.situations import STAGING, UNTOUCHED
from tests.bot.web import proof
from tests.doubles import gitlab
from tests.doubles.github import Fault
from tests.doubles.github_rig import GithubRig
from tests.doubles.gitlab_rig import GitLabRig
from worker.domain.messages import LookRequest, PollRequest
from worker.domain.proposals import ProposalReport
from worker.domain.reports import ConvergenceReport, Step

APP = """\
redis: {{env: PLUMBLINE_REDIS_URL}}
signing-key: {{env: SIGNING}}
{more}
clusters: [{{name: blue}}]
forges:
  - {{name: {name}, address: "{address}", {credentials}, webhook-secret: {{env: HOOK}}}}
repositories:
  - {{name: shop, url: /srv/shop.git, forge: {name}, project: {project}, ceiling: {{namespaces: [shop]}}}}
"""

DECLARATION = "environments:\n  - {name: staging, path: app, namespace: shop}\n"


def environ_of(rig: GithubRig | GitLabRig, folder: Path, redis_url: str, more: str = "") -> dict[str, str]:
    """The environment of a bot whose only repository is the rig's; app.yaml is written."""
    declared = rig.declared
    if declared.app_key is not None:
        credentials = f"app: {{id: {declared.app}, key: {{file: {declared.app_key.file}}}}}"
    else:
        assert declared.token is not None
        credentials = f"token: {{file: {declared.token.file}}}"
    folder.mkdir(exist_ok=True)
    (folder / "app.yaml").write_text(
        APP.format(
            more=more, name=declared.name, address=declared.address, credentials=credentials,
            project=rig.repository.project,
        )
    )  # fmt: skip
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PLUMBLINE_CONFIG": str(folder / "app.yaml"),
        "PLUMBLINE_REDIS_URL": redis_url,
        "SIGNING": "k" * 32,
        "HOOK": "h" * 32,
    }


class BesideADouble:
    """The bot's jobs at a double of a forge; the test speaks for the worker."""

    def __init__(self, rig: GithubRig | GitLabRig, folder: Path, redis_url: str, more: str = "") -> None:
        self.rig = rig
        self.desk = Desk.of(Settings.load(environ_of(rig, folder, redis_url, more), with_credentials=True))
        self.redis = self.desk.requests.queue.connection
        rig.push("main", {"plumbline.yaml": DECLARATION, "app/a.yaml": "a: 1\n"}, message="Begin here\n\nAnd more.")
        rig.push("feature", {"app/a.yaml": "a: 2\n"})
        self.number = rig.open("feature")
        self.head, self.base = rig.tip("feature"), rig.tip("main")

    def look(self) -> None:
        """What the poller finds is looked at."""
        polling.poll(self.desk, PollRequest("shop").to_json())
        for request in (
            LookRequest("shop", self.now, branch="main"),
            LookRequest("shop", self.now, number=self.number),
        ):
            intake.look(self.desk, request.to_json())

    @property
    def now(self) -> float:
        return self.desk.requests.queue.now()

    def write(self) -> None:
        self.desk.outbox.succeeded("shop")  # the test does not wait as long as the forge asked for
        results.write(self.desk, WriteRequest("shop").to_json())

    def predicts(self) -> None:
        """The worker's answer."""
        report = ProposalReport(
            "shop", self.number, self.head, "main", self.base, "e" * 40, environments=(STAGING, UNTOUCHED), at=self.now
        )
        reports.deliver(self.desk, report.to_json())

    def converged(self, revision: str, at: float) -> ConvergenceReport:
        report = ConvergenceReport(
            "shop", "staging", "main", revision, Step.CONVERGED, "staging stayed so", at - 40, 40.0, int(at * 1000),
            proof(at - 40),
        )  # fmt: skip
        reports.deliver(self.desk, report.to_json())
        return report


def goes_away(rig: GithubRig | GitLabRig) -> None:
    rig.double.fault = lambda _method, _path: Fault(503)


def fails(rig: GithubRig | GitLabRig, is_it: Callable[[str, str], bool], *, is_done: bool) -> None:
    """Requests (method, path) that are such are answered by 503 from now on, or (`is_done`) are done and not answered."""
    code = 0 if is_done else 503
    if isinstance(rig, GithubRig):
        rig.double.fault = lambda method, path: Fault(code, after=is_done) if is_it(method, path) else None
    else:
        rig.double.fault = lambda method, path: gitlab.Fault(code, is_taken=is_done) if is_it(method, path) else None


def comes_back(rig: GithubRig | GitLabRig) -> None:
    rig.double.fault = lambda _method, _path: None


@contextmanager
def beside_a(forge: str, folder: Path, redis_url: str, more: str = "") -> Iterator[BesideADouble]:
    """The bot beside the double of `github` or `gitlab`, for the block; `more` is added to app.yaml."""
    rig = (GithubRig if forge == "github" else GitLabRig)(folder / "forge")
    try:
        yield BesideADouble(rig, folder / "bot", redis_url, more)
    finally:
        rig.close()
