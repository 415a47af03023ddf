"""The web server: gunicorn with threads, whose clients may be as slow as they like at nobody else's cost.

A connection takes a thread only once it has sent something, and has `READ_SECONDS` for the whole of a request after that, so
that idle, dripping and endless clients hold neither threads nor memory for long.
"""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import time
from concurrent.futures import Executor
from functools import partial
from types import FrameType
from typing import Any, Final

from gunicorn.http.errors import NoMoreData
from gunicorn.workers.gthread import TConn, ThreadWorker

READ_SECONDS: Final = 8.0
"""For a whole request, head and body; forges give up after 10 s."""

SEND_SECONDS: Final = 10.0


class TimedSocket:
    """What a request is read from: one end of time for all of its reads."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._until = time.monotonic() + READ_SECONDS

    def recv(self, size: int) -> bytes:
        """The next bytes. Raises NoMoreData once the time is over."""
        left = self._until - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            return self._socket.recv(size)
        except TimeoutError:
            raise NoMoreData from None
        finally:
            self._socket.settimeout(SEND_SECONDS)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


class TimedConnection(TConn):
    """A connection whose every request is read against the clock, and whose end keeps nobody waiting."""

    pool: Executor

    def init(self) -> None:
        """Called before each request of the connection."""
        super().init()  # type: ignore[no-untyped-call]
        parser: Any = self.parser
        parser.unreader.sock = TimedSocket(self.sock)

    def close(self, graceful: bool = False) -> None:  # noqa: FBT001, FBT002 (gunicorn's own signature)
        """A graceful end waits up to 2 s for the client to go: not in the loop that all others wait for."""
        if graceful:
            with contextlib.suppress(RuntimeError):  # the server stops
                self.pool.submit(super().close, graceful)
                return
        super().close()  # type: ignore[no-untyped-call]


class Worker(ThreadWorker):
    """gunicorn's threaded worker, which leaves new connections to the poller until they say something."""

    def accept(self, listener: socket.socket) -> None:
        """Takes a connection; one that says nothing in time is closed."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                return
            raise
        self.nr_conns += 1
        connection = TimedConnection(self.cfg, client, address, listener.getsockname())  # type: ignore[no-untyped-call]
        pool: Any = self.tpool
        poller: Any = self.poller
        connection.pool, connection.timeout = pool, time.monotonic() + READ_SECONDS
        self.pending_conns.append(connection)
        poller.register(client, selectors.EVENT_READ, partial(self.on_pending_socket_readable, connection))

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """Ends at once, but in the loop: gunicorn's own takes a lock of the pool, which what it interrupts may hold."""
        self.method_queue.defer(super().handle_quit, sig, frame)  # type: ignore[no-untyped-call]
