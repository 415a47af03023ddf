"""How GitLab is asked, by python-gitlab: one request, a list page by page, and its exceptions made ours."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit

import gitlab
import requests
from gitlab.exceptions import GitlabAuthenticationError, GitlabError, GitlabParsingError

from bot.forges import gitlab_values as values
from bot.forges.gitlab_answers import judge
from bot.forges.port import NotPermitted
from worker.domain.errors import Refused, Unavailable

SECONDS: Final = 20.0
"""How long one request may take."""

LOCK_TRIES: Final = 4
LOCK_WAIT: Final = 0.1
"""Seconds before a write that met a resource lock is sent again, doubled each time; a lock lasts for one transaction."""

PAGE: Final = 100
WITHOUT_PROJECT: Final = "404 Project Not Found"
"""What GitLab says for everything in a project that the token may not see."""

Result = TypeVar("Result")
Json = Mapping[str, Any]


class Missing(Refused):
    """There is no such thing in a project that is there."""


class Wire:
    """One project at one GitLab, asked as the user whose token it is. What is asked raises Unavailable and NotPermitted."""

    def __init__(self, address: str, project: str, token: str, name: str) -> None:
        self._name = name
        self._project = project
        self._host = urlsplit(address).netloc
        session = requests.Session()
        session.hooks["response"] = [judge]
        self._client = gitlab.Gitlab(address, private_token=token, timeout=SECONDS, keep_base_url=True, session=session)
        self._path = f"/projects/{quote(project, safe='')}"

    def _get(self, path: str, **query: Any) -> Any:
        with self._spoken(f"GET {path}"):
            return self._client.http_get(path, query_data=query)

    def _walk(self, path: str, **query: Any) -> Iterator[Json]:
        """Page after page of a list below the project, no further than it is read."""
        with self._spoken(f"GET {path}"):
            yield from self._client.http_list(
                f"{self._path}{path}", query_data={"per_page": PAGE, **query}, iterator=True
            )

    def _list(self, path: str, **query: Any) -> list[Json]:
        return list(self._walk(path, **query))

    def _page(self, path: str, **query: Any) -> list[Json]:
        """The first page of a list below the project."""
        return list(self._get(f"{self._path}{path}", **query))

    def _write(self, verb: str, path: str, content: Mapping[str, Any]) -> Any:
        """One POST or PUT below the project; sent again only where GitLab says that a lock kept it from being taken."""
        for trial in range(LOCK_TRIES):
            with self._spoken(f"{verb.upper()} {path}"):
                try:
                    return self._client.http_request(verb, f"{self._path}{path}", post_data=dict(content)).json()
                except GitlabError as error:
                    if error.response_code != 409 or not values.is_lock(str(error.error_message), path):
                        raise
            time.sleep(LOCK_WAIT * 2**trial)
        raise Unavailable(f"GitLab holds a lock on what {path} writes", retry_after=2)

    def _found(self, ask: Callable[[], Result]) -> Result | None:
        """What was asked for, None where it is not there; a project that is not there is another matter."""
        try:
            return ask()
        except Missing:
            return None

    def _unless_missing(self, ask: Callable[[], Result]) -> Result | None:
        try:
            return ask()
        except GitlabError as error:
            if error.response_code != 404 or WITHOUT_PROJECT in str(error.error_message):
                raise
            return None

    @contextlib.contextmanager
    def _spoken(self, what: str) -> Iterator[None]:
        """The fence: the library's exceptions become ours, `what` says in which request."""
        try:
            yield
        except GitlabAuthenticationError:
            raise NotPermitted(
                f"GitLab does not take the token of the forge {self._name}: it was revoked or has expired. "
                "Make a new one with the scope api and put it where `token` in app.yaml points"
            ) from None
        except GitlabParsingError:
            raise Unavailable(f"{self._host} answers {what} with something that is not JSON") from None
        except GitlabError as error:
            raise self._translated(error, what) from None
        except requests.RequestException as error:
            raise Unavailable(f"{self._host} does not answer {what} ({type(error).__name__})") from None

    def _translated(self, error: GitlabError, what: str) -> Exception:
        said = str(error.error_message)[:300]
        if WITHOUT_PROJECT in said:
            return NotPermitted(
                f"GitLab shows the token of the forge {self._name} no project {self._project}. "
                "Check `project` in app.yaml, and that the token's user is a member with the role Developer or above"
            )
        if error.response_code == 403:
            return NotPermitted(
                f"GitLab does not permit {what} in {self._project}: {said}. The token needs the scope api, and its user "
                "the role Developer (Maintainer for webhooks)"
            )
        if error.response_code == 404:
            return Missing(f"GitLab has nothing at {what} in {self._project}")
        return Refused(f"GitLab refused {what} in {self._project}: {said}")
