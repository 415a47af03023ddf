"""What several faults are done to: a Redis of the test's own, and all of Plumbline behind the recording proxy."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from plumbline.local_system import LocalSystem
from sandbox.redis_server import RedisServer
from tests.api_proxy import ApiProxy
from tests.conftest import StartSystem


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own, to be mistreated."""
    server = RedisServer(tmp_path / "redis")
    yield server
    server.server.signal(signal.SIGCONT)
    server.stop()


@pytest.fixture
def proxied(proxy: ApiProxy, empty_redis: str, start_system: StartSystem) -> Iterator[LocalSystem]:
    """All of Plumbline with the recording proxy before the API server."""
    with start_system(proxy.kubeconfig, empty_redis) as running:
        yield running
