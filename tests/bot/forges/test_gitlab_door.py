"""GitLab's door: who is let in, what each event means, and that nothing that comes makes it stumble."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest

from bot.forges.gitlab_door import delivery_id, read, signing_key, verify
from bot.forges.port import Hint, Rejected
from tests.doubles.contracts import CONTRACTS

EXAMPLES = CONTRACTS / "gitlab/webhooks/examples"
SECRET = b"5f1d3c6c4a5b"
KEY = bytes(range(32))
SIGNING = b"whsec_" + base64.b64encode(KEY)
NOW = 1_790_000_000.0
BODY = b'{"object_kind": "push"}'
EVENTS = {
    "push": "Push Hook", "merge_request": "Merge Request Hook", "note": "Note Hook", "tag_push": "Tag Push Hook",
    "build": "Job Hook", "job": "Job Hook", "deployment": "Deployment Hook", "pipeline": "Pipeline Hook", "release": "Release Hook",
}  # fmt: skip


def signature(body: bytes = BODY, *, at: str = "1790000000", identity: str = "d-1", key: bytes = KEY) -> str:
    signed = f"{identity}.{at}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def signed(**changed: str) -> dict[str, str]:
    at, identity = changed.get("webhook-timestamp", "1790000000"), changed.get("webhook-id", "d-1")
    made = {"webhook-id": identity, "webhook-timestamp": at, "webhook-signature": signature(at=at, identity=identity)}
    return {**made, **changed}


def headers(event: str, **more: str) -> dict[str, str]:
    return {"Content-Type": "application/json", "X-Gitlab-Event": event, "Idempotency-Key": "key-1", **more}


def looked_at(payload: dict[str, Any], event: str = "") -> Hint | None:
    return read(headers(event or EVENTS[payload["object_kind"]]), json.dumps(payload).encode())


def example(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((EXAMPLES / name).read_text())
    return value


@pytest.mark.parametrize(
    "given",
    [None, "", "wrong", SECRET.decode()[:-1], SECRET.decode() + "x", SECRET.decode().upper(), "é", "密", "\udcff"],
)
def test_a03_a_wrong_token_is_refused(given: str | None) -> None:
    with pytest.raises(Rejected) as refused:
        verify({} if given is None else {"X-Gitlab-Token": given}, BODY, SECRET, NOW)
    assert refused.value.code == 401
    assert SECRET.decode() not in str(refused.value)


def test_a03_the_right_token_is_taken_whatever_the_headers_case() -> None:
    verify({"X-Gitlab-Token": SECRET.decode()}, BODY, SECRET, NOW)
    verify({"x-gitlab-token": SECRET.decode()}, BODY, SECRET, NOW)


def test_a02_an_empty_secret_lets_nobody_in() -> None:
    for given in ({"X-Gitlab-Token": ""}, {}):
        with pytest.raises(Rejected):
            verify(given, BODY, b"", NOW)


def test_a_signed_delivery_is_taken_also_among_other_signatures() -> None:
    verify(signed(), BODY, SIGNING, NOW)
    verify(signed(**{"webhook-signature": f"v1,b2xk v1a,x {signature()}"}), BODY, SIGNING, NOW)


def test_the_signature_is_that_of_standard_webhooks_own_example() -> None:
    key = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    given = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    verify(given, b'{"test": 2432232314}', key, 1614265330)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"X-Gitlab-Token": SECRET.decode()},
        {"X-Gitlab-Token": SIGNING.decode()},
        {**signed(), "webhook-signature": ""},
        {**signed(), "webhook-signature": signature().removeprefix("v1,")},
        {**signed(), "webhook-signature": signature().replace("v1,", "v2,")},
        {**signed(), "webhook-signature": signature(key=b"x" * 32), "X-Gitlab-Token": SECRET.decode()},
        {**signed(), "webhook-signature": signature(b"{}")},
        {**signed(), "webhook-signature": "v1,é"},
        {**signed(), "webhook-id": "d-2"},
        {**signed(), "webhook-timestamp": "1790000001"},
        signed(**{"webhook-id": ""}),
        signed(**{"webhook-timestamp": "now"}),
        signed(**{"webhook-timestamp": ""}),
        signed(**{"webhook-timestamp": "-1790000000"}),
        signed(**{"webhook-timestamp": "9" * 400}),
    ],
)
def test_a03_with_a_signing_key_only_its_signature_opens(given: dict[str, str]) -> None:
    with pytest.raises(Rejected) as refused:
        verify(given, BODY, SIGNING, NOW)
    assert refused.value.code == 401


@pytest.mark.parametrize(
    ("away", "is_taken"), [(300, True), (-300, True), (301, False), (-301, False), (360, False), (-360, False)]
)
def test_a06_a_signature_is_good_for_five_minutes_either_way(away: int, is_taken: bool) -> None:
    given = signed(**{"webhook-timestamp": str(int(NOW) + away)})
    if is_taken:
        verify(given, BODY, SIGNING, NOW)
        return
    with pytest.raises(Rejected) as refused:
        verify(given, BODY, SIGNING, NOW)
    assert refused.value.code == 401


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_not base64", "whsec_c2hvcnQ=", base64.b64encode(KEY).decode()])
def test_a_signing_key_that_is_none_is_not_used(secret: str) -> None:
    with pytest.raises(ValueError, match="signing token"):
        signing_key(secret)


HINTS = {
    "atlantis/gitlab-merge-request-comment-event.json": ("gitlabhq/gitlab-test", 1, "", "1244"),
    "atlantis/gitlabMergeCommentEvent_notAllowlisted.json": ("gitlabhq/gitlab-test", 1, "", "1244"),
    "atlantis/gitlab-merge-request-event-update-new-commit.json": ("quan.hoang/atlantis-example", 3, "", ""),
    "atlantis/gitlab-merge-request-event.json": ("lkysow/atlantis-example", 12, "", ""),
    "go-gitlab/merge_request.json": ("gitlabhq/gitlab-test", 1, "", ""),
    "go-gitlab/note_merge_request.json": ("gitlab-org/gitlab-test", 1, "", "1244"),
    "go-gitlab/push.json": ("mike/diaspora", None, "master", ""),
    "go-gitlab/service_merge_request.json": ("test/woodpecker", 2, "", ""),
}
WITHOUT_NUMBER = "go-gitlab/group_merge_request.json"
NAMES = sorted(str(path.relative_to(EXAMPLES)) for path in EXAMPLES.glob("*/*.json"))


def test_the_examples_are_there() -> None:
    assert len(NAMES) >= 26
    assert set(HINTS) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_example_of_a_delivery_is_a_place_to_look_at_of_no_concern_or_refused_by_name(name: str) -> None:
    if name == WITHOUT_NUMBER:
        with pytest.raises(Rejected, match="iid") as refused:
            looked_at(example(name))
        assert refused.value.code == 400
        return
    found = looked_at(example(name))
    if name not in HINTS:
        assert found is None
        return
    project, number, branch, comment = HINTS[name]
    assert found == Hint(project, "key-1", number=number, branch=branch, comment=comment)


def changed(name: str, **attributes: Any) -> dict[str, Any]:
    value = example(name)
    value["object_attributes"].update(attributes)
    return value


NOTE = "go-gitlab/note_merge_request.json"


@pytest.mark.parametrize(
    "attributes",
    [
        {"system": True},
        {"action": "update"},
        {"action": None},
        {"noteable_type": "Issue"},
        {"noteable_type": "Commit"},
        {"internal": True},
    ],
)
def test_a15_only_a_new_comment_of_a_person_on_a_merge_request_counts(attributes: dict[str, Any]) -> None:
    assert looked_at(changed(NOTE, **attributes)) is None


def test_a15_confidential_comments_are_of_no_concern() -> None:
    value = {**example(NOTE), "event_type": "confidential_note"}
    assert looked_at(value) is None
    assert looked_at(example(NOTE), "Confidential Note Hook") is None


def test_an_older_gitlab_tells_an_edited_comment_by_its_times() -> None:
    value = changed(NOTE)
    del value["object_attributes"]["action"]
    assert looked_at(value) is not None
    value["object_attributes"]["updated_at"] = "2015-05-17 18:21:37 UTC"
    assert looked_at(value) is None


@pytest.mark.parametrize("action", ["open", "close", "reopen", "merge", "approved", "unapproved", "never-seen-before"])
def test_every_action_but_an_idle_update_is_looked_at(action: str) -> None:
    assert looked_at(changed("go-gitlab/merge_request.json", action=action)) is not None


@pytest.mark.parametrize(
    ("changes", "oldrev", "is_looked_at"),
    [
        ({}, "", True),
        ({"target_branch": {}}, "", True),
        ({"draft": {}, "updated_at": {}}, "", True),
        ({"title": {}}, "", True),
        ({"labels": {}, "updated_at": {}}, "", False),
        ({"labels": {}, "updated_at": {}}, "a" * 40, True),
        ("labels", "", True),
    ],
)
def test_an_update_is_looked_at_unless_it_changes_nothing_that_is_predicted(
    changes: Any, oldrev: str, is_looked_at: bool
) -> None:
    value = changed("go-gitlab/merge_request.json", action="update", oldrev=oldrev)
    value["changes"] = changes
    assert (looked_at(value) is not None) is is_looked_at


def test_a_deleted_branch_is_looked_at_and_a_tag_is_not() -> None:
    push = example("go-gitlab/push.json")
    assert looked_at({**push, "after": "0" * 40, "checkout_sha": None}) is not None
    assert looked_at({**push, "ref": "refs/tags/v1"}) is None


def test_the_delivery_is_the_same_when_it_is_sent_again() -> None:
    given = {"X-Gitlab-Event-UUID": "shared", "X-Gitlab-Webhook-UUID": "the hook"}
    assert delivery_id({**given, "Idempotency-Key": "one"}, BODY) == "one"
    assert delivery_id({**given, "Idempotency-Key": "one", "webhook-id": "two"}, BODY) == "two"
    bare = delivery_id(given, BODY)
    assert bare == delivery_id({**given, "X-Gitlab-Event-UUID": "another"}, BODY)
    assert bare != delivery_id(given, BODY + b" ")
    assert delivery_id({"Idempotency-Key": "x" * 129}, BODY) == delivery_id({"Idempotency-Key": "é"}, BODY) == bare


@pytest.mark.parametrize(
    ("event", "kind", "body", "code"),
    [
        ("Push Hook", "application/x-www-form-urlencoded", b"payload=%7B%7D", 415),
        ("Push Hook", "text/plain", b"{}", 415),
        ("Push Hook", "", b"{}", 415),
        ("Push Hook", "application/json", b"", 400),
        ("Push Hook", "application/json", b"[]", 400),
        ("Push Hook", "application/json", b'{"object_kind": "push", "object_kind": "note"}', 400),
        ("Push Hook", "application/json", b'{"object_kind": NaN}', 400),
        ("Push Hook", "application/json", b"[" * 100_000, 400),
        ("Push Hook", "application/json", '{"object_kind": "push"}'.encode("utf-16"), 400),
        ("Push Hook", "application/json", b'\xef\xbb\xbf{"object_kind": "push"}', 400),
        ("Push Hook", "application/json", b'{"object_kind": "note"}', 400),
        ("Note Hook", "application/json", b'{"object_kind": "push"}', 400),
    ],
)
def test_a09_bodies_of_another_kind_are_refused_in_words(event: str, kind: str, body: bytes, code: int) -> None:
    with pytest.raises(Rejected) as refused:
        read(headers(event, **{"Content-Type": kind}), body)
    assert refused.value.code == code


MUTATIONS: list[Any] = [None, "", "x" * 1_000_000, -1, 1 << 70, True, [], {}, "../../x", "a\nb", 1.5]


def mutated(value: Any) -> Iterator[Any]:
    """Every place in a payload, missing and with each odd value."""
    if not isinstance(value, dict):
        return
    for name, below in value.items():
        without = copy.copy(value)
        del without[name]
        yield without
        for odd in MUTATIONS:
            yield {**value, name: odd}
        for deeper in mutated(below):
            yield {**value, name: deeper}


@pytest.mark.parametrize("name", sorted(HINTS))
def test_a10_a_member_that_is_missing_or_odd_never_makes_it_stumble(name: str) -> None:
    seen = 0
    for value in mutated(example(name)):
        seen += 1
        try:
            found = looked_at(value, EVENTS[example(name)["object_kind"]])
        except Rejected as refused:
            assert refused.code == 400
            continue
        if found is not None:
            assert "\n" not in found.project + found.branch
            assert found.number is None or found.number > 0
    assert seen > 300


def test_a11_no_address_of_a_payload_is_in_what_is_read() -> None:
    value = example("go-gitlab/push.json")
    for name in ("git_http_url", "web_url", "url", "http_url", "ssh_url"):
        value["project"][name] = "http://169.254.169.254/"
    assert "169.254" not in repr(looked_at(value))
