"""The adapter against a real Gitea: what is asked is true, what is written is there, and nothing is written twice."""

from __future__ import annotations

import itertools
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest

from bot.forges import gitea_door
from bot.forges.gitea import Gitea
from bot.forges.port import (
    FileChange,
    Hint,
    Made,
    NotPermitted,
    Permission,
    Person,
    RecentComments,
    Rejected,
    RequestState,
    State,
    Status,
)
from plumbline.forge_system import BOT
from plumbline.setup_gitea import EVENTS, SCOPES
from sandbox.forge import GiteaServer
from sandbox.processes import wait_until
from tests.loopback_server import Handler, LoopbackServer
from worker.domain.blobs import blob_id
from worker.domain.errors import Moved, Unavailable

NUMBERS = itertools.count(1)
MARKER = "<!-- plumbline:predict -->"
SECRET = b"a secret of the webhook"


@dataclass(frozen=True, slots=True)
class Ground:
    server: GiteaServer
    owner: str
    forge: Gitea
    first: str

    @property
    def at(self) -> str:
        return f"/repos/{self.owner}/shop"

    def propose(self, name: str = "change") -> int:
        self.forge.commit(name, self.first, "A change", [FileChange("app/a.yaml", "a: 2\n")])
        body = {"head": name, "base": "main", "title": f"Change {name}"}
        return int(self.server.ask("POST", f"{self.at}/pulls", body, login=self.owner)["number"])


@pytest.fixture
def ground(gitea: GiteaServer) -> Iterator[Ground]:
    owner = f"owner-{next(NUMBERS)}-{secrets.token_hex(2)}"
    gitea.create_user(owner)
    if gitea.request("GET", f"/users/{BOT}")[0] != 200:
        gitea.create_user(BOT)
    gitea.create_repository(owner, "shop", {BOT: "admin"})
    body = {"content": "YTogMQo=", "message": "First", "branch": "main"}
    made = gitea.ask("POST", f"/repos/{owner}/shop/contents/app/a.yaml", body, login=owner)
    forge = Gitea(gitea.address, f"{owner}/shop", gitea.create_token(BOT, SCOPES))
    yield Ground(gitea, owner, forge, made["commit"]["sha"])
    forge.close()


def test_branches_and_files_are_read_at_a_revision(ground: Ground) -> None:
    assert ground.forge.described(ground.first) == ("", "")
    assert ground.forge.tips() == {"main": ground.first}
    assert ground.forge.described(ground.first) == ("First", ground.owner)
    assert ground.forge.file(ground.first, "app/a.yaml") == b"a: 1\n"
    assert ground.forge.file(ground.first, "app/none.yaml") is None


def test_a_pull_request_is_read_before_and_after_its_merge(ground: Ground) -> None:
    number = ground.propose()
    found = ground.forge.change_request(number)
    assert found is not None
    assert (found.state, found.base, found.is_from_fork, found.merged_as) == (RequestState.OPEN, "main", False, "")
    assert found.head == ground.forge.tips()["change"]
    assert [each.number for each in ground.forge.open_change_requests()] == [number]

    def merges() -> bool:  # Gitea answers 405 while it still checks whether the branches fit
        body = {"Do": "merge"}
        return ground.server.request("POST", f"{ground.at}/pulls/{number}/merge", body, login=ground.owner)[0] == 200

    wait_until(merges, 20, "the pull request is merged")
    merged = ground.forge.change_request(number)
    assert merged is not None
    assert merged.state is RequestState.MERGED
    assert merged.merged_as == ground.forge.tips()["main"]
    assert ground.forge.merged_as(merged.merged_as) == merged
    assert ground.forge.merged_as(ground.first) is None
    assert ground.forge.open_change_requests() == []
    assert ground.forge.change_request(number + 40) is None


def test_our_comment_is_found_by_marker_and_author_and_edited_in_place(ground: Ground) -> None:
    number = ground.propose()
    theirs = ground.server.ask(
        "POST", f"{ground.at}/issues/{number}/comments", {"body": f"{MARKER}\nmine"}, login=ground.owner
    )
    assert ground.forge.put_comment(number, MARKER, f"{MARKER}\none")
    assert not ground.forge.put_comment(number, MARKER, f"{MARKER}\none")
    assert ground.forge.put_comment(number, MARKER, f"{MARKER}\ntwo")
    found = ground.server.ask("GET", f"{ground.at}/issues/{number}/comments")
    assert [(each["user"]["login"], each["body"]) for each in found] == [
        (ground.owner, f"{MARKER}\nmine"),
        (BOT, f"{MARKER}\ntwo"),
    ]
    comment = ground.forge.comment(number, str(theirs["id"]))
    assert comment is not None
    assert comment.author.login == ground.owner
    assert ground.forge.comment(number + 1, str(theirs["id"])) is None


def test_f03_what_was_said_lately_is_read_to_the_newest_over_pages(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge = ground.forge
    assert forge.recent_comments(1.0) == RecentComments((), 0.0)
    number = ground.propose()
    issue = ground.server.ask("POST", f"{ground.at}/issues", {"title": "An issue"}, login=ground.owner)["number"]

    def say(number: int, body: str) -> str:
        at = f"{ground.at}/issues/{number}/comments"
        return str(ground.server.ask("POST", at, {"body": body}, login=ground.owner)["id"])

    say(issue, "/status")
    said = [say(number, f"/status {each}") for each in range(5)]
    found = forge.recent_comments(1.0)
    assert [(each, comment.id) for each, comment in found.said] == [(number, ident) for ident in said]
    newest = found.said[-1][1]
    assert (newest.body, newest.author.login) == ("/status 4", ground.owner)
    assert abs(newest.created - time.time()) < 60
    assert found.until == newest.created
    assert forge.recent_comments(found.until + 1) == RecentComments((), 0.0)

    monkeypatch.setattr("bot.forges.gitea.PAGE", 2)
    assert forge.recent_comments(1.0) == found
    monkeypatch.setattr("bot.forges.gitea.MOST_COMMENTS", 2)
    cut = forge.recent_comments(1.0)
    assert cut.is_cut
    assert [comment.id for _, comment in cut.said][-2:] == said[-2:]
    assert len(cut.said) < len(said)


def test_a_receipt_is_ours_alone_and_found_again(ground: Ground) -> None:
    number, forge = ground.propose(), ground.forge
    body = {"body": "/status"}
    ident = str(ground.server.ask("POST", f"{ground.at}/issues/{number}/comments", body, login=ground.owner)["id"])
    at = f"{ground.at}/issues/comments/{ident}/reactions"
    assert not forge.is_received(number, ident)
    ground.server.ask("POST", at, {"content": "eyes"}, login=ground.owner)
    assert not forge.is_received(number, ident)
    assert forge.react(number, ident)
    assert forge.is_received(number, ident)
    found = forge.comment(number, ident)
    assert found is not None
    assert not found.is_edited


def test_a_status_is_written_only_where_it_differs(ground: Ground) -> None:
    states = (State.PENDING, State.CANCELLED, State.PENDING, State.FAILURE, State.ERROR, State.SUCCESS)
    for state in states:
        status = Status("plumbline/converge/production", state, "a sentence", "http://127.0.0.1/x")
        assert ground.forge.put_status(ground.first, status)
        assert not ground.forge.put_status(ground.first, status)
    found = ground.server.ask("GET", f"{ground.at}/statuses/{ground.first}?sort=leastindex")
    assert sorted(each["status"] for each in found) == sorted(
        ["pending", "warning", "pending", "failure", "error", "success"]
    )


def test_a_commit_follows_what_was_read_or_is_not_made(ground: Ground) -> None:
    files = [FileChange("app/a.yaml", "a: 3\n"), FileChange("app/b.yaml", "b: 1\n")]
    made = ground.forge.commit("main", ground.first, "Two files", files)
    assert ground.forge.tips() == {"main": made}, "the draft branch is gone"
    assert ground.forge.file(made, "app/b.yaml") == b"b: 1\n"
    assert ground.forge.made(made) == Made((ground.first,), frozenset({"app/a.yaml", "app/b.yaml"}))
    assert ground.forge.made("e" * 40) is None
    with pytest.raises(Moved):
        ground.forge.commit("main", ground.first, "Late", files)
    with pytest.raises(Moved):
        ground.forge._move("main", ground.first, ground.first)
    gone = ground.forge.commit("main", made, "Away", [FileChange("app/b.yaml", None)])
    assert ground.forge.file(gone, "app/b.yaml") is None
    assert ground.forge.tips() == {"main": gone}


def test_a_new_branch_is_made_on_what_was_read_or_not_at_all(ground: Ground) -> None:
    forge = ground.forge
    assert forge.tips() == {"main": ground.first}
    made = forge.commit("back", ground.first, "Back", [FileChange("app/a.yaml", "a: 0\n")])
    assert forge.made(made) == Made((ground.first,), frozenset({"app/a.yaml"}))
    assert forge.tips() == {"main": ground.first, "back": made}, "main is where it was, and no draft is left"
    with pytest.raises(Moved):
        forge.commit("back", ground.first, "Again", [FileChange("app/a.yaml", "a: 1\n")])
    seen = forge.tips()
    meanwhile = {"content": "YTogOQo=", "message": "Meanwhile", "branch": "main", "sha": blob_id(b"a: 1\n", made)}
    moved = ground.server.ask("PUT", f"{ground.at}/contents/app/a.yaml", meanwhile, login=ground.owner)["commit"]["sha"]
    for change in (FileChange("app/a.yaml", "a: 0\n"), FileChange("app/other.yaml", "o: 1\n")):
        with pytest.raises(Moved):
            forge.commit("late", ground.first, "Late", [change])
        with pytest.raises(Moved):  # it moves between the look and the write
            forge._branch_off("main", "late", ground.first, "Late", [forge._operation(ground.first, change)])
    assert forge.tips() == {**seen, "main": moved}, "nothing is left of what came too late"


def test_a_change_request_is_opened_once(ground: Ground) -> None:
    ground.forge.commit("rollback", ground.first, "Back", [FileChange("app/a.yaml", "a: 0\n")])
    opened = ground.forge.open_change_request("rollback", "main", "Back", "Because")
    assert ground.forge.open_change_request("rollback", "main", "Back", "Because") == opened
    assert opened.author.login == BOT
    for _ in "twice":
        ground.forge.close_change_request(opened.number)
    closed = ground.forge.change_request(opened.number)
    assert closed is not None
    assert closed.state is RequestState.CLOSED


def test_a_permission_is_the_account_s_and_not_the_name_s(ground: Ground) -> None:
    answer = ground.server.ask("GET", f"/users/{ground.owner}")
    assert ground.forge.permission(Person(str(answer["id"]), ground.owner)) is Permission.ADMIN
    assert ground.forge.permission(Person("999999", ground.owner)) is Permission.NONE
    assert ground.forge.permission(Person("999999", "nobody-of-that-name")) is Permission.NONE


def test_who_is_in_a_team_is_its_member_now_and_this_very_person(ground: Ground) -> None:
    organisation = f"org-{ground.owner}"
    ground.server.ask("POST", "/orgs", {"username": organisation}, login=ground.owner)
    body = {"name": "sre", "permission": "read", "units": ["repo.code"]}
    team = ground.server.ask("POST", f"/orgs/{organisation}/teams", body, login=ground.owner)["id"]
    owner = Person(str(ground.server.ask("GET", f"/users/{ground.owner}")["id"]), ground.owner)
    ground.server.ask("PUT", f"/teams/{team}/members/{BOT}", {}, login=ground.owner)
    token = ground.server.create_token(BOT, [*SCOPES, "read:organization"])
    with closing(Gitea(ground.server.address, f"{ground.owner}/shop", token)) as forge:
        assert not forge.is_in_team(owner, f"{organisation}/sre"), "the organisation's owner is not in every team"
        ground.server.ask("PUT", f"/teams/{team}/members/{ground.owner}", {}, login=ground.owner)
        assert forge.is_in_team(owner, f"{organisation}/SRE")
        assert not forge.is_in_team(Person("999999", ground.owner), f"{organisation}/sre"), "the name is another's"
        for unknown in (organisation, f"{organisation}/", f"{organisation}/other", "nobody-here/sre"):
            assert not forge.is_in_team(owner, unknown), unknown
        ground.server.ask("DELETE", f"/teams/{team}/members/{ground.owner}", login=ground.owner)
        assert not forge.is_in_team(owner, f"{organisation}/sre"), "it is asked anew each time"


def test_what_the_token_lacks_is_said_by_name(ground: Ground) -> None:
    assert all(each.is_granted for each in ground.forge.grants())
    token = ground.server.create_token(BOT, ["read:repository"])
    with closing(Gitea(ground.server.address, f"{ground.owner}/shop", token)) as few:
        lacking = {each.name for each in few.grants() if not each.is_granted}
        assert lacking == {"read:user", "write:issue", "write:repository"}
        with pytest.raises(NotPermitted):
            few.put_status(ground.first, Status("c", State.PENDING, "t"))
    with (
        closing(Gitea(ground.server.address, f"{ground.owner}/shop", "no-such-token")) as none,
        pytest.raises(NotPermitted) as caught,
    ):
        none.tips()
    assert "no-such-token" not in str(caught.value)


def test_a66_a_token_that_allows_more_than_is_needed_is_told_and_the_probes_change_nothing(ground: Ground) -> None:
    assert ground.forge.excesses() == []
    broad = ground.server.create_token(BOT, ["all"])
    with closing(Gitea(ground.server.address, f"{ground.owner}/shop", broad)) as forge:
        assert set(forge.excesses()) == {"the scope read:organization", "the scope write:user"}
    with closing(Gitea(ground.server.address, f"{ground.owner}/shop", "no-such-token")) as none:
        assert none.excesses() == []


class _Listener(Handler):
    code = 204
    headers_out: dict[str, str] = {}  # noqa: RUF012
    taken: list[tuple[dict[str, str], bytes]] = []  # noqa: RUF012

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.taken.append((dict(self.headers.items()), body))
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.send_response(self.code)
        for name, value in self.headers_out.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def listener() -> Iterator[tuple[str, type[_Listener]]]:
    handler = type("Listener", (_Listener,), {"taken": [], "headers_out": {}})
    server = LoopbackServer(handler)
    yield server.address, handler
    server.close()


@pytest.mark.parametrize(("code", "after", "expected"), [(429, "7", 7.0), (503, "", None), (502, "soon", None)])
def test_a_limit_or_a_server_s_failure_is_unavailable_with_the_time_to_wait(
    listener: tuple[str, type[_Listener]], code: int, after: str, expected: float | None
) -> None:
    address, handler = listener
    handler.code, handler.headers_out = code, {"Retry-After": after}
    with closing(Gitea(address, "a/b", "t")) as forge, pytest.raises(Unavailable) as caught:
        forge.tips()
    assert caught.value.retry_after == expected


def test_real_deliveries_are_believed_and_say_where_to_look(
    ground: Ground, listener: tuple[str, type[_Listener]]
) -> None:
    address, handler = listener
    for _ in range(2):
        ground.forge.put_hook(f"{address}/webhooks/gitea", SECRET.decode(), EVENTS)
    assert len(ground.forge.hooks()) == 1
    number = ground.propose()
    comment = ground.server.ask("POST", f"{ground.at}/issues/{number}/comments", {"body": "/plan"}, login=ground.owner)
    project = f"{ground.owner}/shop"
    wanted = {(None, "change", ""), (number, "", ""), (number, "", str(comment["id"]))}

    def seen() -> set[tuple[int | None, str, str]]:
        hints = [gitea_door.read(headers, body) for headers, body in handler.taken]
        assert all(hint.project == project for hint in hints if hint)
        return {(hint.number, hint.branch, hint.comment) for hint in hints if hint}

    wait_until(lambda: wanted <= seen(), 20, "the deliveries arrive")
    for headers, body in handler.taken:
        gitea_door.verify(headers, body, SECRET, 0)
        for wrong_body, wrong_secret in ((body + b" ", SECRET), (body, b"another secret"), (body, b"")):
            with pytest.raises(Rejected):
                gitea_door.verify(headers, wrong_body, wrong_secret, 0)


@pytest.mark.parametrize("given", ["", "ä", "0" * 64, "sha256="])
def test_a_delivery_with_a_wrong_signature_is_rejected(given: str) -> None:
    with pytest.raises(Rejected) as caught:
        gitea_door.verify({"x-gitea-signature": given}, b"{}", SECRET, 0)
    assert caught.value.code == 401


def _package(**more: object) -> bytes:
    """A tag that was pushed to Gitea's registry, as Gitea tells of it."""
    package = {"type": "container", "owner": {"login": "Ada"}, "name": "web", "version": "1.5.0", **more}
    return json.dumps({"action": "created", "repository": None, "package": package}).encode()


@pytest.mark.parametrize(
    ("event", "kind", "body", "expected"),
    [
        ("star", "application/json", b"{", None),
        ("push", "text/plain", b"{}", 415),
        ("push", "application/json", b"{", 400),
        ("push", "application/json", b"[" * 100_000, 400),
        ("push", "application/json", b"[]", 400),
        (
            "push",
            "application/json",
            b'{"repository":{"full_name":"a/b"},"ref":"refs/heads/a","ref":"refs/heads/b"}',
            400,
        ),
        ("push", "application/json", b'{"repository":{"full_name":"a/b"},"ref":"refs/heads/a","n":NaN}', 400),
        ("push", "application/json", '{"repository":{"full_name":"a/b"},"ref":"refs/heads/a"}'.encode("utf-16"), 400),
        ("push", "application/json", b'{"repository":{"full_name":"a/b"},"ref":"refs/heads/\\u001b[31m"}', 400),
        ("push", "application/json", b'{"repository":{"full_name":"a/b"},"ref":"refs/heads/%s"}' % (b"x" * 5000), 400),
        ("push", "application/json", b'{"repository":{"full_name":"a/b"},"ref":"refs/tags/x"}', None),
        ("pull_request", "application/json", b'{"repository":{"full_name":"a/b"},"pull_request":{"number":true}}', 400),
        ("issue_comment", "application/json", b'{"repository":{"full_name":"a/b"},"action":"created"}', None),
        (
            "pull_request",
            "application/json; charset=utf-8",
            b'{"repository":{"full_name":"a/b"},"pull_request":{"number":7}}',
            Hint("a/b", "d", number=7),
        ),
        ("package", "application/json", _package(), Hint("", "d", image="ada/web:1.5.0")),
        ("package", "application/json", _package(version="sha256:" + "0a" * 32), None),
        ("package", "application/json", _package(type="npm"), None),
        ("package", "application/json", _package(name='web"\n  privileged: true'), 400),
        ("package", "application/json", _package(owner=None), 400),
        ("package", "application/json", b'{"action":"deleted","package":{"type":"container"}}', None),
    ],
)
def test_a_delivery_is_read_refused_or_of_no_concern(
    event: str, kind: str, body: bytes, expected: Hint | int | None
) -> None:
    headers = {"X-Gitea-Event": event, "Content-Type": kind, "X-Gitea-Delivery": "d"}
    if isinstance(expected, int):
        with pytest.raises(Rejected) as caught:
            gitea_door.read(headers, body)
        assert caught.value.code == expected
    else:
        assert gitea_door.read(headers, body) == expected
