"""GitHub when it fails: each refusal becomes Unavailable with the seconds, NotPermitted or Refused, and nothing is written twice."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest

from bot.forges.github import Github
from bot.forges.github_api import SECONDARY, Answer, api_address, seconds_to_wait
from bot.forges.port import Check, Deployment, NotPermitted, Person, State, Status
from tests.doubles.forge_rig import OWNER
from tests.doubles.github import TOKEN, Fault
from tests.doubles.github_rig import GithubRig
from worker.domain.errors import Refused, Unavailable

STATUS = Status("plumbline/converge/production", State.SUCCESS, "converged")
SECONDARY_WORDS = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."


def test_an_enterprise_servers_api_is_below_its_address() -> None:
    assert api_address("https://github.com") == "https://api.github.com"
    assert api_address("https://github.example.org") == "https://github.example.org/api/v3"


@pytest.mark.parametrize(
    ("status", "headers", "message", "times", "expected"),
    [
        (403, {"retry-after": "8"}, SECONDARY_WORDS, 0, 8.0),
        (429, {"retry-after": "8"}, "", 3, 8.0),
        (403, {}, SECONDARY_WORDS, 0, SECONDARY),
        (403, {}, SECONDARY_WORDS, 2, SECONDARY * 4),
        (403, {}, SECONDARY_WORDS, 50, 3600.0),
        (429, {}, "", 0, SECONDARY),
        (429, {}, "<html>", 1, SECONDARY * 2),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1600"}, "API rate limit exceeded", 0, 600.0),
        (429, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "900"}, "", 0, 1.0),
        (403, {"x-ratelimit-remaining": "4000"}, "Resource not accessible by integration", 0, None),
        (422, {"retry-after": "8"}, "", 0, None),
        (200, {"x-ratelimit-remaining": "0"}, "", 0, None),
    ],
)
def test_f44_how_long_github_wants_to_be_left_alone(
    status: int, headers: Mapping[str, str], message: str, times: int, expected: float | None
) -> None:
    assert seconds_to_wait(Answer(status, headers, {"message": message}), 1000.0, times) == expected


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (Fault(500), None),
        (Fault(502, {"Content-Type": "text/html"}), None),
        (Fault(503, {"Retry-After": "30"}), 30.0),
        (Fault(403, {"Retry-After": "45"}, b'{"message": "slow down"}'), 45.0),
        (Fault(403, {}, f'{{"message": "{SECONDARY_WORDS}"}}'.encode()), SECONDARY),
        (Fault(429), SECONDARY),
        (Fault(0), None),
        (Fault(200, {}, b"<html>a captive portal</html>"), None),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_f44_a_forge_that_fails_is_unavailable_at_once_and_asked_no_second_time(
    github: GithubRig, forge: Github, fault: Fault, seconds: float | None, method: str
) -> None:
    revision = github.tip("main")
    forge.me()
    forge.tips()
    github.double.seen.clear()
    github.double.fault = lambda verb, _path: fault if verb == method else None
    began = time.monotonic()
    with pytest.raises(Unavailable) as unavailable:
        forge.put_status(revision, STATUS)
    assert unavailable.value.retry_after == seconds
    assert time.monotonic() - began < 5, "nothing is slept"
    assert [verb for verb, _ in github.requests()].count(method) == 1
    assert "html" not in str(unavailable.value)
    assert github.status_count(revision) == 0
    github.double.fault = lambda _verb, _path: None
    assert forge.put_status(revision, STATUS)


def test_f44_the_limits_of_the_hour_and_of_the_minute_are_kept(github: GithubRig, forge: Github) -> None:
    revision = github.tip("main")
    github.double.content_a_minute = 2
    for each in range(2):
        forge.put_status(revision, Status(f"{each}", State.SUCCESS, "so"))
    with pytest.raises(Unavailable) as limited:
        forge.put_status(revision, STATUS)
    assert limited.value.retry_after == 60.0
    github.double.remaining = 0
    with pytest.raises(Unavailable) as spent:
        forge.tips()
    assert spent.value.retry_after is not None
    assert 1700 < spent.value.retry_after <= 1801


def test_f44_a_missing_permission_is_named(github: GithubRig, forge: Github) -> None:
    del github.double.given["statuses"]
    with pytest.raises(NotPermitted, match="statuses=read"):
        forge.put_status(github.tip("main"), STATUS)
    github.double.given["statuses"] = "read"
    for each in github.double.tokens.values():
        each[1]["statuses"] = "read"
    with pytest.raises(NotPermitted, match="statuses=write"):
        forge.put_status(github.tip("main"), STATUS)


def test_f44_what_is_gone_is_said_to_be_gone(github: GithubRig, forge: Github) -> None:
    assert forge.change_request(7) is None
    with pytest.raises(NotPermitted, match="404"):
        forge.put_comment(7, "<!-- x -->", "<!-- x -->")
    github.double.fault = lambda _verb, path: Fault(410, {}, b'{"message": "gone"}') if "/comments/" in path else None
    assert forge.comment(7, "12") is None


def test_f44_permissions_fail_closed(github: GithubRig, forge: Github) -> None:
    github.double.fault = lambda _verb, path: Fault(500) if "permission" in path else None
    with pytest.raises(Unavailable):
        forge.permission(Person("1", OWNER))


def test_f44_a_renamed_repository_is_followed_on_the_same_host(github: GithubRig, forge: Github) -> None:
    revision = github.tip("main")
    forge.tips()
    github.double.renamed = f"{github.double.address}/api/v3/repositories/77/git"
    with pytest.raises(NotPermitted, match="404"):
        forge.put_status(revision, STATUS)
    assert any(path.startswith("/repositories/77") for _, path in github.requests())


def test_a53_nothing_is_sent_to_where_another_host_would_lead(github: GithubRig, forge: Github) -> None:
    revision = github.tip("main")
    forge.tips()
    for code in (301, 302, 307):
        sent = len(github.requests())
        elsewhere = {"Location": "http://canary.invalid/api/v3/user"}
        github.double.fault = lambda _verb, _path, code=code, headers=elsewhere: Fault(code, headers)  # type: ignore[misc]
        with pytest.raises(Refused):
            forge.put_status(revision, STATUS)
        assert len(github.requests()) == sent + 1


@pytest.mark.parametrize("word", ["comments", "statuses", "check-runs", "deployments"])
def test_f46_a_write_whose_answer_is_lost_is_not_made_twice(github: GithubRig, forge: Github, word: str) -> None:
    github.push("wip", {"a.yaml": "kind: ConfigMap\n"})
    number, revision = github.open("wip"), github.tip("main")
    doings = {
        "comments": lambda: forge.put_comment(number, "<!-- x -->", "<!-- x -->"),
        "statuses": lambda: forge.put_status(revision, STATUS),
        "check-runs": lambda: forge.put_check(revision, Check("Plumbline", State.SUCCESS, "a", "b")),
        "deployments": lambda: forge.put_deployment(Deployment("production", revision, "main", State.SUCCESS, "so")),
    }
    github.double.fault = lambda verb, path: Fault(0, after=True) if verb == "POST" and f"/{word}" in path else None
    with pytest.raises(Unavailable):
        doings[word]()
    github.double.fault = lambda _verb, _path: None
    doings[word]()
    assert not doings[word]()
    double = github.double
    made = {
        "comments": double.comments,
        "statuses": double.statuses,
        "check-runs": double.checks,
        "deployments": double.deployments,
    }
    assert len(made[word]) == 1


def tokens_made(rig: GithubRig) -> int:
    return len(rig.double.tokens)


def test_f47_a_token_is_replaced_minutes_before_it_ends(github: GithubRig, forge: Github) -> None:
    github.double.token_life = 290.0
    forge.tips()
    forge.tips()
    assert tokens_made(github) == 2
    github.double.token_life = 3600.0
    forge.tips()
    forge.tips()
    assert tokens_made(github) == 3
    assert all(code < 400 for _, _, code in github.double.seen)


def test_f47_a_token_that_is_refused_is_replaced_once(github: GithubRig, forge: Github) -> None:
    forge.tips()
    github.double.tokens.clear()
    assert forge.put_status(github.tip("main"), STATUS)
    assert tokens_made(github) == 1
    github.double.fault = lambda _verb, path: (
        Fault(401, {}, b'{"message": "Bad credentials"}') if "/git/" in path else None
    )
    before = len(github.requests())
    with pytest.raises(NotPermitted, match="credentials"):
        forge.tips()
    assert len(github.requests()) == before + 2


def test_f47_a_suspended_app_and_a_revoked_token_are_said(github: GithubRig, forge: Github) -> None:
    github.double.suspended = True
    with pytest.raises(NotPermitted, match="suspended"):
        forge.tips()
    github.double.fault = lambda _verb, path: (
        Fault(404, {}, b'{"message": "Not Found"}') if "installation" in path else None
    )
    with pytest.raises(NotPermitted, match="not installed"):
        forge.tips()


def test_a52_no_error_of_the_adapter_shows_a_credential(github: GithubRig, forge: Github) -> None:
    forge.tips()
    (token,) = github.double.tokens
    for code in (0, 301, 400, 401, 403, 404, 409, 410, 422, 429, 500):
        github.double.fault = lambda _verb, _path, code=code: Fault(code, {}, b'{"message": "no"}')  # type: ignore[misc]
        with pytest.raises((Unavailable, NotPermitted, Refused)) as failed:
            forge.put_comment(1, "x", "x")
        assert token not in str(failed.value)
        assert TOKEN not in str(failed.value)
