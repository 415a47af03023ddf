"""One API server: its credentials, one request at a time, and its failures in our words."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import urllib3

from worker.adapters.cluster.bodies import decoded
from worker.adapters.cluster.kubeconfig import mistake
from worker.domain.errors import Unavailable, Unfit

READ_SECONDS: Final = 30.0
WRITE_SECONDS: Final = 6.0
"""Shorter than the 8 s lease, so that a write that hangs is over before another worker may write."""

POOL: Final = 16
UNAUTHORIZED: Final = 401
TOO_MANY: Final = 429
BUSY: Final = frozenset({502, 503, 504})
PATIENCE_SECONDS: Final = 5.0
"""How long a read or a dry run waits for a busy server; a CRD that is being set up answers 429 for about a second."""

log = logging.getLogger("plumbline.cluster")


class ClusterSettingsError(Unfit):
    """The kubeconfig cannot be used; the text says which file or context and what to do."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: its status, its body as bytes, and when the server says that it answered (a Unix time)."""

    status: int
    body: bytes
    at: float = 0.0

    def json(self) -> Any:
        """The decoded body. Raises Unavailable where it is not JSON: then no API server has answered."""
        try:
            return decoded(self.body)
        except ValueError:
            raise Unavailable(
                f"cluster unreachable: something that is no API server answers (HTTP {self.status}, not JSON)"
            ) from None


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """Connections that were opened with the credentials of one moment; `configuration` is the kubernetes package's."""

    pool: urllib3.PoolManager
    configuration: Any


class Connection:
    """Credentials and a pool of connections to one API server. Threads may share it.

    `open_session` reads the credentials; it is called again where the server refuses them or is not trusted any more,
    because tokens and authorities are rotated under a running program. `impersonated` are headers of every request.
    """

    def __init__(self, open_session: Callable[[], Session], impersonated: Sequence[tuple[str, str]] = ()) -> None:
        self._open_session = open_session
        self._session = open_session()
        self._impersonated = impersonated
        self._guard = threading.Lock()

    @property
    def address(self) -> str:
        """Where the API server is, as the kubeconfig says."""
        return str(self._session.configuration.host).rstrip("/")

    def acting_as(self, user: str, groups: Sequence[str]) -> Connection:
        """A connection with the same credentials on which every request impersonates a user, who must not be empty."""
        if not user.strip() or not all(group.strip() for group in groups):
            raise ClusterSettingsError("impersonate: the user (or a group) is empty, which would be nobody's limit")
        named = [("Impersonate-User", user), *(("Impersonate-Group", group) for group in groups)]
        return Connection(self._open_session, named)

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
        Credentials that it refuses are read again once. Raises Unavailable when the server is not reached, is busy, says
        that it has failed in a passing way, or refuses the credentials that were just read.
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
        response = self._answered(method, path, query, body, accept, content_type, seconds)
        if response.status == TOO_MANY:
            return None, _seconds(response.headers.get("Retry-After"))
        if response.status in BUSY:
            raise Unavailable(
                f"the API server at {self.address} is busy (HTTP {response.status})",
                _seconds(response.headers.get("Retry-After")),
            )
        return Answer(response.status, response.data, _unix_time(response.headers.get("Date"))), None

    def _answered(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: bytes | None,
        accept: str,
        content_type: str,
        seconds: float,
    ) -> urllib3.BaseHTTPResponse:
        session = self._session
        for renewed in (False, True):
            try:
                headers = self._headers(session, accept, content_type if body is not None else None)
                response = self._sent(session, method, self._url(path, query), body, headers, seconds)
            except urllib3.exceptions.SSLError as error:
                if renewed:
                    raise self._unreachable(error) from None
            except urllib3.exceptions.HTTPError as error:
                raise self._unreachable(error) from None
            else:
                if response.status != UNAUTHORIZED:
                    return response
            session = self._renewed(session)
        raise Unavailable(
            f"the API server at {self.address} refuses these credentials (HTTP {UNAUTHORIZED}), "
            "also after they were read again: check the kubeconfig's user and its token"
        )

    @staticmethod
    def _sent(
        session: Session, method: str, url: str, body: bytes | None, headers: urllib3.HTTPHeaderDict, seconds: float
    ) -> urllib3.BaseHTTPResponse:
        """Sends it; a read whose connection was cut once more, because one that was idle may have been closed meanwhile."""

        def send() -> urllib3.BaseHTTPResponse:
            timeout = urllib3.Timeout(connect=5.0, read=seconds)
            return session.pool.request(method, url, body=body, headers=headers, timeout=timeout, retries=False)

        try:
            return send()
        except urllib3.exceptions.ProtocolError:
            if method != "GET":
                raise
        return send()

    def _renewed(self, refused: Session) -> Session:
        """A session with the credentials of now; threads whose requests were refused together renew it once."""
        with self._guard:
            if self._session is refused:
                log.info("credentials for %s are read again", self.address)
                self._session = self._open_session()
            return self._session

    def _unreachable(self, error: BaseException) -> Unavailable:
        return Unavailable(
            f"cluster unreachable: the API server at {self.address} does not answer ({_in_short(error)})"
        )

    def stream(
        self, path: str, query: Mapping[str, str], seconds: float, *, accept: str = "application/json"
    ) -> urllib3.BaseHTTPResponse:
        """Opens a watch that ends after `seconds` without a byte; the caller reads lines and closes it."""
        session = self._session
        try:
            return session.pool.request(
                "GET",
                self._url(path, query),
                headers=self._headers(session, accept, None),
                timeout=urllib3.Timeout(connect=5.0, read=seconds),
                retries=False,
                preload_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from None

    def _url(self, path: str, query: Mapping[str, str] | None) -> str:
        return f"{self.address}{path}?{urlencode(query)}" if query else f"{self.address}{path}"

    def _headers(self, session: Session, accept: str, content_type: str | None) -> urllib3.HTTPHeaderDict:
        headers = urllib3.HTTPHeaderDict({"Accept": accept, "User-Agent": "plumbline"})
        if content_type:
            headers["Content-Type"] = content_type
        for setting in session.configuration.auth_settings().values():
            headers[setting["key"]] = setting["value"]
        for name, value in self._impersonated:
            headers.add(name, value)
        return headers


def connect(kubeconfig: Path | None, context: str | None = None) -> Connection:
    """A connection by a kubeconfig file (None: the Pod's own service account, else the user's default kubeconfig).

    Raises ClusterSettingsError where the file or context cannot be used.
    """
    return Connection(lambda: _open_session(kubeconfig, context))


def _open_session(kubeconfig: Path | None, context: str | None) -> Session:
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
    return Session(pool, configuration)


def _in_short(error: BaseException) -> str:
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return "no answer in time"
    if isinstance(error, urllib3.exceptions.SSLError):
        untrusted = "CERTIFICATE_VERIFY_FAILED" in str(error)
        return "its certificate is not trusted by the kubeconfig" if untrusted else "it does not speak TLS as it should"
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return "its name is not known"
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "connection refused" if "refused" in str(error) else "no connection"
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return "the connection was cut"
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
