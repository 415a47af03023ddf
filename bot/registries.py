"""Asks registries for the tags of an image and for a tag's digest, as the OCI distribution specification has it.

Only registries that app.yaml names are asked, at addresses that it allows. Everything that comes back is other people's word:
bounded in size and number, and judged by the grammar before it is used.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode, urljoin

from bot.outgoing import Response, Unreachable, ask
from worker.domain.alerting import Reach, WebAddress
from worker.domain.errors import Refused, Unavailable
from worker.domain.images import DIGEST, TAG
from worker.domain.registries import Registry
from worker.domain.secret_text import SecretText

PAGE: Final = 1000
PAGES: Final = 50
MOST_TAGS: Final = 20_000
"""Tags of one image that are read; a registry that has more is not followed by half."""

LARGEST_PAGE: Final = 1 << 20
SECONDS: Final = 15.0
"""For one answer."""

WHOLE_SECONDS: Final = 60.0
"""For all pages of one image's tags, and whatever tokens they need: what is slower is away."""

EARLY: Final = 10.0
"""Seconds before its end a token is no longer used."""

UNAUTHORIZED, NOT_FOUND, NOT_MODIFIED, LIMITED = 401, 404, 304, 429
MANIFESTS: Final = ", ".join((
    "application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json",
))  # fmt: skip
_NEXT: Final = re.compile(r'<([^<>]{1,2000})>\s*;\s*rel="?next"?(?:[;,]|$)')
_PARAMETER: Final = re.compile(r'([a-z]+)="([^"]*)"')


class RegistryAway(Unavailable):
    """A registry does not answer now, or not as one does."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a registry said last of an image: all its tags, and the `ETag` that they came with."""

    etag: str
    tags: tuple[str, ...]


@dataclass(slots=True)
class Speaker:
    """One registry as it is asked; it remembers tokens and what it said last of each image.

    `opened` is the password. Methods raise RegistryAway (with the seconds to wait), and Refused for what trying again would
    not change.
    """

    registry: Registry
    opened: SecretText | None = None
    clock: Callable[[], float] = time.monotonic
    _known: MutableMapping[str, Known] = field(default_factory=dict)
    _tokens: MutableMapping[str, tuple[str, float]] = field(default_factory=dict)

    def tags(self, repository: str) -> tuple[str, ...]:
        """All tags of a repository that are tags by the grammar; none where it does not exist."""
        path: str = f"/v2/{repository}/tags/list?n={PAGE}"
        known = self._known.get(repository)
        found: list[str] = []
        etag, until = "", self.clock() + WHOLE_SECONDS
        for number in range(PAGES):
            headers = {"If-None-Match": known.etag} if known is not None and not number else {}
            answer = self._answer("GET", path, repository, headers, until)
            if answer.status == NOT_MODIFIED and known is not None:
                return known.tags
            if answer.status == NOT_FOUND:
                return ()
            found += _tags(self._checked(answer, f"the tags of {repository}"))
            if len(found) > MOST_TAGS:
                raise Refused(f"{self.registry.host} has more than {MOST_TAGS} tags of {repository}", "Delete old ones")
            path = self._next(answer)
            etag = answer.header("ETag") if not number and not path else ""
            if not path:
                break
        else:
            raise Refused(
                f"{self.registry.host} gives more than {PAGES} pages of tags of {repository}", "Delete old ones"
            )
        tags = tuple(found)
        self._known.pop(repository, None)
        if etag and len(etag) < 200:
            self._known[repository] = Known(etag, tags)
        return tags

    def digest(self, repository: str, tag: str) -> str:
        """The digest that a tag has now; empty where there is no such tag, or the registry does not say it."""
        path, until = f"/v2/{repository}/manifests/{quote(tag)}", self.clock() + WHOLE_SECONDS
        answer = self._answer("HEAD", path, repository, {"Accept": MANIFESTS}, until)
        if answer.status == NOT_FOUND:
            return ""
        self._checked(answer, f"{repository}:{tag}")
        found: str = answer.header("Docker-Content-Digest")
        return found if DIGEST.fullmatch(found) else ""

    def _next(self, answer: Response) -> str:
        """The path of the next page; only of the same registry, whatever the link says. Empty after the last."""
        found = _NEXT.search(answer.header("Link"))
        if found is None:
            return ""
        here = f"{self.registry.address}/v2/"
        there: str = urljoin(here, found[1])
        if not there.startswith(here) or WebAddress.of(there) is None:
            raise Refused(f"{self.registry.host} sends on to another place for more tags", "Look at its `Link` header")
        return there.removeprefix(self.registry.address)

    # -- asking ------------------------------------------------------------------------------------------------------

    def _answer(self, method: str, path: str, repository: str, headers: Mapping[str, str], until: float) -> Response:
        """The answer, with a token got first where the registry wants one; there by `until` (of the clock) or not at all."""
        proof, address, reach = self._proof(repository), self.registry.address + path, self.registry.reach
        answer = self._asked(method, address, {**headers, **proof}, reach, until)
        if answer.status != UNAUTHORIZED:
            return answer
        scheme, _, rest = answer.header("WWW-Authenticate").partition(" ")
        said = dict(_PARAMETER.findall(rest))
        if scheme.lower() == "bearer" and said.get("realm"):
            self._tokens[repository] = self._token(said, repository, until)
        elif scheme.lower() == "basic" and self.opened is not None and "Authorization" not in proof:
            return self._asked(method, address, {**headers, "Authorization": self._basic()}, reach, until)
        else:
            return answer
        return self._asked(method, address, {**headers, **self._proof(repository)}, reach, until)

    def _proof(self, repository: str) -> dict[str, str]:
        token, until = self._tokens.get(repository, ("", 0.0))
        return {"Authorization": f"Bearer {token}"} if token and self.clock() < until else {}

    def _basic(self) -> str:
        opened = self.opened.opened() if self.opened is not None else ""
        return "Basic " + base64.b64encode(f"{self.registry.username}:{opened}".encode()).decode()

    def _token(self, said: Mapping[str, str], repository: str, until: float) -> tuple[str, float]:
        """A token for reading one repository, and until when (of the clock) it is used."""
        realm = said["realm"]
        query = urlencode({"service": said.get("service", ""), "scope": f"repository:{repository}:pull"})
        address = f"{realm}{'&' if '?' in realm else '?'}{query}"
        own = WebAddress.of(self.registry.address)
        there = WebAddress.of(address)
        if there is None or own is None:
            raise Refused(f"{self.registry.host} sends for a token to what is no web address", "Look at its settings")
        is_own = (there.is_encrypted, there.host, there.port) == (own.is_encrypted, own.host, own.port)
        headers = {"Authorization": self._basic()} if self.opened is not None else {}
        answer = self._asked("GET", address, headers, self._reach(is_own=is_own), until)
        body = self._checked(answer, "a token")
        token, seconds = body.get("token") or body.get("access_token"), body.get("expires_in", 60)
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not 0 < len(token) < 16_384:
            raise Refused(f"{self.registry.host} gives no token that can be used", "Look at its settings")
        lasts = float(seconds) if isinstance(seconds, int) and 0 < seconds < 86_400 else 60.0
        return token, self.clock() + max(1.0, lasts - EARLY)

    def _reach(self, *, is_own: bool) -> Reach:
        """Where a token may be got: beside the registry's own place only public addresses, and networks that are named."""
        return self.registry.reach if is_own else Reach(networks=self.registry.reach.networks)

    def _asked(self, method: str, address: str, headers: Mapping[str, str], reach: Reach, until: float) -> Response:
        read = WebAddress.of(address)
        if read is None:
            raise Refused(f"{self.registry.host} is asked at no web address", "Look at `registries` in app.yaml")
        left = until - self.clock()
        if left <= 0:
            raise RegistryAway(f"the registry {self.registry.host} takes more than {WHOLE_SECONDS:g} s for one image")
        try:
            answer = ask(method, read, headers=headers, reach=reach, most=LARGEST_PAGE, seconds=min(SECONDS, left))
        except Unreachable as error:
            raise Refused(f"{self.registry.host} is not asked: {error}") from None
        except Unavailable as error:
            raise RegistryAway(f"the registry {self.registry.host} {error}") from None
        if answer.status == LIMITED or answer.status >= 500:
            raise RegistryAway(f"the registry {self.registry.host} answers {answer.status}", answer.retry_after)
        return answer

    def _checked(self, answer: Response, what: str) -> Mapping[str, Any]:
        """The JSON object of an answer that is one; empty of one without a body."""
        if answer.status != 200:
            raise Refused(
                f"the registry {self.registry.host} answers {answer.status} where {what} was asked for",
                "Look at `username` and `password` of the registry in app.yaml",
            )
        if not answer.is_whole:
            size = f"{LARGEST_PAGE >> 10} KiB"
            raise RegistryAway(f"the registry {self.registry.host} gives an answer that breaks off or is over {size}")
        try:
            found = json.loads(answer.body) if answer.body else {}
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise Refused(f"the registry {self.registry.host} answers with what is no JSON object for {what}")
        return found


def _tags(body: Mapping[str, Any]) -> Iterator[str]:
    found = body.get("tags")
    for each in found if isinstance(found, list) else ():
        if isinstance(each, str) and TAG.fullmatch(each):
            yield each
