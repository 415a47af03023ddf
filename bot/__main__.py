"""`python -m bot`: works on the alerts that come in and the reports that go out."""

from __future__ import annotations

import os
import signal
import sys
import threading
from functools import partial
from typing import Final

from bot import (
    adoptions,
    alerts,
    following,
    images,
    intake,
    polling,
    pushed,
    reports,
    results,
    reverts,
    rollbacks,
    ticketed,
    updates,
)
from bot.desk import Desk
from bot.permissions import Permissions
from bot.settings import Settings
from worker.domain.errors import PlumblineError
from worker.domain.messages import (
    COMMIT,
    COMMIT_ADOPTION,
    COMMIT_IMAGE,
    COMMIT_REVERT,
    COMMIT_UPDATE,
    COMMITS_QUEUE,
    COMMITTED,
    DELIVER,
    FOLLOW,
    INTAKE_QUEUE,
    LOOK,
    POLL,
    PUSHED,
    REGISTRIES_QUEUE,
    REPORTS_QUEUE,
    SEND,
    TICKET,
    WRITE,
    WRITES_QUEUE,
    alerts_queue,
)
from worker.log_lines import log_to_stderr
from worker.queue_worker import Stop, run_worker, work_beside

FINISH_SECONDS: Final = 6.0
"""What is being said to receivers has so long to end, once this process was told to."""


def main() -> int:
    """Runs until SIGTERM; 1 where the settings cannot be used."""
    log_to_stderr()
    try:
        desk = Desk.of(Settings.load(os.environ, with_credentials=True))
    except PlumblineError as error:
        print(f"plumbline bot: {error}", file=sys.stderr)  # noqa: T201
        return 1
    serves = "repositories " + ", ".join(each.name for each in desk.settings.installation.repositories)
    aside = desk.beside()
    table = {
        COMMITTED: partial(intake.committed, desk),
        LOOK: partial(intake.look, desk),
        PUSHED: partial(pushed.carry, desk),
        TICKET: partial(ticketed.carry, desk),
        POLL: partial(polling.poll, desk),
        DELIVER: partial(reports.deliver, desk),
        WRITE: partial(results.write, desk),
        SEND: partial(alerts.send, desk),
        COMMIT: partial(rollbacks.commit, aside),
        COMMIT_IMAGE: partial(images.commit, aside),
        COMMIT_ADOPTION: partial(adoptions.commit, aside),
        COMMIT_REVERT: partial(reverts.commit, aside),
        COMMIT_UPDATE: partial(updates.commit, aside),
        FOLLOW: partial(following.follow, desk.beside()),
    }
    stop, permissions = Stop(), Permissions(desk)
    try:
        permissions.require_narrow()
    except PlumblineError as error:
        print(f"plumbline bot: {error}", file=sys.stderr)  # noqa: T201
        return 1
    end = partial(os.kill, os.getpid(), signal.SIGTERM)
    threading.Thread(target=permissions.keep_asking, args=(stop.asked, end), name="permissions", daemon=True).start()
    threading.Thread(target=polling.keep_polling, args=(desk, stop.asked), name="schedule", daemon=True).start()
    threading.Thread(target=following.keep_following, args=(desk, stop.asked), name="registries", daemon=True).start()
    receivers = [each.name for each in desk.settings.installation.alerts.receivers]
    for name in receivers:
        work_beside(desk.requests.queue, [alerts_queue(name)], table, name=f"alerts-{name}", stop=stop)
    work_beside(desk.requests.queue, [COMMITS_QUEUE], table, name="commits", stop=stop)
    work_beside(desk.requests.queue, [REGISTRIES_QUEUE], table, name="follows", stop=stop)
    try:
        run_worker(
            desk.requests.queue,
            [INTAKE_QUEUE, REPORTS_QUEUE, WRITES_QUEUE],
            table,
            name="bot",
            serves=serves,
            stop=stop,
            beside=[COMMITS_QUEUE, REGISTRIES_QUEUE, *(alerts_queue(name) for name in receivers)],
        )
        stop.finish(FINISH_SECONDS)
    except PlumblineError as error:
        print(f"plumbline bot: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 1 if permissions.is_refused else 0


if __name__ == "__main__":
    sys.exit(main())
