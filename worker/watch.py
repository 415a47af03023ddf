"""`python -m worker.watch`: the level-triggered net. Looks at branches and at open operations, and asks for jobs.

It holds no state of its own: a second one may run, and one that was restarted finds everything again in Git and in the
clusters. Jobs are asked for by ids that exist once, so nothing doubles.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

import redis

from worker.adapters.inventory import OPEN_LABEL, RECORD_LABEL, Recorded
from worker.domain.convergence import EnvironmentState, Operation, Phase, released
from worker.domain.environment import Environment, Policy
from worker.domain.errors import DesiredStateError, PlumblineError, Unavailable
from worker.domain.hold_reminder import HoldReport, times_due
from worker.domain.holdings import held
from worker.domain.installation import Repository
from worker.domain.messages import CHECK, CheckRequest, ConvergeRequest, applies_queue
from worker.log_lines import log_to_stderr
from worker.looks import ask_for_convergence, ask_for_look, named
from worker.operations.advancing import ending_of
from worker.settings import Settings
from worker.signed_queue import SignedQueue, redis_answering
from worker.speaking import Speaker, tell
from worker.staleness import STALE_SECONDS, Staleness
from worker.watching import RECORDS_SECONDS, IsLeft, Watcher, is_of_others
from worker.workbench import Workbench

LOOK_SECONDS: Final = 0.4
"""Between two looks at an open operation: a rollout that takes a second is said to be healthy within 1.4 s."""

SETTLING_SECONDS: Final = 2.0
LONGEST_SECONDS: Final = 60.0
"""Between two readings of a record of which nothing is due for long: clocks are set."""

EPISODE_SECONDS: Final = 1.0
"""Between two looks that are due of an episode and came to nothing."""

INTERNAL_ERROR_SECONDS: Final = 5.0
AWAY_SECONDS: Final = 0.5
"""Between two tries while Redis is away."""

STUCK_SECONDS: Final = 30.0
"""An operation that is planning or applying this long without a new record has lost its job (the queue was emptied)."""

log = logging.getLogger("plumbline.watch")


def main() -> int:
    """Runs until SIGTERM; 1 where the settings cannot be used."""
    log_to_stderr()
    try:
        settings = Settings.load(os.environ)
        bench = Workbench.of(settings)
        try:
            bench.queue.require_lasting()
            log.info("ready: %s; Redis at %s", _serves(bench), bench.queue.address)
        except Unavailable as error:
            log.warning("%s", bench.queue.outage.away(error))
    except PlumblineError as error:
        print(f"plumbline watch: {error}", file=sys.stderr)  # noqa: T201
        return 1
    stop = threading.Event()
    told, tells = os.pipe()
    os.set_blocking(tells, False)
    # Python runs a handler of its own only between two steps of the main thread: a signal that comes just before the read
    # below would be handled after it. What is written to this pipe is written while the signal is delivered.
    signal.set_wakeup_fd(tells, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    poller = Poller(bench)
    clusters = settings.installation.clusters
    watchers = [Watcher(bench, cluster.name, poller.policies, poller.is_left) for cluster in clusters]
    tasks = (
        (poller.poll, settings.installation.poll_seconds),
        (Looker(bench, poller.is_left).look, LOOK_SECONDS),
        (Staleness(bench).look, STALE_SECONDS),
        *((each.look, RECORDS_SECONDS) for each in watchers),
        *((each.flush, 0.0) for each in watchers),
    )
    for task, seconds in tasks:
        threading.Thread(target=_repeat, args=(stop, bench.queue, task, seconds), daemon=True).start()
    os.read(told, 1)
    stop.set()
    return 0  # the watches are read by daemon threads, which end with the process and not before a read of theirs does


def _serves(bench: Workbench) -> str:
    clusters = ", ".join(cluster.name for cluster in bench.installation.clusters)
    repositories = ", ".join(repository.name for repository in bench.installation.repositories)
    return f"clusters {clusters}; repositories {repositories}, looked at every {bench.installation.poll_seconds:g} s"


def _repeat(stop: threading.Event, queue: SignedQueue, task: Callable[[], None], seconds: float) -> None:
    while not stop.is_set():
        try:
            if not (queue.outage.lasts and _is_away(queue)):
                task()
        except (PlumblineError, redis.RedisError) as error:
            if not _is_away(queue):
                log.warning("looked in vain, trying again: %s", error)
        except Exception:
            log.exception("internal error while looking; the next look is tried all the same")
            stop.wait(INTERNAL_ERROR_SECONDS)
        stop.wait(max(seconds, AWAY_SECONDS) if queue.outage.lasts else seconds)


def _is_away(queue: SignedQueue) -> bool:
    """Whether Redis does not answer now; that it went and came is logged by whichever thread meets it first."""
    try:
        with redis_answering():
            queue.connection.ping()
    except Unavailable as error:
        if said := queue.outage.away(error):
            log.warning("%s", said)
        return True
    if back := queue.outage.back():
        log.info("%s", back)
    return False


class Poller:
    """Finds the commits whose alert was lost: tips that were there at the last look too and are not recorded."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._seen: dict[tuple[str, str], str] = {}
        self.policies: dict[str, Policy] = {}
        self._declared: dict[str, tuple[float, frozenset[tuple[str, str]]]] = {}
        self._untold: dict[str, str] = {}
        self._untold_news: dict[str, list[str]] = {}
        self._reminded: dict[str, set[tuple[str, int]]] = {}

    def poll(self) -> None:
        """One round over all repositories."""
        for repository in self._bench.installation.repositories:
            try:
                self._poll(repository)
            except PlumblineError as error:
                log.warning("repository %s: %s", repository.name, error)

    def is_left(self, slug: str, cluster: str, begun: float) -> bool:
        """Whether no branch declares an environment of a cluster any more, as far as is known: then nobody looks after it.

        `begun` is when its last operation began (Unix time): what was read of the branches before that does not know it yet.
        """
        repository, environment = named(slug)
        read_at, declared = self._declared.get(repository, (0.0, frozenset()))
        return begun < read_at and (environment, cluster) not in declared

    def _poll(self, repository: Repository) -> None:
        began = self._bench.queue.now()
        checkout = self._bench.checkout(repository)
        declared: set[tuple[str, str]] = set()
        tips = checkout.tips()
        gone = [seen for seen in self._seen if seen[0] == repository.name and seen[1] not in tips]
        for seen in gone:
            del self._seen[seen]
        is_whole = not gone
        for branch, tip in tips.items():
            if not repository.follows(branch):
                continue
            before = self._seen.get((repository.name, branch))
            self._seen[repository.name, branch] = tip
            if before != tip:
                is_whole = False
                continue
            checkout.fetch(tip, branch)
            try:
                declaration = self._bench.declaration(checkout, repository, tip, branch)
            except DesiredStateError as error:
                log.warning("repository %s, branch %s at %s: %s", repository.name, branch, tip[:7], error)
                is_whole = False
                continue
            declared |= set(declaration.targets())
            for broken in declaration.broken:
                log.warning("repository %s, %s: %s", repository.name, broken.name, DesiredStateError(broken.problems))
            for environment in declaration.environments:
                self.policies[environment.slug] = environment.policy
                self._try(repository, environment, branch, tip)
        if is_whole:
            self._declared[repository.name] = (began, frozenset(declared))

    def _try(self, repository: Repository, environment: Environment, branch: str, tip: str) -> None:
        """Asks for one environment; what is wrong with it is no other one's business."""
        try:
            self._ask(repository, environment, branch, tip)
        except PlumblineError as error:
            log.warning("repository %s, %s: %s", repository.name, environment.name, error)

    def _ask(self, repository: Repository, environment: Environment, branch: str, tip: str) -> None:
        recorded = self._bench.bench(environment.cluster).states.read(environment)
        operation = recorded.state.operation
        self._tell_news_again(environment, recorded)
        self._remind(environment, recorded, branch, tip)
        self._bench.store.show(repository.name, recorded.state, environment.name, self._bench.queue.now())
        is_free = released(recorded.state, self._bench.queue.now()) or _is_left(recorded.state)
        if operation is not None and operation.revision == tip and not is_free and not self._is_stuck(operation):
            self._tell_again(repository, environment, recorded)
            return
        request = ConvergeRequest(
            repository.name, environment.name, branch, tip, environment.cluster, self._bench.queue.now()
        )
        if ask_for_convergence(self._bench, request):
            log.info("asks for %s of %s/%s, which nothing is recorded of", tip[:7], repository.name, environment.name)

    def _is_stuck(self, operation: Operation) -> bool:
        begun = operation.phase in (Phase.PLANNING, Phase.APPLYING, Phase.QUEUED)
        return begun and self._bench.queue.now() - operation.started > STUCK_SECONDS

    def _tell_again(self, repository: Repository, environment: Environment, recorded: Recorded) -> None:
        """Reports how an operation ended, where the bot has not noted that it wrote it back, now and a round ago.

        A worker may have died between recording and saying it, and Redis may have lost the note or the report.
        """
        operation, ending = recorded.state.operation, ending_of(recorded.state)
        if operation is None or ending is None or not recorded.trusted:
            return
        name = f"{operation.revision} {ending.step}"
        told = self._bench.store.told(repository.name, environment.name) == name
        before = self._untold.pop(environment.slug, "")
        if told:
            return
        if before != name:
            self._untold[environment.slug] = name
            return
        self._bench.store.telling(repository.name, environment.name, name)
        speaker = Speaker(self._bench, repository.name, environment.name, operation.branch, operation.arrived)
        speaker.say(operation, ending)
        log.info("told again: %s of %s/%s", name, repository.name, environment.name)

    def _tell_news_again(self, environment: Environment, recorded: Recorded) -> None:
        """Reports the news of episodes that came after what the bot last noted, where that is so now and was a round ago."""
        state = recorded.state
        if not state.news or state.applied is None or state.operation is None or not recorded.trusted:
            return
        names = [news.name for news in state.news]
        told = self._bench.store.told_news(environment.repository, environment.name)
        untold = names[names.index(told) + 1 :] if told in names else names
        before = self._untold_news.pop(environment.slug, [])
        if before != untold:
            self._untold_news[environment.slug] = untold
            return
        for news in state.news[len(names) - len(untold) :]:
            tell(self._bench, environment, state.operation.branch, state.applied.revision, news)
            log.info("told again: %s of %s", news.name, environment.slug)

    def _remind(self, environment: Environment, recorded: Recorded, branch: str, tip: str) -> None:
        """Tells once a period what people hold. Only this process remembers it: said twice, it is the same, and told once."""
        if not recorded.trusted:
            return
        now, period = self._bench.queue.now(), environment.policy.remind
        before, told = self._reminded.get(environment.slug, set()), set()
        for each in held(recorded.state, environment.name, now):
            times = times_due(each.since, period, now)
            report = HoldReport(environment.repository, environment.name, branch, tip, each, times, period)
            told.add((report.subject, times))
            if times and (report.subject, times) not in before:
                self._bench.outbox.report(report)
        self._reminded[environment.slug] = told


def _is_left(state: EnvironmentState) -> bool:
    """Whether an environment that a branch declares is recorded as left: it is declared again."""
    return state.operation is not None and state.operation.phase is Phase.LEFT


class Looker:
    """Asks for a look at every open operation, soon while it waits for health, seldom while it settles; and at every open
    episode when something is due of it."""

    def __init__(self, bench: Workbench, is_left: IsLeft) -> None:
        self._bench = bench
        self._is_left = is_left
        self._next: dict[tuple[str, str], tuple[str, float]] = {}

    def look(self) -> None:
        """One round over all clusters; a record that was not written since is read again only when something is due of it."""
        for cluster in self._bench.installation.clusters:
            states = self._bench.bench(cluster.name).states
            versions = states.records.versions("ConfigMap", f"{RECORD_LABEL}=state,{OPEN_LABEL}=open")
            for name, version in versions.items():
                seen, due = self._next.get((cluster.name, name), ("", 0.0))
                if seen == version and time.monotonic() < due:
                    continue
                record = states.records.read("ConfigMap", name)
                if record is not None:
                    wait = self._look(states.opened(record), cluster.name)
                    self._next[cluster.name, name] = (version, time.monotonic() + wait)

    def _look(self, recorded: Recorded, cluster: str) -> float:
        """Asks for the look that is due of a record; the seconds until the next may be."""
        slug = recorded.state.environment
        operation, episode = recorded.state.operation, recorded.state.episode
        if not recorded.trusted:
            return LOOK_SECONDS
        if is_of_others(self._bench.installation, slug):
            return LONGEST_SECONDS
        if operation is not None and operation.phase.is_open and operation.branch:
            return self._look_at(operation, slug, cluster)
        if episode is None or self._is_left(slug, cluster, operation.started if operation is not None else 0.0):
            return SETTLING_SECONDS
        due = recorded.state.next_at - self._bench.queue.now()
        if due <= 0:
            ask_for_look(self._bench, slug, cluster)
            return EPISODE_SECONDS
        return min(due, LONGEST_SECONDS)

    def _look_at(self, operation: Operation, slug: str, cluster: str) -> float:
        """Asks for a look at an open operation; the seconds until the next."""
        repository, environment = named(slug)
        request = CheckRequest(repository, environment, cluster)
        self._bench.queue.enqueue(applies_queue(cluster), CHECK, request.to_json(), job_id=request.job_id, timeout=60)
        if operation.phase is Phase.SETTLING:
            return max(0.0, min(SETTLING_SECONDS, operation.settles - self._bench.queue.now()))
        return LOOK_SECONDS


if __name__ == "__main__":
    sys.exit(main())
