"""The port on GitHub: every method against a GitHub that keeps its limits, through the real client.

The fixture also holds every request and answer against GitHub's own description.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.forges import github_door
from bot.forges.github import Github
from bot.forges.port import (
    Annotation,
    Check,
    Credentials,
    Deployment,
    FileChange,
    Hint,
    Permission,
    Person,
    RecentComments,
    Rejected,
    RequestState,
    State,
    Status,
)
from tests.doubles import github_contract as contract
from tests.doubles.forge_rig import OWNER, MergeRefused
from tests.doubles.github import BOT, PROJECT, TOKEN
from tests.doubles.github_rig import GithubRig
from tests.loopback_server import Handler, LoopbackServer
from worker.domain.command_rules import Role
from worker.domain.errors import Moved, Refused
from worker.domain.secret_text import SecretText

MARKER = "<!-- plumbline:shop -->"
MANIFEST = "kind: ConfigMap\n"


def writes(rig: GithubRig) -> list[tuple[str, str]]:
    return [(method, path) for method, path in rig.requests() if method != "GET"]


def opened(rig: GithubRig, branch: str = "wip") -> int:
    rig.push(branch, {"a.yaml": MANIFEST})
    return rig.open(branch)


def test_a_pull_request_is_told_as_it_is(github: GithubRig, forge: Github) -> None:
    head = github.push("wip", {"a.yaml": MANIFEST})
    number = github.open("wip", title="Add a", is_draft=True)
    found = forge.change_request(number)
    assert found is not None
    assert (found.state, found.title, found.head, found.base, found.is_draft) == (
        RequestState.OPEN,
        "Add a",
        head,
        "main",
        True,
    )
    assert (found.author, found.is_from_fork, found.merged_as) == (Person("1", OWNER), False, "")
    assert github.double.git.tip(found.head_ref) == head
    assert forge.change_request(number + 1) is None
    newer = github.push("wip", {"a.yaml": None, "b.yaml": MANIFEST})
    github.edit(number, base="release", is_draft=False) if github.push("release", {"c.yaml": ""}) else None
    again = forge.change_request(number)
    assert again is not None
    assert (again.head, again.base, again.is_draft) == (newer, "release", False)
    assert github.double.git.tip(again.head_ref) == newer


def test_a22_a_fork_is_told_also_when_it_is_gone(github: GithubRig, forge: Github) -> None:
    number = github.open_from_fork({"a.yaml": MANIFEST})
    for _ in range(2):
        found = forge.change_request(number)
        assert found is not None
        assert found.is_from_fork
        assert github.double.git.tip(found.head_ref) == found.head
        github.delete_fork(number)


@pytest.mark.parametrize("method", ["merge", "squash", "rebase"])
def test_what_a_merge_made_leads_back_to_its_pull_request(github: GithubRig, forge: Github, method: str) -> None:
    number = opened(github)
    other = opened(github, "other")
    commit = github.merge(number, method=method)
    assert github.tip("main") == commit
    found = forge.merged_as(commit)
    assert found is not None
    assert (found.number, found.state, found.merged_as) == (number, RequestState.MERGED, commit)
    assert forge.merged_as(github.push("main", {"z.yaml": ""})) is None
    assert forge.merged_as("f" * 40) is None
    assert [each.number for each in forge.open_change_requests()] == [other]
    github.close_request(other)
    closed = forge.change_request(other)
    assert closed is not None
    assert closed.state is RequestState.CLOSED
    assert closed.merged_as == ""


def test_a25_a_merge_that_conflicts_or_lacks_a_required_status_does_not_happen(
    github: GithubRig, forge: Github
) -> None:
    number = opened(github)
    github.protect("main", ["plumbline/predict"])
    with pytest.raises(MergeRefused, match="plumbline/predict"):
        github.merge(number)
    head = github.change_request(number).head
    forge.put_status(head, Status("plumbline/predict", State.SUCCESS, "nothing changes"))
    github.push("main", {"a.yaml": "other\n"})
    with pytest.raises(MergeRefused, match="does not merge"):
        github.merge(number)
    assert github.change_request(number).state is RequestState.OPEN


def test_branches_are_told_and_asked_for_conditionally(github: GithubRig, forge: Github) -> None:
    names = [f"b{each:03}" for each in range(120)] + ["größer/1", "x#y"]
    first = github.tip("main")
    for name in names:
        github.double.git.set_ref(f"refs/heads/{name}", first)
    names.append("gh-readonly-queue/main/pr-1-x")
    github.double.git.set_ref(f"refs/heads/{names[-1]}", first)
    assert forge.tips() == dict.fromkeys([*names, "main"], first)
    before = github.double.remaining
    assert forge.tips() == dict.fromkeys([*names, "main"], first)
    assert github.double.remaining == before, "an answer that has not changed costs nothing"
    newer = github.push("b000", {"a.yaml": MANIFEST})
    assert forge.tips()["b000"] == newer
    assert forge.open_change_requests() == []
    spent = github.double.remaining
    assert forge.open_change_requests() == []
    assert github.double.remaining == spent
    opened(github)
    assert len(forge.open_change_requests()) == 1


def test_files_are_read_at_a_commit_small_and_large(github: GithubRig, forge: Github) -> None:
    large = "x: 'größer'\n" * 150_000
    revision = github.push("main", {"d/plumbline #1.yaml": "a: ß\n", "large.yaml": large})
    assert forge.file(revision, "d/plumbline #1.yaml") == "a: ß\n".encode()
    assert forge.file(revision, "large.yaml") == large.encode()
    assert forge.file(revision, "d") is None
    assert forge.file(revision, "missing.yaml") is None
    assert forge.file("f" * 40, "large.yaml") is None


def test_permissions_are_those_of_now_and_of_this_very_person(github: GithubRig, forge: Github) -> None:
    for permission in Permission:
        github.permit("kim", permission)
        assert forge.permission(Person(str(github.double.users["kim"]), "kim")) is permission
    assert forge.permission(Person("12345", OWNER)) is Permission.NONE, "the login is somebody else's by now"
    assert forge.permission(Person("12345", "nobody-here")) is Permission.NONE
    github.double.roles["kim"] = "a role of next year"
    assert forge.permission(Person(str(github.double.users["kim"]), "kim")) is Permission.NONE


def test_who_is_in_a_team_is_its_active_member_now_and_this_very_person(github: GithubRig) -> None:
    github.double.given["members"] = "read"
    repository = dataclasses.replace(github.repository, roles=(Role("releasers", teams=("acme/sre",)),))
    forge = Github.of(github.declared, repository, github.credentials)
    github.permit("kim", Permission.READ)
    kim = Person(str(github.double.users["kim"]), "kim")
    github.double.teams["acme/sre"] = {"kim": "active"}
    assert forge.is_in_team(kim, "acme/sre")
    assert not forge.is_in_team(Person("12345", "kim"), "acme/sre"), "the login is somebody else's by now"
    assert not forge.is_in_team(Person("12345", "nobody-here"), "acme/sre")
    for unknown in ("acme/other", "other/sre", "acme", "sre", "acme/", "/sre", "acme/sre/x", "acme/../sre"):
        assert not forge.is_in_team(kim, unknown), unknown
    github.double.teams["acme/sre"]["kim"] = "pending"
    assert not forge.is_in_team(kim, "acme/sre"), "who was only invited is not in it"
    del github.double.teams["acme/sre"]["kim"]
    assert not forge.is_in_team(kim, "acme/sre"), "it is asked anew each time"


def test_a_comment_is_read_where_it_belongs(github: GithubRig, forge: Github) -> None:
    number = opened(github)
    name = github.say(number, "/plan")
    found = forge.comment(number, name)
    assert found is not None
    assert (found.author, found.body, found.is_edited) == (Person("1", OWNER), "/plan", False)
    assert forge.comment(number + 1, name) is None
    github.edit_comment(number, name, "/rollback")
    edited = forge.comment(number, name)
    assert edited is not None
    assert edited.is_edited
    github.delete_comment(number, name)
    assert forge.comment(number, name) is None


def test_f03_what_was_said_lately_is_read_newest_first_and_conditionally(github: GithubRig, forge: Github) -> None:
    assert forge.recent_comments(1.0) == RecentComments((), 0.0)
    first, second = opened(github, "one"), opened(github, "two")
    old = github.say(first, "/status")
    comment = forge.comment(first, old)
    assert comment is not None
    github.double.make_comment(99, OWNER, "/status")  # an issue
    github.merge(second)
    late = github.say(second, "/rollback production", login="grace")
    before = len(github.double.seen)
    found = forge.recent_comments(comment.created)
    assert [(number, each.id) for number, each in found.said] == [(second, late), (first, old)]
    assert found.said[0][1].author.login == "grace"
    assert found.until == found.said[0][1].created
    assert not found.is_cut
    assert forge.recent_comments(comment.created) == found
    assert [code for _, path, code in github.double.seen[before:] if path.endswith("/issues/comments")] == [200, 304]
    assert [each.id for _, each in forge.recent_comments(found.until).said] == [late]
    github.double.make_comment(99, OWNER, "elsewhere")
    assert forge.recent_comments(found.until).until > found.until, "it is read on from there all the same"


def test_f48_what_was_said_lately_is_read_over_pages_and_cut(
    github: GithubRig, forge: Github, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = opened(github, "one")
    said = [github.say(number, f"word {each}") for each in range(150)]
    found = forge.recent_comments(1.0)
    assert ([each.id for _, each in found.said], found.is_cut) == (said[::-1], False)
    monkeypatch.setattr("bot.forges.github.MOST_COMMENTS", 120)
    found = forge.recent_comments(1.0)
    assert ([each.id for _, each in found.said], found.is_cut) == (said[-120:][::-1], True)


def test_no_more_answers_are_kept_than_are_asked_for_again(
    github: GithubRig, forge: Github, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.forges.github_api.MOST_SEEN", 3)
    forge.tips()
    for since in range(1, 6):
        forge.recent_comments(float(since))
        forge.tips()
    assert [code for _, path, code in github.double.seen if "matching-refs" in path] == [200, 304, 304, 304, 304, 304]
    before = len(github.double.seen)
    forge.recent_comments(1.0)
    assert [code for _, _, code in github.double.seen[before:]] == [200], "the oldest one went"


def test_a_receipt_is_ours_alone_and_found_again(github: GithubRig, forge: Github) -> None:
    number = opened(github, "one")
    name = github.say(number, "/plan")
    github.double.reactions[int(name)] = {(OWNER, "eyes"): contract.example("reaction", user=github.double.user(OWNER))}
    assert not forge.is_received(number, name)
    assert forge.react(number, name)
    assert forge.is_received(number, name)
    assert not forge.react(number, name)


def test_there_is_one_comment_of_ours_and_it_is_edited_in_place(github: GithubRig, forge: Github) -> None:
    number = opened(github)
    github.say(number, f"{MARKER}\nsomebody else's, with our marker")
    assert forge.put_comment(number, MARKER, f"{MARKER}\nfirst")
    assert not forge.put_comment(number, MARKER, f"{MARKER}\nfirst\n")
    assert forge.put_comment(number, MARKER, f"{MARKER}\nsecond")
    assert forge.put_comment(number, "<!-- another -->", "<!-- another -->")
    ours = [each for each in github.comments(number) if each.author.login == BOT]
    assert [each.body for each in ours] == [f"{MARKER}\nsecond", "<!-- another -->"]
    assert writes(github).count(("POST", f"/repos/{PROJECT}/issues/{number}/comments")) == 2
    assert github.comments(number)[0].body == f"{MARKER}\nsomebody else's, with our marker"


def test_f48_a_comment_is_found_after_three_hundred_others_and_made_again_when_it_is_gone(
    github: GithubRig, forge: Github
) -> None:
    number = opened(github)
    for each in range(300):
        github.say(number, f"comment {each}")
    forge.put_comment(number, MARKER, f"{MARKER}\nours")
    assert not Github.of(github.declared, github.repository, github.credentials).put_comment(
        number, MARKER, f"{MARKER}\nours"
    )
    ours = github.comments(number)[-1]
    github.edit_comment(number, ours.id, f"{MARKER}\nsomebody wrote into it")
    assert forge.put_comment(number, MARKER, f"{MARKER}\nours")
    github.delete_comment(number, ours.id)
    assert forge.put_comment(number, MARKER, f"{MARKER}\nours")
    assert [each.body for each in github.comments(number) if each.author.login == BOT] == [f"{MARKER}\nours"]


def test_a_comment_may_be_as_long_as_the_port_says_and_github_refuses_longer_ones(
    github: GithubRig, forge: Github
) -> None:
    number = opened(github)
    assert forge.put_comment(number, MARKER, MARKER + "ß" * (forge.limits.comment - len(MARKER)))
    with pytest.raises(Refused, match="65536"):
        forge.put_comment(number, "other", "x" * 65_537)
    assert len(github.comments(number)) == 1


def test_statuses_are_written_once_and_only_when_they_differ(github: GithubRig, forge: Github) -> None:
    revision = github.tip("main")
    pending = Status("plumbline/converge/production", State.PENDING, "applying", "https://plumbline.example/x")
    assert forge.put_status(revision, pending)
    assert not forge.put_status(revision, pending)
    assert not forge.put_status(revision, dataclasses.replace(pending, context=pending.context.upper()))
    done = Status(pending.context, State.SUCCESS, "converged")
    assert forge.put_status(revision, done)
    assert github.statuses(revision) == {pending.context: done}
    assert github.status_count(revision) == 2
    for state, word in ((State.FAILURE, State.FAILURE), (State.CANCELLED, State.ERROR), (State.ERROR, State.ERROR)):
        forge.put_status(revision, Status(str(state), state, "so"))
        assert github.statuses(revision)[str(state)].state is word
    assert forge.put_status(revision, Status("long", State.SUCCESS, "ß" * forge.limits.description))
    with pytest.raises(Refused, match="140"):
        forge.put_status(revision, Status("longer", State.SUCCESS, "ß" * 141))
    with pytest.raises(Refused, match="No commit found"):
        forge.put_status("f" * 40, done)


def test_f48_a_status_that_stands_is_found_behind_a_hundred_others_and_the_thousandth_is_the_last(
    github: GithubRig, forge: Github
) -> None:
    revision = github.tip("main")
    for each in range(150):
        github.double.statuses.append(
            {"sha": revision, "state": "success", "context": f"ci/{each}", "description": "so", "target_url": None}
        )
    assert not forge.put_status(revision, Status("ci/149", State.SUCCESS, "so"))
    github.double.statuses += [
        {"sha": revision, "state": "pending", "context": "busy", "description": f"{each}", "target_url": None}
        for each in range(1000)
    ]
    with pytest.raises(Refused, match="maximum number of statuses"):
        forge.put_status(revision, Status("busy", State.SUCCESS, "converged"))


def many_lines(count: int) -> tuple[Annotation, ...]:
    return tuple(Annotation("a.yaml", line, "warning", "drift", f"line {line}") for line in range(1, count + 1))


@pytest.mark.parametrize("count", [0, 1, 50, 51, 130])
def test_a_check_has_all_its_annotations_and_is_said_once(github: GithubRig, forge: Github, count: int) -> None:
    revision = github.tip("main")
    check = Check(
        "Plumbline production",
        State.SUCCESS,
        "Converged",
        "as predicted",
        "https://plumbline.example/x",
        many_lines(count),
    )
    assert forge.put_check(revision, check)
    assert not forge.put_check(revision, check)
    assert github.checks(revision) == [check]
    assert len(writes(github)) == max(1, -(-count // 50))


def test_a_check_goes_on_where_it_can_and_begins_again_where_it_has_annotations(
    github: GithubRig, forge: Github
) -> None:
    revision = github.tip("main")
    pending = Check("Plumbline", State.PENDING, "Applying", "1 of 2")
    failed = Check("Plumbline", State.FAILURE, "Diverged", "1 of 2", annotations=many_lines(1))
    done = Check("Plumbline", State.CANCELLED, "Superseded", "by 1234567")
    for each in (pending, failed):
        assert forge.put_check(revision, each)
    assert [each.title for each in github.checks(revision)] == ["Diverged"]
    assert forge.put_check(revision, done)
    assert [(each.title, each.state) for each in github.checks(revision)] == [
        ("Diverged", State.FAILURE),
        ("Superseded", State.CANCELLED),
    ]
    assert not forge.put_check(revision, done)
    assert forge.put_check(revision, dataclasses.replace(pending, summary="x" * 65_535))


def test_a_deployment_is_made_once_merges_nothing_and_ends_the_one_before(github: GithubRig, forge: Github) -> None:
    first, second = github.tip("main"), github.push("main", {"a.yaml": MANIFEST})
    for revision in (first, second):
        for state, text in ((State.PENDING, "applying"), (State.SUCCESS, "converged")):
            deployment = Deployment("production", revision, "main", state, text, "https://plumbline.example/x")
            assert forge.put_deployment(deployment)
            assert not forge.put_deployment(deployment)
    assert [(each.revision, each.state) for each in github.deployments("production")] == [
        (first, State.CANCELLED),
        (second, State.SUCCESS),
    ]
    assert github.tip("main") == second
    assert len(github.double.deployments) == 2
    assert all(
        body["auto_merge"] is False and body["required_contexts"] == []
        for body in github.double.bodies
        if body and "auto_merge" in body
    )


def test_a_commit_is_the_bots_and_moves_the_branch_only_forward(github: GithubRig, forge: Github) -> None:
    start = github.push("main", {"old.yaml": MANIFEST, "kept.yaml": MANIFEST})
    files = [FileChange("d/größer.yaml", "a: ß\n"), FileChange("old.yaml", None)]
    made = forge.commit("plumbline/rollback#1", start, "Roll back", files)
    assert github.tip("plumbline/rollback#1") == made
    git = github.double.git
    assert git.run("rev-parse", f"{made}^") == start
    assert git.run("ls-tree", "-r", "--name-only", "-z", made).split("\0")[:-1] == [
        "README.md",
        "d/größer.yaml",
        "kept.yaml",
    ]
    assert git.run("log", "-1", "--format=%an: %s", made) == f"{BOT}: Roll back"
    next_one = forge.commit("plumbline/rollback#1", made, "More", [FileChange("kept.yaml", "b: 1\n")])
    assert git.run("rev-parse", f"{next_one}^") == made
    with pytest.raises(Moved):
        forge.commit("plumbline/rollback#1", made, "Late", [FileChange("kept.yaml", "b: 2\n")])
    github.protect("main", [])
    with pytest.raises(Refused, match="pull request"):
        forge.commit("main", start, "Past the protection", [FileChange("kept.yaml", "b: 2\n")])
    with pytest.raises(Refused):
        forge.commit("main", start, "Takes out what is not there", [FileChange("nowhere.yaml", None)])
    assert (github.tip("main"), github.tip("plumbline/rollback#1")) == (start, next_one)


def test_bytes_and_modes_come_into_a_commit_as_they_are(github: GithubRig, forge: Github) -> None:
    start = github.push("main", {"old.yaml": MANIFEST})
    files = [
        FileChange("run.sh", b"#!/bin/sh\n", "100755", ""),
        FileChange("logo", b"\xff\x00\xfe", was=""),
        FileChange("tool", b"\x7fELF\xff", "100755", ""),
    ]
    made = forge.commit("plumbline/rollback", start, "Roll back", files)
    assert [forge.file(made, each.path) for each in files] == [each.content for each in files]
    listed = github.double.git.run("ls-tree", made).splitlines()
    assert {line.split("\t")[1]: line[:6] for line in listed} == {
        "README.md": "100644", "logo": "100644", "old.yaml": "100644", "run.sh": "100755", "tool": "100755",
    }  # fmt: skip


def test_a_branch_that_moves_while_a_commit_is_made_is_not_overwritten(github: GithubRig, forge: Github) -> None:
    start = github.tip("main")

    def somebody_is_faster(method: str, path: str) -> None:
        if method == "POST" and path.endswith("/git/commits") and github.tip("main") == start:
            github.push("main", {"theirs.yaml": MANIFEST})

    github.double.fault = somebody_is_faster
    with pytest.raises(Moved):
        forge.commit("main", start, "Late", [FileChange("a.yaml", "b: 2\n")])
    assert github.double.git.read(github.tip("main"), "theirs.yaml") == MANIFEST.encode()


def test_a_pull_request_of_ours_is_opened_once(github: GithubRig, forge: Github) -> None:
    forge.commit("plumbline/rollback", github.tip("main"), "Roll back", [FileChange("a.yaml", MANIFEST)])
    first = forge.open_change_request("plumbline/rollback", "main", "Roll back", "because")
    assert forge.open_change_request("plumbline/rollback", "main", "Roll back", "because") == first
    assert first.author.login == BOT
    assert len(github.double.requests) == 1
    for _ in "twice":
        forge.close_change_request(first.number)
    closed = forge.change_request(first.number)
    assert closed is not None
    assert closed.state is RequestState.CLOSED
    with pytest.raises(Refused):
        forge.open_change_request("nowhere", "main", "Roll back", "because")


def test_the_app_is_a_bot_user_and_its_token_may_do_no_more_than_it_needs(github: GithubRig, forge: Github) -> None:
    assert forge.me() == Person("2", BOT)
    assert forge.me() == Person("2", BOT)
    assert [path for _, path in github.requests()].count("/app") == 1
    ((_, permissions),) = github.double.tokens.values()
    assert permissions == {
        "checks": "write", "contents": "write", "deployments": "write", "metadata": "read", "pull_requests": "write", "statuses": "write",
    }  # fmt: skip


def test_what_the_app_may_is_said_and_what_is_missing_too(github: GithubRig, forge: Github) -> None:
    assert all(grant.is_granted for grant in forge.grants())
    del github.double.given["checks"]
    github.double.given["deployments"] = "read"
    missing = {grant.name: grant.purpose for grant in forge.grants() if not grant.is_granted}
    assert set(missing) == {"checks: write", "deployments: write"}
    assert forge.put_status(github.tip("main"), Status("plumbline/x", State.SUCCESS, "so")), "the rest goes on"


def test_a_token_of_a_user_does_what_the_app_does_but_checks(tmp_path: Path) -> None:
    rig = GithubRig(tmp_path / "token", with_app=False)
    forge = Github.of(rig.declared, rig.repository, rig.credentials)
    number = opened(rig)
    assert forge.me() == Person("3", "plumber")
    assert forge.put_comment(number, MARKER, f"{MARKER}\nours")
    assert forge.put_status(rig.tip("main"), Status("plumbline/x", State.SUCCESS, "so"))
    assert not forge.limits.checks
    assert not forge.put_check(rig.tip("main"), Check("Plumbline", State.SUCCESS, "a", "b"))
    assert {grant.is_granted for grant in forge.grants()} == {True, False, None}
    rig.double.roles["plumber"] = "read"
    assert not any(grant.is_granted for grant in forge.grants() if grant.name == "statuses: write")
    rig.close()
    assert rig.double.faults == []


@pytest.fixture
def listener() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """An address that takes every delivery with 202."""
    taken: list[tuple[dict[str, str], bytes]] = []

    class Own(Handler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.append((dict(self.headers.items()), body))
            self.send_response(202)
            self.end_headers()

    server = LoopbackServer(Own)
    yield f"{server.address}/webhooks/github", taken
    server.close()


def test_the_doubles_webhooks_are_signed_and_told_in_order_and_redelivered_the_same(
    github: GithubRig, forge: Github, listener: tuple[str, list[tuple[dict[str, str], bytes]]]
) -> None:
    github.listen(listener[0])
    number = opened(github)
    name = github.say(number, "/plan")
    forge.put_comment(number, MARKER, f"{MARKER}\nours")
    github.edit(number, title="Another")
    github.merge(number)
    assert [each.code for each in github.deliveries()] == [202] * 7
    assert github.redeliver(0).code == 202
    hints = []
    for headers, body in listener[1]:
        github_door.verify(headers, body, github.webhook_secret, 0)
        hints.append(github_door.read(headers, body))
    shown = [(each.branch, each.number, each.comment) if isinstance(each, Hint) else None for each in hints]
    assert shown == [
        ("wip", None, ""), ("", number, ""), ("", number, name), None, ("", number, ""), ("main", None, ""), ("", number, ""),
        ("wip", None, ""),
    ]  # fmt: skip
    first, last = hints[0], hints[-1]
    assert first is not None
    assert last is not None
    assert first == last, "a redelivery has the delivery's own id"
    wrong = hmac.new(b"another", listener[1][0][1], hashlib.sha256).hexdigest()
    with pytest.raises(Rejected):
        github_door.verify(
            {**listener[1][0][0], "X-Hub-Signature-256": f"sha256={wrong}"}, listener[1][0][1], github.webhook_secret, 0
        )


def test_a_key_that_is_no_key_is_said_before_anything_is_sent(github: GithubRig) -> None:
    with pytest.raises(Refused, match="PEM") as refused:
        Github.of(github.declared, github.repository, Credentials(None, "1", SecretText("not a key " + TOKEN)))
    assert TOKEN not in str(refused.value)
    assert github.requests() == []
