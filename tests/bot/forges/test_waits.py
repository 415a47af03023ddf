"""How long a forge may have us wait, whatever its answer says."""

from __future__ import annotations

import pytest
import requests

from bot.forges.gitea_wire import _seconds
from bot.forges.github_api import LONGEST, Answer, checked, seconds_to_wait
from bot.forges.gitlab_answers import LONGEST_WAIT, refusal_of
from worker.domain.errors import Unavailable

NONSENSE = ["inf", "nan", "-5", "1e9", "-inf", "²", "soon", "0x10", ""]
HUGE = ["99999999999", "9" * 400]


@pytest.mark.parametrize("text", NONSENSE)
def test_what_is_no_number_of_seconds_says_nothing(text: str) -> None:
    assert _seconds(text) is None
    assert seconds_to_wait(Answer(429, {"retry-after": text}, None), 0.0, 0) == 60.0
    with pytest.raises(Unavailable) as caught:
        checked(Answer(503, {"retry-after": text}, None), "it")
    assert caught.value.retry_after is None
    assert gitlab_waits({"Retry-After": text}) is None


@pytest.mark.parametrize("text", HUGE)
def test_a_wait_is_bounded(text: str) -> None:
    assert _seconds(text) == 3600.0
    assert seconds_to_wait(Answer(429, {"retry-after": text}, None), 0.0, 0) == LONGEST
    limited = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": text}
    assert seconds_to_wait(Answer(403, limited, None), 0.0, 0) == LONGEST
    with pytest.raises(Unavailable) as caught:
        checked(Answer(503, {"retry-after": text}, None), "it")
    assert caught.value.retry_after == LONGEST
    assert gitlab_waits({"Retry-After": text}) == LONGEST_WAIT
    assert gitlab_waits({"RateLimit-Reset": text}) == LONGEST_WAIT


def gitlab_waits(headers: dict[str, str]) -> float | None:
    answer = requests.Response()
    answer.status_code = 503
    answer.headers.update(headers)
    answer.request = requests.Request("GET", "http://gitlab.test/api").prepare()
    answer.url = "http://gitlab.test/api"
    refusal = refusal_of(answer)
    assert isinstance(refusal, Unavailable)
    return refusal.retry_after
