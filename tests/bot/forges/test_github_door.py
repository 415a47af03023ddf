"""GitHub's door: who is let in, what each event means, and that nothing that comes makes it stumble."""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from bot.forges.github_door import read, verify
from bot.forges.port import Hint, Rejected
from tests.doubles.contracts import CONTRACTS

SECRET = b"It's a Secret to Everybody"
WEBHOOKS = CONTRACTS / "github/webhooks"
EXAMPLES = sorted(
    [*(WEBHOOKS / "examples").glob("*/*.json"), *(WEBHOOKS / "examples-hub4j").glob("*.json")],
)
NAME = "octo-org/octo-repo"
SHA = "a" * 40


def signature(body: bytes, secret: bytes = SECRET) -> str:
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def headers(event: str, body: bytes, **more: str) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "X-Hub-Signature-256": signature(body),
        **more,
    }


def looked_at(event: str, payload: Any) -> Hint | None:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return read(headers(event, body), body)


def test_githubs_own_test_vector_is_accepted() -> None:
    given = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    verify({"X-Hub-Signature-256": given}, b"Hello, World!", SECRET, 0)
    verify({"x-hub-signature-256": given}, b"Hello, World!", SECRET, 0)


GOOD = signature(b"{}")


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        signature(b"{}", b"another"),
        GOOD[:-1],
        GOOD[:15],
        "sha1=" + hmac.new(SECRET, b"{}", hashlib.sha1).hexdigest(),
        GOOD.removeprefix("sha256="),
        "sha256=" + GOOD.removeprefix("sha256=").upper(),
        GOOD.replace("sha256=", "SHA256="),
        "sha256=" + "é" * 64,
        "sha256=\udcff",
        GOOD + " ",
        "sha512=" + GOOD.removeprefix("sha256="),
        f"{GOOD}, {GOOD}",
    ],
)
def test_a01_what_is_not_signed_as_github_signs_is_turned_away(given: str | None) -> None:
    sent = {} if given is None else {"X-Hub-Signature-256": given}
    if given is not None and "sha1" in given:
        sent = {"X-Hub-Signature": given}
    with pytest.raises(Rejected) as rejected:
        verify(sent, b"{}", SECRET, 0)
    assert rejected.value.code == 401


def test_a01_another_body_under_a_good_signature_is_turned_away() -> None:
    with pytest.raises(Rejected):
        verify({"X-Hub-Signature-256": GOOD}, b"{} ", SECRET, 0)


def test_a02_an_empty_secret_lets_nobody_in() -> None:
    with pytest.raises(Rejected):
        verify({"X-Hub-Signature-256": signature(b"{}", b"")}, b"{}", b"", 0)


REPOSITORY = {"repository": {"full_name": NAME, "clone_url": "file:///etc"}}
SUITE = {"head_branch": "main", "head_sha": SHA, "pull_requests": []}
CANDIDATE = {**SUITE, "head_branch": f"gh-readonly-queue/release/1/pr-7-{SHA}"}
PERSON = {"id": 5, "user": {"type": "User"}, "performed_via_github_app": None}


def hint(**fields: Any) -> Hint:
    return Hint(project=NAME, delivery="72d3162e-cc78-11e3-81ab-4c9367dc0958", **fields)


@pytest.mark.parametrize(
    ("event", "payload", "expected"),
    [
        *(
            ("pull_request", {"action": action, "pull_request": {"number": 7}}, hint(number=7))
            for action in ("opened", "reopened", "closed", "synchronize", "edited", "ready_for_review", "converted_to_draft")
        ),
        *(("pull_request", {"action": action, "pull_request": {"number": 7}}, None) for action in ("labeled", "locked", "new", None)),
        ("push", {"ref": "refs/heads/main"}, hint(branch="main")),
        ("push", {"ref": "refs/heads/main", "deleted": True, "after": "0" * 40}, hint(branch="main")),
        ("push", {"ref": "refs/heads/größer/1"}, hint(branch="größer/1")),
        ("push", {"ref": "refs/tags/v1"}, None),
        ("push", {"ref": f"refs/heads/gh-readonly-queue/main/pr-7-{SHA}"}, None),
        ("issue_comment", {"action": "created", "issue": {"number": 7, "pull_request": {}}, "comment": PERSON}, hint(number=7, comment="5")),
        ("issue_comment", {"action": "created", "issue": {"number": 7}, "comment": PERSON}, None),
        ("issue_comment", {"action": "edited", "issue": {"number": 7, "pull_request": {}}, "comment": PERSON}, None),
        ("issue_comment", {"action": "deleted", "issue": {"number": 7, "pull_request": {}}, "comment": PERSON}, None),
        ("issue_comment", {"action": "created", "issue": {"number": 7, "pull_request": {}}, "comment": {**PERSON, "user": {"type": "Bot"}}}, None),
        ("issue_comment", {"action": "created", "issue": {"number": 7, "pull_request": {}}, "comment": {**PERSON, "performed_via_github_app": {"id": 1}}}, None),
        ("merge_group", {"action": "checks_requested", "merge_group": {"base_ref": "refs/heads/main", "head_sha": SHA}}, hint(branch="main", revision=SHA)),
        ("merge_group", {"action": "destroyed", "merge_group": {"base_ref": "refs/heads/main", "head_sha": SHA}}, None),
        ("check_run", {"action": "rerequested", "check_run": {"pull_requests": [{"number": 7}], "check_suite": SUITE}}, hint(number=7)),
        ("check_run", {"action": "rerequested", "check_run": {"pull_requests": [], "check_suite": SUITE}}, hint(branch="main")),
        ("check_run", {"action": "rerequested", "check_run": {"pull_requests": [], "check_suite": CANDIDATE}}, hint(branch="release/1", revision=SHA)),
        ("check_run", {"action": "rerequested", "check_run": {"check_suite": {**SUITE, "head_branch": None}}}, None),
        ("check_run", {"action": "completed", "check_run": {"pull_requests": [{"number": 7}]}}, None),
        ("check_suite", {"action": "rerequested", "check_suite": {**SUITE, "pull_requests": [{"number": 8}]}}, hint(number=8)),
        ("check_suite", {"action": "rerequested", "check_suite": SUITE}, hint(branch="main")),
        ("check_suite", {"action": "requested", "check_suite": SUITE}, None),
        ("ping", {"zen": "Design for failure."}, hint(ping=True)),
        ("pull_request_review", {"action": "submitted", "pull_request": {"number": 7}}, None),
        ("an_event_of_next_year", {"action": "opened"}, None),
    ],
)  # fmt: skip
def test_each_event_points_to_one_place_or_to_none(event: str, payload: dict[str, Any], expected: Hint | None) -> None:
    assert looked_at(event, {**payload, **REPOSITORY}) == expected


@pytest.mark.parametrize(
    ("content_type", "code"),
    [
        ("application/x-www-form-urlencoded", 415),
        ("text/plain", 415),
        ("multipart/form-data; boundary=x", 415),
        ("", 415),
        ("application/json", None),
        ("Application/JSON; charset=utf-8", None),
    ],
)
def test_a09_only_json_is_read(content_type: str, code: int | None) -> None:
    body = json.dumps({"ref": "refs/heads/main", **REPOSITORY}).encode()
    if code is None:
        assert read(headers("push", body, **{"Content-Type": content_type}), body) == hint(branch="main")
        return
    with pytest.raises(Rejected) as rejected:
        read(headers("push", body, **{"Content-Type": content_type}), body)
    assert rejected.value.code == code


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"payload=%7B%7D",
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"action":"opened","action":"closed"}',
        b'{"repository":{"full_name":"a/b","full_name":"c/d"}}',
        b'{"a":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b'{"a":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_000 + b"}",
        b'{"a": ' + b"9" * 10_000 + b"}",
        b'{"a": "\xff"}',
    ],
    ids=range(14),
)
def test_a09_a_body_that_is_not_one_strict_json_object_is_a_400(body: bytes) -> None:
    for event in ("push", "an_event_of_next_year"):
        with pytest.raises(Rejected) as rejected:
            looked_at(event, body)
        assert rejected.value.code == 400


@pytest.mark.parametrize(
    "name", ["../../x", "octo-org/octo-repo\n", "octo-org/octo-rеpo", "octo-org/%2e%2e?x", "", 7, None, {}, "a/b\ud800"]
)
def test_a12_what_is_no_repositorys_name_is_a_400_or_names_only_itself(name: Any) -> None:
    try:
        found = looked_at("push", {"ref": "refs/heads/main", "repository": {"full_name": name}})
    except Rejected as rejected:
        assert rejected.code == 400
        return
    assert name == "../../x", "it is matched whole against the operator's list"
    assert found is not None
    assert found.project == name


def test_a_delivery_without_an_id_is_a_400() -> None:
    body = b"{}"
    for given in ("", "x\ny", "x" * 200, "\udcff"):
        with pytest.raises(Rejected) as rejected:
            read(headers("push", body, **{"X-GitHub-Delivery": given}), body)
        assert rejected.value.code == 400


def _event_of(path: pathlib.Path) -> str:
    if path.parent.name != "examples-hub4j":
        return path.parent.name
    name = path.stem.split(".")[0].replace("-", "_")
    return next(
        event
        for event in (
            "pull_request",
            "issue_comment",
            "check_run",
            "workflow_run",
            "push",
            "status",
            "deployment",
            "installation_repositories",
            "installation",
        )
        if name.startswith(event)
    )


def test_the_contracts_are_there() -> None:
    assert len(EXAMPLES) > 150, (
        f"PLUMBLINE_CONTRACTS should name the folder with github/webhooks; {CONTRACTS} is not it"
    )


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_example_that_github_publishes_has_an_answer(path: pathlib.Path) -> None:
    body = path.read_bytes()
    event = _event_of(path)
    sent = headers(event, body)
    verify(sent, body, SECRET, 0)
    found = read(sent, body)
    payload = json.loads(body)
    if event == "push":
        assert (found is not None) == payload["ref"].startswith("refs/heads/")
    elif event == "pull_request" and payload["action"] in ("opened", "closed", "synchronize", "reopened", "edited"):
        assert found is not None
        assert (found.project, found.number) == (payload["repository"]["full_name"], payload["pull_request"]["number"])
    elif event == "merge_group":
        assert found is not None
        assert found.revision == payload["merge_group"]["head_sha"]
    elif event not in ("pull_request", "issue_comment", "check_run", "check_suite", "ping"):
        assert found is None


BAD: list[Any] = [None, {}, [], "", "x" * 20_000, -1, 2**80, True, "\ud800"]


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from _places(value[key], (*path, key))
    elif isinstance(value, list) and value:
        yield from _places(value[0], (*path, 0))


def _one_an_action() -> list[pathlib.Path]:
    wanted = ("pull_request", "push", "issue_comment", "merge_group", "check_run", "check_suite", "ping")
    firsts = {(path.parent.name, path.name.split(".")[0]): path for path in EXAMPLES if path.parent.name in wanted}
    return sorted(firsts.values())


@pytest.mark.parametrize("path", _one_an_action(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a10_a_signed_delivery_with_any_field_missing_or_wrong_is_ignored_or_a_400(path: pathlib.Path) -> None:
    payload = json.loads(path.read_bytes())
    answers: set[object] = set()
    touching = [
        each
        for each in _places(payload)
        if each
        and each[0]
        in (
            "action",
            "ref",
            "repository",
            "pull_request",
            "issue",
            "comment",
            "merge_group",
            "check_run",
            "check_suite",
        )
        and len(each) <= 4
    ]
    for place in touching:
        for bad in (*BAD, "missing"):
            changed = copy.copy(payload)
            spot: Any = changed
            for key in place[:-1]:  # only what lies on the way is copied: there are some ten thousand of these
                spot[key] = copy.copy(spot[key])
                spot = spot[key]
            if bad == "missing":
                if isinstance(spot, dict):
                    del spot[place[-1]]
            else:
                spot[place[-1]] = bad
            try:
                answers.add(type(looked_at(path.parent.name, changed)))
            except Rejected as rejected:
                answers.add(rejected.code)
    assert answers <= {Hint, type(None), 400}
    if looked_at(path.parent.name, payload) is not None:
        assert answers >= {Hint, 400}


def package(event: str = "package", /, **more: Any) -> dict[str, Any]:
    version = {"version": "sha256:1", "container_metadata": {"tag": {"name": "1.5.0", "digest": "sha256:" + "0a" * 32}}}
    own = {"name": "Web", "package_type": "CONTAINER", "owner": {"login": "Acme"}, "package_version": version}
    return {"action": "published", event: own | more}


@pytest.mark.parametrize("event", ["package", "registry_package"])
def test_an_image_that_was_pushed_is_named_and_no_place_is_looked_at(event: str) -> None:
    found = looked_at(event, package(event))
    assert found is not None
    assert (found.image, found.project, found.number, found.branch) == (
        "acme/web:1.5.0@sha256:" + "0a" * 32, "", None, "",
    )  # fmt: skip
    assert looked_at(event, package(event) | {"action": "deleted"}) is None
    assert looked_at(event, package(event, package_type="npm", ecosystem="npm")) is None
    assert looked_at(event, package(event, package_version={"version": "sha256:1"})) is None


@pytest.mark.parametrize(
    "more",
    [
        {"name": 'web"\n  privileged: true'},
        {"name": None},
        {"owner": {"login": "../x"}},
        {"package_version": {"container_metadata": {"tag": {"name": "1", "digest": "sha256:x"}}}},
        {"package_version": {"container_metadata": {"tag": {"name": 5}}}},
    ],
)
def test_a63_a_package_event_that_names_no_image_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as refused:
        looked_at("package", package(**more))
    assert refused.value.code == 400
