"""How the web server's worker ends."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.workers.gthread import PollableMethodQueue

from bot.server import Worker


def test_f14_ctrl_c_amid_the_hand_over_of_a_request_does_not_wait_for_itself() -> None:
    worker: Any = Worker.__new__(Worker)
    worker.cfg, worker.alive = Config(), True  # type: ignore[no-untyped-call]
    worker.tpool, worker.method_queue = ThreadPoolExecutor(1), PollableMethodQueue()  # type: ignore[no-untyped-call]
    worker.method_queue.init()
    handled = threading.Event()

    def hands_over() -> None:
        with worker.tpool._shutdown_lock:  # `submit` holds it
            worker.handle_quit(signal.SIGINT, None)
        handled.set()

    threading.Thread(target=hands_over, daemon=True).start()
    assert handled.wait(5), "the handler waits for the lock of what it interrupted"
    with pytest.raises(SystemExit):
        worker.method_queue.run_callbacks(None)
    assert not worker.alive
    worker.method_queue.close()
