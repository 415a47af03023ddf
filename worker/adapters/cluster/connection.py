"""One API server: its credentials, one request at a time, and its failures in our words."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import orjson
import urllib3

from worker.adapters.cluster.kubeconfig import mistake
from worker.domain.errors import PlumblineError, Unavailable

READ_SECONDS: Final = 30.0
WRITE_SECONDS: Final = 6.0
"""Shorter than the 8 s lease, so that a write that hangs is over before another worker may write."""

POOL: Final = 16
TOO_MANY: Final = 429
BUSY: Final = frozenset({502, 503, 504})
PATIENCE_SECONDS: Final = 5.0
"""How long a read or a dry run waits for a busy server; a CRD that is being set up answers 429 for about a second."""

log = logging.getLogger("plumbline.cluster")


class ClusterSettingsError(PlumblineError):
    """The kubeconfig cannot be used; the text says which file or context and what to do."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: its status, its body as bytes, and when the server says that it answered (a Unix time)."""

    status: int
    body: bytes
    at: float = 0.0

    def json(self) -> Any:
        """The decoded body."""
        return orjson.loads(self.body)


class Connection:
    """Credentials and a pool of connections to one API server. Threads may share it."""

    def __init__(self, pool: urllib3.PoolManager, configuration: Any) -> None:
        self._pool = pool
        self._configuration = configuration
        self.address: str = configuration.host.rstrip("/")

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        seconds: float = READ_SECONDS,
    ) -> Answer:
        """Sends one request and returns the answer, whatever its status (below 500 and not 429).

        A server that is too busy (429) is asked again when it says so, if that is soon and nothing would be written: a
        write waits for nobody, because the lease that it was begun under runs out.
        Raises Unavailable when the server is not reached, is busy or says that it has failed in a passing way.
        """
        writes = method != "GET" and "dryRun" not in (query or ())
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer, wait = self._send(method, path, query, body, accept, content_type, seconds)
            if answer is not None:
                return answer
            if writes or wait is None or time.monotonic() + wait > until:
                raise Unavailable(f"the API server at {self.address} is busy (HTTP 429)", wait)
            time.sleep(wait)

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: bytes | None,
        accept: str,
        content_type: str,
        seconds: float,
    ) -> tuple[Answer | None, float | None]:
        """The answer, or None and the seconds after which a server that is too busy wants to be asked again."""
        try:
            response = self._pool.request(
                method,
                self._url(path, query),
                body=body,
                headers=self._headers(accept, content_type if body is not None else None),
                timeout=urllib3.Timeout(connect=5.0, read=seconds),
                retries=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"the API server at {self.address} does not answer ({_in_short(error)})") from None
        if response.status == TOO_MANY:
            return None, _seconds(response.headers.get("Retry-After"))
        if response.status in BUSY:
            raise Unavailable(
                f"the API server at {self.address} is busy (HTTP {response.status})",
                _seconds(response.headers.get("Retry-After")),
            )
        return Answer(response.status, response.data, _unix_time(response.headers.get("Date"))), None

    def stream(self, path: str, query: Mapping[str, str], seconds: float) -> urllib3.BaseHTTPResponse:
        """Opens a watch that ends after `seconds` without a byte; the caller reads lines and closes it."""
        try:
            return self._pool.request(
                "GET",
                self._url(path, query),
                headers=self._headers("application/json", None),
                timeout=urllib3.Timeout(connect=5.0, read=seconds),
                retries=False,
                preload_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"the API server at {self.address} does not answer ({_in_short(error)})") from None

    def _url(self, path: str, query: Mapping[str, str] | None) -> str:
        return f"{self.address}{path}?{urlencode(query)}" if query else f"{self.address}{path}"

    def _headers(self, accept: str, content_type: str | None) -> dict[str, str]:
        headers = {"Accept": accept, "User-Agent": "plumbline"}
        if content_type:
            headers["Content-Type"] = content_type
        for setting in self._configuration.auth_settings().values():
            headers[setting["key"]] = setting["value"]
        return headers


def connect(kubeconfig: Path | None, context: str | None = None) -> Connection:
    """A connection by a kubeconfig file (None: the Pod's own service account, else the user's default kubeconfig).

    Raises ClusterSettingsError where the file or context cannot be used.
    """
    from kubernetes import client, config

    logging.getLogger("kubernetes").setLevel(logging.ERROR)
    if kubeconfig is not None and not kubeconfig.is_file():
        raise ClusterSettingsError(f"kubeconfig {kubeconfig}: no such file")
    configuration = client.Configuration()
    try:
        if kubeconfig is None and context is None:
            try:
                config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            except config.ConfigException:
                config.load_kube_config(  # type: ignore[no-untyped-call]
                    client_configuration=configuration, persist_config=False
                )
        else:
            config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=str(kubeconfig) if kubeconfig else None,
                context=context,
                client_configuration=configuration,
                persist_config=False,
            )
    except Exception as error:  # noqa: BLE001 (the library lets those of its YAML and base64 readers through)
        said = str(error).splitlines()[0] if isinstance(error, config.ConfigException) else type(error).__name__
        place = f"kubeconfig {kubeconfig}" if kubeconfig else "kubeconfig"
        raise ClusterSettingsError(mistake(kubeconfig, context) or f"{place}: {said}") from None
    configuration.connection_pool_maxsize = POOL
    pool = client.ApiClient(configuration).rest_client.pool_manager
    return Connection(pool, configuration)


def _in_short(error: BaseException) -> str:
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return "no answer in time"
    if isinstance(error, urllib3.exceptions.SSLError):
        return "its certificate is not trusted by the kubeconfig"
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "connection refused"
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return "no connection in time"
    return type(error).__name__


def _unix_time(header: str | None) -> float:
    """The time of a Date header; this machine's own where there is none."""
    try:
        return parsedate_to_datetime(header or "").timestamp()
    except ValueError:
        return time.time()


def _seconds(header: str | None) -> float | None:
    return float(header) if header and header.isdigit() else None
