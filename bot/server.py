"""The web server: gunicorn with threads, whose clients may be as slow as they like at nobody else's cost.

A connection takes a thread only once it has sent something, and has `READ_SECONDS` for the whole of a request after that, so
that idle, dripping and endless clients hold neither threads nor memory for long.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from functools import partial
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


class TimedConnection(TConn):  # type: ignore[misc]  # gunicorn has no types
    """A connection whose every request is read against the clock."""

    def init(self) -> None:
        """Called before each request of the connection."""
        super().init()
        self.parser.unreader.sock = TimedSocket(self.sock)


class Worker(ThreadWorker):  # type: ignore[misc]
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
        connection = TimedConnection(self.cfg, client, address, listener.getsockname())
        connection.timeout = time.monotonic() + READ_SECONDS
        self.pending_conns.append(connection)
        self.poller.register(client, selectors.EVENT_READ, partial(self.on_pending_socket_readable, connection))
