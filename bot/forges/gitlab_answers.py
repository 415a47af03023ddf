"""What GitLab's answers mean before its library looks at them, which would sleep, follow redirects with the token, or trip."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from bot.forges.port import NotPermitted
from worker.domain.errors import Unavailable

RATE_LIMIT_WAIT: Final = 60.0
"""How long to wait where GitLab limits and does not say for how long; its limits count minutes."""

LONGEST_WAIT: Final = 3600.0


def judge(answer: requests.Response, **_: Any) -> None:
    """Looks at an answer before the library does, as a hook of `requests`; raises what it means where that is trouble."""
    refusal = refusal_of(answer)
    if refusal is not None:
        answer.close()
        raise refusal


def refusal_of(answer: requests.Response) -> Exception | None:
    """What an answer of GitLab's means that the library must not see; None where it may."""
    host, path = urlsplit(answer.url).netloc, urlsplit(answer.url).path
    code, wait = answer.status_code, _wait_of(answer.headers)
    if answer.is_redirect:
        return NotPermitted(
            f"{host} answers {path} with a redirect, and tokens are not carried elsewhere. "
            "The project or GitLab itself has moved: put its present name into app.yaml"
        )
    if code == 429:
        return Unavailable(f"{host} limits the rate of requests", RATE_LIMIT_WAIT if wait is None else wait)
    if code >= 500:
        return Unavailable(f"{host} answers {path} with {code}", wait)
    is_api = not path.endswith("/raw") and answer.request.method != "HEAD"
    if code < 300 and is_api and "json" not in answer.headers.get("Content-Type", ""):
        return Unavailable(f"{host} answers {path} with a page. Is `address` in app.yaml that of a GitLab?")
    return None


def _wait_of(headers: Mapping[str, str]) -> float | None:
    """Seconds by Retry-After (seconds or a date) or RateLimit-Reset (a Unix time), None where neither says them."""
    after, reset = headers.get("Retry-After", ""), headers.get("RateLimit-Reset", "")
    if after.isdecimal():
        seconds = float(after)
    elif after:
        try:
            seconds = parsedate_to_datetime(after).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    elif reset.isdecimal():
        seconds = float(reset) - time.time()
    else:
        return None
    return min(max(seconds, 1.0), LONGEST_WAIT)
