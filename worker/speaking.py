"""How jobs and `watch` say what they found: one report for each fact of an operation and each event of an episode."""

from __future__ import annotations

from worker.domain.convergence import Operation
from worker.domain.divergence import EpisodeReport
from worker.domain.environment import Environment
from worker.domain.episodes import Event, News
from worker.domain.reports import ConvergenceReport
from worker.operations.advancing import Fact
from worker.workbench import Workbench


def episode_report(environment: Environment, branch: str, revision: str, news: News) -> EpisodeReport:
    """What is said to the bot of one event of an episode; `revision` is what is applied, from `branch`."""
    policy = environment.policy
    due = 0.0 if news.event is Event.CONVERGED else news.episode.due(policy)
    return EpisodeReport(environment.repository, environment.name, branch, revision, policy.mode, news, due)


def tell(bench: Workbench, environment: Environment, branch: str, revision: str, news: News) -> None:
    """Reports one event of one episode."""
    bench.outbox.report(episode_report(environment, branch, revision, news))


class Speaker:
    """Sends the facts of one environment's operation to the bot."""

    def __init__(self, bench: Workbench, repository: str, environment: str, branch: str, arrived: float) -> None:
        self._bench = bench
        self._repository = repository
        self._environment = environment
        self._branch = branch
        self._arrived = arrived

    def say(self, operation: Operation, fact: Fact) -> None:
        """Reports one fact; durations are never negative, whatever the clocks say."""
        now = fact.at or self._bench.queue.now()
        self._bench.outbox.report(
            ConvergenceReport(
                self._repository,
                self._environment,
                operation.branch or self._branch,
                operation.revision,
                fact.step,
                fact.text,
                operation.arrived or self._arrived,
                max(0.0, now - (operation.arrived or self._arrived)),
                int(now * 1000),
                fact.proof,
            )
        )
