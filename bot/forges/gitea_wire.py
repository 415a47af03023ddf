"""How Gitea is asked: one request, a list page by page, and its refusals made ours."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

import httpx

from bot.forges.port import NotPermitted
from worker.domain.errors import Refused, Unavailable

PAGE: Final = 50
"""The largest page that Gitea gives by its defaults (`MAX_RESPONSE_ITEMS`)."""

PAGES: Final = 200

LONGEST_WAIT: Final = 3600.0
"""Seconds that an answer may have us wait, whatever it says."""

TIMEOUT: Final = httpx.Timeout(15, connect=4)
NEXT: Final = re.compile(r'rel="?next"?')

CREATED, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, CONFLICT, INVALID, LIMITED = 201, 401, 403, 404, 409, 422, 429


class Wire:
    """One repository at a Gitea, asked with a token. What is asked raises Unavailable, NotPermitted and Refused."""

    def __init__(self, address: str, project: str, token: str) -> None:
        self._project = project
        self._at = f"/repos/{'/'.join(quote(part, safe='') for part in project.split('/'))}"
        self._client = httpx.Client(
            base_url=f"{address.rstrip('/')}/api/v1",
            headers={"Authorization": f"token {token}", "Accept": "application/json"},
            timeout=TIMEOUT,
        )

    def close(self) -> None:
        """Lets go of the connections."""
        self._client.close()

    def _try(self, method: str, path: str, **given: Any) -> httpx.Response:
        try:
            answer = self._client.request(method, path, **given)
        except httpx.HTTPError as error:
            raise Unavailable(f"{self._client.base_url.host} does not answer ({type(error).__name__})") from None
        if answer.status_code == LIMITED or answer.is_server_error:
            raise Unavailable(
                f"{self._client.base_url.host} answers {answer.status_code}",
                _seconds(answer.headers.get("Retry-After")),
            )
        return answer

    def _get(self, path: str, query: Mapping[str, Any] | None = None, *, or_none: bool = False) -> Any:
        answer = self._try("GET", path, params=query)
        if or_none and answer.status_code == NOT_FOUND:
            return None
        return self._judged(answer)

    def _send(self, method: str, path: str, body: Any, *, passing: tuple[int, ...] = ()) -> httpx.Response:
        answer = self._try(method, path, json=body)
        return answer if answer.status_code in passing else self._judged(answer)

    def _judged(self, answer: httpx.Response) -> httpx.Response:
        if answer.is_success:
            return answer
        if answer.status_code == UNAUTHORIZED:
            raise NotPermitted("Gitea does not know the token: make a new one for the bot user and put it in place")
        if answer.status_code == FORBIDDEN:
            raise NotPermitted(
                f"Gitea refuses {self._project} to the token: {words_of(answer)}; see `plumbline setup gitea`"
            )
        if answer.status_code == NOT_FOUND:
            raise NotPermitted(
                f"Gitea shows no such place in {self._project}: it is not there, or the token may not see it"
            )
        raise Refused(f"Gitea answers {answer.status_code} for {self._project}: {words_of(answer)}")

    def _pages(self, path: str, query: Mapping[str, Any]) -> Iterator[httpx.Response]:
        for page in range(1, PAGES + 1):
            answer = self._get(path, {**query, "page": page, "limit": PAGE})
            yield answer
            if not NEXT.search(answer.headers.get("Link", "")):
                return
        raise Refused(f"Gitea lists more than {PAGES * PAGE} entries for {self._project}", "remove what is not needed")

    def _all(self, path: str, **query: Any) -> Iterator[Mapping[str, Any]]:
        for answer in self._pages(path, query):
            yield from answer.json() or ()


def _seconds(text: str | None) -> float | None:
    """Whole seconds by Retry-After, at most an hour; None where it says anything else."""
    return min(float(text), LONGEST_WAIT) if text and text.isdecimal() else None


def words_of(answer: httpx.Response) -> str:
    """What an answer says went wrong."""
    with contextlib.suppress(ValueError, AttributeError):
        return str(answer.json().get("message") or answer.reason_phrase)[:200]
    return answer.reason_phrase
