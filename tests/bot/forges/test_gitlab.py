"""The GitLab adapter, by the real python-gitlab, on a double over real git: what it says, writes, and leaves alone."""

from __future__ import annotations

import json
import pathlib
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any

import pytest

from bot.forges import gitlab_values as values
from bot.forges.gitlab import GitLab
from bot.forges.port import (
    Check,
    Deployment,
    FileChange,
    Forge,
    NotPermitted,
    Permission,
    Person,
    RecentComments,
    RequestState,
    State,
    Status,
)
from sandbox.processes import free_port
from tests.doubles.contracts import CONTRACTS
from tests.doubles.forge_rig import MergeRefused
from tests.doubles.gitlab import Fault, Refusal
from tests.doubles.gitlab_rig import BOT, GitLabRig
from worker.domain.errors import Moved, Refused, Unavailable

MARKER = "<!-- plumbline:default:prediction -->"
ABSENT = "f" * 40


@pytest.fixture
def rig(tmp_path: pathlib.Path) -> Iterator[GitLabRig]:
    made = GitLabRig(tmp_path / "gitlab")
    yield made
    made.close()


@pytest.fixture
def forge(rig: GitLabRig) -> Forge:
    made = GitLab.of(rig.declared, rig.repository, rig.credentials)
    made.me()
    rig.double.requests.clear()
    return made


def opened(rig: GitLabRig, branch: str = "feature") -> tuple[int, str]:
    head = rig.push(branch, {f"{branch}.yaml": "kind: ConfigMap\n"})
    return rig.open(branch), head


def writes(rig: GitLabRig) -> list[tuple[str, str]]:
    return [each for each in rig.requests() if each[0] not in {"GET", "HEAD"}]


# Reading.


def test_a_merge_request_is_read_as_it_is_now(rig: GitLabRig, forge: Forge) -> None:
    number, head = opened(rig)
    found = forge.change_request(number)
    assert found == rig.change_request(number)
    assert found is not None
    assert (found.state, found.head, found.base, found.author.login) == (RequestState.OPEN, head, "main", "ada")
    assert (found.is_draft, found.is_from_fork, found.merged_as) == (False, False, "")
    assert rig.project.git("rev-parse", found.head_ref) == head
    moved = rig.push("feature", {"more.yaml": "kind: Secret\n"})
    rig.edit(number, is_draft=True, base="release")
    again = forge.change_request(number)
    assert again is not None
    assert (again.head, again.is_draft, again.base) == (moved, True, "release")
    assert rig.project.git("rev-parse", again.head_ref) == moved
    assert forge.change_request(99) is None


def test_a22_a_fork_is_told_from_a_branch_and_its_head_is_in_the_base_repository(rig: GitLabRig, forge: Forge) -> None:
    number = rig.open_from_fork({"evil.yaml": "kind: Pod\n"})
    found = forge.change_request(number)
    assert found is not None
    assert found.is_from_fork
    assert rig.project.git("rev-parse", found.head_ref) == found.head
    rig.double.merge_requests[number]["source_project_id"] = None
    deleted = forge.change_request(number)
    assert deleted is not None
    assert deleted.is_from_fork


def test_a_merge_request_whose_head_is_not_known_yet_is_asked_for_again(rig: GitLabRig, forge: Forge) -> None:
    first, _ = opened(rig)
    second, _ = opened(rig, "other")
    rig.double.merge_requests[first]["sha"] = None
    with pytest.raises(Unavailable, match="still preparing") as raised:
        forge.change_request(first)
    assert raised.value.retry_after == 2
    assert [each.number for each in forge.open_change_requests()] == [second]


@pytest.mark.parametrize("method", ["merge", "squash", "rebase"])
def test_a_commit_leads_to_the_merge_request_whose_merge_made_it(rig: GitLabRig, forge: Forge, method: str) -> None:
    number, head = opened(rig)
    assert forge.merged_as(head) is None
    if method != "rebase":
        rig.push("main", {"other.txt": "moved\n"})
    made = rig.merge(number, method=method)
    found = forge.merged_as(made)
    assert found is not None
    assert (found.number, found.state, found.merged_as) == (number, RequestState.MERGED, made)
    assert rig.tip("main") == made
    if method == "merge":
        assert forge.merged_as(head) is None
    assert forge.merged_as(ABSENT) is None


def test_every_branch_and_every_open_merge_request_is_seen_over_many_pages(rig: GitLabRig, forge: Forge) -> None:
    tip = rig.tip("main")
    made = "".join(f"create refs/heads/b{number} {tip}\n" for number in range(130))
    rig.project.git("update-ref", "--stdin", data=made.encode())
    assert forge.tips() == {"main": tip, **{f"b{number}": tip for number in range(130)}}
    assert len(rig.requests()) == 2
    for number in range(105):
        rig.open(f"b{number}")
    rig.close_request(3)
    assert len(forge.open_change_requests()) == 104


def test_a_file_is_read_to_the_byte_and_none_where_there_is_none(rig: GitLabRig, forge: Forge) -> None:
    commit = rig.push("main", {"clusters/a b/ü.yaml": "one\n\n\n", "empty": ""})
    assert forge.file(commit, "clusters/a b/ü.yaml") == b"one\n\n\n"
    assert forge.file(commit, "empty") == b""
    assert forge.file(commit, "clusters") is None
    assert forge.file(commit, "../../etc/passwd") is None
    assert forge.file(ABSENT, "empty") is None


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        (None, Permission.NONE),
        ({"access_level": 5}, Permission.NONE),
        ({"access_level": 10}, Permission.READ),
        ({"access_level": 15}, Permission.READ),
        ({"access_level": 20}, Permission.READ),
        ({"access_level": 25}, Permission.READ),
        ({"access_level": 30}, Permission.WRITE),
        ({"access_level": 40}, Permission.ADMIN),
        ({"access_level": 50}, Permission.ADMIN),
        ({"access_level": 50, "state": "blocked"}, Permission.NONE),
        ({"access_level": 50, "membership_state": "awaiting"}, Permission.NONE),
        ({"access_level": 50, "expires_at": "2020-01-01"}, Permission.NONE),
        ({"access_level": 30, "expires_at": "2999-01-01"}, Permission.WRITE),
        ({"access_level": "50"}, Permission.NONE),
    ],
)
def test_a14_permission_is_what_the_forge_says_at_that_moment(
    rig: GitLabRig, forge: Forge, member: dict[str, object] | None, expected: Permission
) -> None:
    user = rig.double.user("grace")
    rig.project.members[user["id"]] = {"access_level": 50}
    person = Person(str(user["id"]), "grace")
    assert forge.permission(person) is Permission.ADMIN
    if member is None:
        del rig.project.members[user["id"]]
    else:
        rig.project.members[user["id"]] = member
    assert forge.permission(person) is expected


def test_a14_nobody_is_permitted_by_a_name_or_while_the_forge_fails(rig: GitLabRig, forge: Forge) -> None:
    assert forge.permission(Person("../1", "ada")) is Permission.NONE
    assert rig.requests() == ()
    rig.double.fault = lambda _method, path: Fault(502) if "members" in path else None
    with pytest.raises(Unavailable):
        forge.permission(Person("1", "ada"))


def test_a14_who_is_in_a_group_is_its_active_member_now_by_the_account_s_id(rig: GitLabRig, forge: Forge) -> None:
    user = rig.double.user("grace")
    grace = Person(str(user["id"]), "grace")
    rig.double.groups["acme/sre"] = {user["id"]: {"access_level": 10, "expires_at": None}}
    assert forge.is_in_team(grace, "acme/sre")
    assert forge.is_in_team(Person(grace.id, "renamed"), "acme/sre")
    assert not forge.is_in_team(Person("424242", "grace"), "acme/sre"), "the login is somebody else's by now"
    for unknown in ("acme", "sre", "acme/sre/x", "acme/../sre"):
        assert not forge.is_in_team(grace, unknown), unknown
    for ended in ({"expires_at": "2020-01-01"}, {"membership_state": "awaiting"}, {"access_level": 0}):
        rig.double.groups["acme/sre"][user["id"]] = {"access_level": 50, "expires_at": None, **ended}
        assert not forge.is_in_team(grace, "acme/sre"), ended
    del rig.double.groups["acme/sre"][user["id"]]
    assert not forge.is_in_team(grace, "acme/sre"), "it is asked anew each time"
    rig.double.requests.clear()
    assert not forge.is_in_team(Person("../1", "grace"), "acme/sre")
    assert rig.requests() == ()
    rig.double.fault = lambda _method, path: Fault(502) if "members" in path else None
    with pytest.raises(Unavailable):
        forge.is_in_team(grace, "acme/sre")


def test_a15_a_comment_is_read_with_its_author_and_whether_it_was_edited(rig: GitLabRig, forge: Forge) -> None:
    number, _ = opened(rig)
    ident = rig.say(number, "/rollback production", login="grace")
    found = forge.comment(number, ident)
    assert found is not None
    assert (found.author.login, found.body, found.is_edited) == ("grace", "/rollback production", False)
    rig.edit_comment(number, ident, "/rollback staging")
    edited = forge.comment(number, ident)
    assert edited is not None
    assert edited.is_edited
    assert forge.comment(number, "424242") is None
    assert forge.comment(number, "../../1") is None


def test_f03_what_was_said_lately_is_read_off_the_events_newest_first(rig: GitLabRig, forge: Forge) -> None:
    assert forge.recent_comments(1.0) == RecentComments((), 0.0)
    first, _ = opened(rig)
    second, _ = opened(rig, "other")
    old = rig.say(first, "/status")
    comment = forge.comment(first, old)
    assert comment is not None
    assert abs(comment.created - time.time()) < 60
    rig.merge(second)
    rig.edit(first, title="GitLab notes that itself")
    gone = rig.say(first, "/retry")
    rig.delete_comment(first, gone)
    late = rig.say(second, "/rollback production", login="grace")
    rig.double.requests.clear()
    found = forge.recent_comments(comment.created)
    assert [(number, each.id) for number, each in found.said] == [(second, late), (first, old)]
    assert found.said[0][1].author.login == "grace"
    assert found.until == found.said[0][1].created
    assert not found.is_cut
    assert len(rig.requests()) == 1, "one request"
    assert [each.id for _, each in forge.recent_comments(found.until).said] == [late]
    assert forge.recent_comments(found.until + 1) == RecentComments((), found.until)


def test_f48_what_was_said_lately_is_read_over_pages_and_no_further_back(
    rig: GitLabRig, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, _ = opened(rig)
    said = [rig.say(number, f"word {each}") for each in range(250)]
    begin = forge.comment(number, said[120])
    assert begin is not None
    rig.double.requests.clear()
    assert [each.id for _, each in forge.recent_comments(begin.created).said] == said[120:][::-1]
    assert len(rig.requests()) == 2
    monkeypatch.setattr("bot.forges.gitlab.MOST_COMMENTS", 30)
    found = forge.recent_comments(1.0)
    assert [each.id for _, each in found.said] == said[-30:][::-1]
    assert found.is_cut


@pytest.mark.parametrize(
    "change", [{"noteable_type": "Issue"}, {"internal": True}, {"confidential": True}, {"system": True}]
)
def test_comments_elsewhere_and_internal_ones_are_not_among_them(
    rig: GitLabRig, forge: Forge, change: dict[str, Any]
) -> None:
    number, _ = opened(rig)
    rig.say(number, "/status")
    rig.double.notes[number][0].update(change)
    found = forge.recent_comments(1.0)
    assert found.said == ()
    assert found.until > 1, "it is read on from there all the same"


def test_a_receipt_is_ours_alone_and_found_again(rig: GitLabRig, forge: Forge) -> None:
    number, _ = opened(rig)
    ident = rig.say(number, "/status")
    rig.double.awards[int(ident)] = [{"name": "eyes", "user": rig.double.user("ada")}]
    assert not forge.is_received(number, ident)
    assert forge.react(number, ident)
    assert forge.is_received(number, ident)
    assert not forge.react(number, ident)


def test_a16_gitlabs_own_notes_are_no_comments(rig: GitLabRig, forge: Forge) -> None:
    number, _ = opened(rig)
    rig.edit(number, title="/rollback production")
    note = next(each for each in rig.double.notes[number] if each["system"])
    assert forge.comment(number, str(note["id"])) is None


# Comments.


def test_one_comment_is_written_then_edited_and_left_alone_where_nothing_changed(rig: GitLabRig, forge: Forge) -> None:
    number, _ = opened(rig)
    assert forge.put_comment(number, MARKER, f"{MARKER}\none")
    assert forge.put_comment(number, MARKER, f"{MARKER}\ntwo")
    before = len(rig.requests())
    assert not forge.put_comment(number, MARKER, f"{MARKER}\ntwo")
    assert [method for method, _ in rig.requests()[before:]] == ["GET"]
    assert [(each.author.login, each.body) for each in rig.comments(number)] == [(BOT, f"{MARKER}\ntwo")]


def test_a54_somebody_elses_comment_with_our_marker_is_not_ours(rig: GitLabRig, forge: Forge) -> None:
    number, _ = opened(rig)
    rig.say(number, f"{MARKER} gotcha")
    assert forge.put_comment(number, MARKER, f"{MARKER} ours")
    assert [(each.author.login, each.body) for each in rig.comments(number)] == [
        ("ada", f"{MARKER} gotcha"),
        (BOT, f"{MARKER} ours"),
    ]


def test_f48_our_comment_is_found_behind_three_hundred_others(rig: GitLabRig, forge: Forge) -> None:
    number, _ = opened(rig)
    for each in range(150):
        rig.say(number, f"chat {each}")
    assert forge.put_comment(number, MARKER, f"{MARKER} one")
    for each in range(150):
        rig.say(number, f"more {each}")
    before = len(rig.requests())
    assert forge.put_comment(number, MARKER, f"{MARKER} two")
    assert [method for method, _ in rig.requests()[before:]] == ["PUT"], "one that is known is not searched for"
    forge.forget()
    before = len(rig.requests())
    assert forge.put_comment(number, MARKER, f"{MARKER} three")
    assert [method for method, _ in rig.requests()[before:]] == ["GET", "GET", "PUT"]
    assert [each.body for each in rig.comments(number) if MARKER in each.body] == [f"{MARKER} three"]


def test_f48_a_comment_that_was_deleted_or_edited_by_somebody_is_put_right(rig: GitLabRig, forge: Forge) -> None:
    number, _ = opened(rig)
    body = f"{MARKER}\nprediction"
    forge.put_comment(number, MARKER, body)
    rig.edit_comment(number, rig.comments(number)[0].id, f"{MARKER}\nforged")
    assert forge.put_comment(number, MARKER, body)
    assert [each.body for each in rig.comments(number)] == [body]
    rig.delete_comment(number, rig.comments(number)[0].id)
    assert forge.put_comment(number, MARKER, body)
    assert [each.body for each in rig.comments(number)] == [body]


def test_f46_an_answer_that_was_lost_makes_no_second_comment(rig: GitLabRig, forge: Forge) -> None:
    number, _ = opened(rig)
    rig.double.fault = lambda method, _path: Fault(0, is_taken=True) if method == "POST" else None
    with pytest.raises(Unavailable):
        forge.put_comment(number, MARKER, f"{MARKER} one")
    rig.double.fault = lambda _method, _path: None
    assert not forge.put_comment(number, MARKER, f"{MARKER} one")
    assert len(rig.comments(number)) == 1
    assert len(writes(rig)) == 1


def test_a_comment_beyond_gitlabs_limit_is_refused_in_words(rig: GitLabRig, forge: Forge) -> None:
    number, _ = opened(rig)
    with pytest.raises(Refused, match="too long"):
        forge.put_comment(number, MARKER, MARKER + "x" * forge.limits.comment)
    body = MARKER + "x" * (forge.limits.comment - len(MARKER))
    assert forge.put_comment(number, MARKER, body)


# Statuses.


def test_a_status_goes_from_pending_to_its_end_and_is_not_written_twice(rig: GitLabRig, forge: Forge) -> None:
    head = rig.tip("main")
    pending = Status(
        "plumbline/converge/production", State.PENDING, "Applying 2 of 12 objects", "https://bot.example/p"
    )
    success = Status(pending.context, State.SUCCESS, "Converged in 4.1 s", "https://bot.example/p")
    assert forge.put_status(head, pending)
    assert forge.put_status(head, success)
    before = len(rig.requests())
    assert not forge.put_status(head, success)
    assert [method for method, _ in rig.requests()[before:]] == ["GET"]
    assert rig.statuses(head) == {pending.context: success}
    assert rig.status_count(head) == 1


def test_a_fork_s_commit_which_is_on_no_branch_has_its_statuses_too(rig: GitLabRig, forge: Forge) -> None:
    number = rig.open_from_fork({"app/a.yaml": "a: 2\n"})
    head = rig.change_request(number).head
    assert forge.put_status(head, Status("plumbline/predict", State.PENDING, "From a fork"))
    assert not forge.put_status(head, Status("plumbline/predict", State.PENDING, "From a fork"))
    assert forge.put_status(head, Status("plumbline/predict", State.SUCCESS, "No change"))
    assert [each.state for each in rig.history(head)] == [State.PENDING, State.SUCCESS]
    assert len([each for each in rig.double.pipelines if each["sha"] == head]) == 1
    with pytest.raises(Refused):
        forge.put_status("0" * 40, Status("plumbline/predict", State.PENDING, "Nowhere"))


def test_a_status_that_stays_in_its_state_takes_the_new_text(rig: GitLabRig, forge: Forge) -> None:
    head = rig.tip("main")
    assert forge.put_status(head, Status("plumbline/predict", State.PENDING, "Queued"))
    assert forge.put_status(head, Status("plumbline/predict", State.PENDING, "Rendering"))
    assert rig.statuses(head)["plumbline/predict"].text == "Rendering"
    assert not forge.put_status(head, Status("plumbline/predict", State.PENDING, "Rendering"))


@pytest.mark.parametrize(
    ("state", "word", "shown"),
    [
        (State.PENDING, "pending", State.PENDING),
        (State.SUCCESS, "success", State.SUCCESS),
        (State.FAILURE, "failed", State.FAILURE),
        (State.ERROR, "failed", State.FAILURE),
        (State.CANCELLED, "canceled", State.CANCELLED),
    ],
)
def test_every_state_has_gitlabs_word(rig: GitLabRig, forge: Forge, state: State, word: str, shown: State) -> None:
    head = rig.tip("main")
    forge.put_status(head, Status("x", state, "text"))
    assert rig.double.statuses[-1]["status"] == word
    assert rig.statuses(head)["x"].state is shown


def test_a_success_that_drifts_fails_and_recovers(rig: GitLabRig, forge: Forge) -> None:
    head = rig.tip("main")
    for state in (State.SUCCESS, State.FAILURE, State.PENDING, State.SUCCESS):
        assert forge.put_status(head, Status("x", state, str(state)))
        assert rig.statuses(head)["x"].state is state


def test_statuses_go_into_the_newest_pipeline_of_the_commit(rig: GitLabRig, forge: Forge) -> None:
    _, head = opened(rig)
    status = Status("plumbline/predict", State.SUCCESS, "1 change")
    forge.put_status(head, status)
    newer = rig.double.pipeline(head, "refs/merge-requests/1/head", "merge_request_event")
    job = {"id": rig.double.number(), "sha": head, "ref": newer["ref"], "name": "test", "status": "success"}
    rig.double.statuses.append({**job, "pipeline_id": newer["id"], "description": None, "target_url": None})
    assert forge.put_status(head, status)
    assert {row["name"] for row in rig.double.statuses if row["pipeline_id"] == newer["id"]} == {
        "test",
        "plumbline/predict",
    }
    assert not forge.put_status(head, status)


def test_a_text_longer_than_gitlab_takes_is_cut(rig: GitLabRig, forge: Forge) -> None:
    head = rig.tip("main")
    assert forge.put_status(head, Status("x", State.SUCCESS, "é" * 300))
    assert len(rig.statuses(head)["x"].text) == forge.limits.description == 255
    assert not forge.put_status(head, Status("x", State.SUCCESS, "é" * 300))


def test_f46_a_status_whose_answer_was_lost_is_not_written_again(rig: GitLabRig, forge: Forge) -> None:
    head = rig.tip("main")
    status = Status("x", State.SUCCESS, "done")
    rig.double.fault = lambda method, _path: Fault(0, is_taken=True) if method == "POST" else None
    with pytest.raises(Unavailable):
        forge.put_status(head, status)
    rig.double.fault = lambda _method, _path: None
    assert not forge.put_status(head, status)
    assert rig.status_count(head) == 1


def test_f48_a_status_among_a_thousand_others_is_found(rig: GitLabRig, forge: Forge) -> None:
    head = rig.tip("main")
    forge.put_status(head, Status("ours", State.SUCCESS, "done"))
    first = rig.double.statuses[0]
    rig.double.statuses.extend({**first, "id": rig.double.number(), "name": f"job {each}"} for each in range(1_000))
    assert not forge.put_status(head, Status("ours", State.SUCCESS, "done"))
    assert rig.status_count(head) == 1_001


def test_a_lock_is_waited_out_shortly_and_one_that_stays_is_told(rig: GitLabRig, forge: Forge) -> None:
    head = rig.tip("main")
    locks = iter([Fault(409, {"Content-Type": "application/json"}, b'{"message": "409 Conflict: Resource lock"}')] * 2)
    rig.double.fault = lambda method, _path: next(locks, None) if method == "POST" else None
    assert forge.put_status(head, Status("x", State.SUCCESS, "done"))
    assert rig.status_count(head) == 1
    assert len(writes(rig)) == 3
    rig.double.fault = lambda method, _path: (
        Fault(409, {"Content-Type": "application/json"}, b"{}") if method == "POST" else None
    )
    with pytest.raises(Unavailable) as raised:
        forge.put_status(head, Status("x", State.FAILURE, "no"))
    assert raised.value.retry_after == 2
    assert rig.statuses(head)["x"].state is State.SUCCESS


def test_a_required_pipeline_lets_nothing_be_merged_before_our_status_is_green(rig: GitLabRig, forge: Forge) -> None:
    rig.protect("main", ["plumbline/predict"])
    number, head = opened(rig)
    with pytest.raises(MergeRefused):
        rig.merge(number)
    forge.put_status(head, Status("plumbline/predict", State.FAILURE, "not valid"))
    with pytest.raises(MergeRefused):
        rig.merge(number)
    forge.put_status(head, Status("plumbline/predict", State.SUCCESS, "1 change"))
    assert rig.merge(number) == rig.tip("main")


# Deployments.


def deployment(revision: str, state: State) -> Deployment:
    return Deployment("production", revision, "main", state, "text", "https://bot.example/environments/production")


def test_a_deployment_runs_and_ends_and_is_not_written_twice(rig: GitLabRig, forge: Forge) -> None:
    head = rig.tip("main")
    assert forge.put_deployment(deployment(head, State.PENDING))
    assert not forge.put_deployment(deployment(head, State.PENDING))
    assert forge.put_deployment(deployment(head, State.SUCCESS))
    assert not forge.put_deployment(deployment(head, State.SUCCESS))
    shown = rig.deployments("production")
    assert [(each.revision, each.state, each.branch) for each in shown] == [(head, State.SUCCESS, "main")]
    assert shown[0].link == "https://bot.example/environments/production"
    assert forge.put_deployment(deployment(head, State.FAILURE))
    assert [each.state for each in rig.deployments("production")] == [State.FAILURE]


def test_gitlab_has_no_checks(rig: GitLabRig, forge: Forge) -> None:
    assert not forge.limits.checks
    assert not forge.put_check(rig.tip("main"), Check("c", State.SUCCESS, "t", "s"))
    assert rig.requests() == ()


def test_an_environments_own_address_is_left_alone(rig: GitLabRig, forge: Forge) -> None:
    rig.double.environments.append({"id": 1, "name": "production", "external_url": "https://shop.example"})
    assert forge.put_deployment(deployment(rig.tip("main"), State.PENDING))
    assert rig.deployments("production")[0].link == "https://shop.example"


def test_a_rollback_and_a_superseded_revision_are_deployments_of_their_own(rig: GitLabRig, forge: Forge) -> None:
    first = rig.tip("main")
    second = rig.push("main", {"a": "2\n"})
    steps = [
        (first, State.PENDING, True), (second, State.PENDING, True), (first, State.CANCELLED, True),
        (first, State.CANCELLED, False), (second, State.SUCCESS, True), (first, State.SUCCESS, True),
        (first, State.SUCCESS, False), (first, State.PENDING, True),
    ]  # fmt: skip
    for revision, state, wrote in steps:
        assert forge.put_deployment(deployment(revision, state)) is wrote
    assert [(each.revision, each.state) for each in rig.deployments("production")] == [
        (first, State.CANCELLED), (second, State.SUCCESS), (first, State.SUCCESS), (first, State.PENDING),
    ]  # fmt: skip


# Commits and merge requests of our own.


def test_a_commit_changes_files_on_a_branch_and_on_a_new_one(rig: GitLabRig, forge: Forge) -> None:
    onto = rig.push("main", {"a.yaml": "1\n", "b.yaml": "1\n"})
    changes = [FileChange("a.yaml", "2\n"), FileChange("b.yaml", None), FileChange("c/d.yaml", "new\n")]
    for branch in ("main", "plumbline/rollback-production"):
        made = forge.commit(branch, onto, "Roll back", changes)
        assert rig.tip(branch) == made
        assert rig.project.git("rev-parse", f"{made}^") == onto
        assert rig.project.git("show", "-s", "--format=%an %s", made) == "Plumbline-Bot Roll back"
        assert [forge.file(made, name) for name in ("a.yaml", "b.yaml", "c/d.yaml")] == [b"2\n", None, b"new\n"]


def test_bytes_and_modes_come_into_a_commit_as_they_are(rig: GitLabRig, forge: Forge) -> None:
    files = [FileChange("run.sh", b"#!/bin/sh\n", "100755", ""), FileChange("logo", b"\xff\x00\xfe", was="")]
    made = forge.commit("plumbline/rollback", rig.tip("main"), "Roll back", files)
    assert [forge.file(made, each.path) for each in files] == [each.content for each in files]
    assert rig.project.git("ls-tree", made, "run.sh")[:6] == "100755"
    assert rig.project.git("ls-tree", made, "logo")[:6] == "100644"


def test_a_branch_that_moved_takes_no_commit(rig: GitLabRig, forge: Forge) -> None:
    old = rig.tip("main")
    tip = rig.push("main", {"a.yaml": "1\n"})
    with pytest.raises(Moved, match="branch main"):
        forge.commit("main", old, "late", [FileChange("x", "1\n")])
    assert rig.tip("main") == tip
    assert writes(rig) == []


def test_a_file_that_moved_between_look_and_write_takes_no_commit(rig: GitLabRig, forge: Forge) -> None:
    onto = rig.push("main", {"a.yaml": "1\n"})
    faster: list[str] = []

    def push_first(method: str, path: str) -> None:
        if method == "POST" and path.endswith("/repository/commits") and not faster:
            faster.append(rig.push("main", {"a.yaml": "theirs\n"}))

    rig.double.fault = push_first
    with pytest.raises(Moved):
        forge.commit("main", onto, "ours", [FileChange("a.yaml", "ours\n")])
    assert rig.tip("main") == faster[0]
    with pytest.raises(Moved):
        forge.commit("main", onto, "ours", [FileChange("a.yaml", "ours\n")])


def test_a_branch_that_somebody_made_meanwhile_takes_no_commit(rig: GitLabRig, forge: Forge) -> None:
    onto = rig.tip("main")

    def make_it_first(method: str, _path: str) -> None:
        if method == "POST":
            rig.project.git("update-ref", "refs/heads/new", onto)

    rig.double.fault = make_it_first
    with pytest.raises(Moved):
        forge.commit("new", onto, "ours", [FileChange("a.yaml", "ours\n")])
    assert rig.tip("new") == onto


def test_a_protected_branch_is_refused_with_the_permission_that_is_missing(rig: GitLabRig, forge: Forge) -> None:
    rig.protect("main", [])
    tip = rig.tip("main")
    with pytest.raises(NotPermitted, match="not allowed to push"):
        forge.commit("main", tip, "x", [FileChange("x", "1\n")])
    assert rig.tip("main") == tip
    with pytest.raises(Refused, match="cannot be deleted"):
        forge.commit("other", tip, "x", [FileChange("nowhere", None)])


def test_a_change_request_is_opened_once(rig: GitLabRig, forge: Forge) -> None:
    onto = rig.tip("main")
    forge.commit("plumbline/image", onto, "New image", [FileChange("a.yaml", "1\n")])
    first = forge.open_change_request("plumbline/image", "main", "New image", "why")
    second = forge.open_change_request("plumbline/image", "main", "New image", "why")
    assert (first.number, first.author.login, first.base) == (second.number, BOT, "main")
    assert len(rig.double.merge_requests) == 1
    for _ in "twice":
        forge.close_change_request(first.number)
    closed = forge.change_request(first.number)
    assert closed is not None
    assert closed.state is RequestState.CLOSED
    with pytest.raises(Refused, match="Source branch does not exist"):
        forge.open_change_request("nowhere", "main", "x", "y")


# How much is asked.


def test_a_prediction_costs_few_requests(rig: GitLabRig, forge: Forge) -> None:
    number, head = opened(rig)

    def predict(text: str) -> int:
        before = len(rig.requests())
        forge.change_request(number)
        forge.put_comment(number, MARKER, f"{MARKER} {text}")
        for context in ("plumbline/predict", "plumbline/predict/production"):
            forge.put_status(head, Status(context, State.SUCCESS, "1 change"))
        return len(rig.requests()) - before

    forge.put_status(head, Status("plumbline/predict", State.PENDING, "Being predicted"))
    assert len(rig.requests()) + predict("one") <= 12
    assert predict("two") <= 6
    assert predict("two") <= 4


# Grants.


def test_the_grants_say_what_will_not_work(rig: GitLabRig, forge: Forge) -> None:
    assert {each.name: each.is_granted for each in forge.grants()} == {
        "read": True, "comment": True, "status": True, "deployment": True, "commit": True, "webhook": False,
    }  # fmt: skip
    rig.permit(BOT, Permission.READ)
    rig.double.tokens = {token: (user, {"read_api"}) for token, (user, _) in rig.double.tokens.items()}
    assert {each.name for each in forge.grants() if each.is_granted} == {"read"}
    with pytest.raises(NotPermitted, match="scope api"):
        forge.put_status(rig.tip("main"), Status("x", State.SUCCESS, "y"))


def test_where_gitlab_does_not_tell_scopes_the_grants_are_unknown(rig: GitLabRig, forge: Forge) -> None:
    missing = Fault(404, {"Content-Type": "application/json"}, b'{"message": "404 Not Found"}')
    rig.double.fault = lambda _method, path: missing if path.endswith("/personal_access_tokens/self") else None
    assert {each.is_granted for each in forge.grants()} == {None, False}


# Faults.


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"Retry-After": "17"}, 17, 17),
        ({"Retry-After": formatdate(time.time() + 90, usegmt=True)}, 1, 3600),
        ({"RateLimit-Reset": "RESET"}, 40, 60),
        ({"Retry-After": "999999"}, 3600, 3600),
        ({"Retry-After": "soon"}, 60, 60),
        ({"Retry-After": "0"}, 1, 1),
        ({}, 60, 60),
    ],
)
def test_f44_a_rate_limit_is_told_with_the_time_to_wait_and_not_slept_through(
    rig: GitLabRig, forge: Forge, headers: dict[str, str], least: float, most: float
) -> None:
    number, _ = opened(rig)
    told = {name: str(int(time.time()) + 60) if value == "RESET" else value for name, value in headers.items()}
    for method in ("GET", "POST"):
        rig.double.fault = lambda verb, _path, failing=method: (
            Fault(429, told, b"Retry later") if verb == failing else None
        )  # type: ignore[misc]
        began = time.monotonic()
        with pytest.raises(Unavailable, match="limits the rate") as raised:
            forge.put_comment(number, MARKER, MARKER)
        assert time.monotonic() - began < 5
        assert raised.value.retry_after is not None
        assert least <= raised.value.retry_after <= most
    assert len(writes(rig)) == 1
    assert rig.comments(number) == []


@pytest.mark.parametrize("code", [500, 502, 503, 504, 520])
def test_f44_a_server_error_is_tried_later_and_a_write_is_sent_once(rig: GitLabRig, forge: Forge, code: int) -> None:
    number, _ = opened(rig)
    rig.double.fault = lambda method, _path: Fault(code, {"Retry-After": "7"}) if method == "POST" else None
    with pytest.raises(Unavailable, match=str(code)) as raised:
        forge.put_comment(number, MARKER, MARKER)
    assert raised.value.retry_after == 7
    assert len(writes(rig)) == 1


def test_f44_a_page_instead_of_json_is_no_answer(rig: GitLabRig, forge: Forge) -> None:
    number, _ = opened(rig)
    rig.double.fault = lambda _method, _path: Fault(200)
    for ask in (forge.tips, forge.open_change_requests, lambda: forge.change_request(number)):
        with pytest.raises(Unavailable, match="page"):
            ask()
    rig.double.fault = lambda _method, _path: Fault(200, {"Content-Type": "application/json"}, b"{half")
    with pytest.raises(Unavailable, match="not JSON"):
        forge.change_request(number)


def test_f44_a_project_that_cannot_be_seen_is_not_taken_for_nothing_there(rig: GitLabRig, forge: Forge) -> None:
    number, _ = opened(rig)
    rig.permit(BOT, Permission.NONE)
    asks: list[Callable[[], object]] = [
        forge.tips, forge.open_change_requests, lambda: forge.change_request(number),
        lambda: forge.file("main", "README.md"), lambda: forge.permission(Person("1", "ada")),
        lambda: forge.merged_as(rig.tip("main")), lambda: forge.comment(number, "1"),
    ]  # fmt: skip
    for ask in asks:
        with pytest.raises(NotPermitted, match="no project acme/shop"):
            ask()


def test_f47_a_revoked_token_is_told_in_words(rig: GitLabRig, forge: Forge) -> None:
    rig.double.tokens.clear()
    with pytest.raises(NotPermitted, match="revoked or has expired") as raised:
        forge.tips()
    assert "glpat" not in str(raised.value)
    assert len(rig.requests()) == 1


def test_f45_a_gitlab_that_is_away_is_tried_later(rig: GitLabRig, forge: Forge) -> None:
    away = GitLab(f"http://127.0.0.1:{free_port()}", "acme/shop", "glpat-x")
    with pytest.raises(Unavailable, match="does not answer"):
        away.tips()
    rig.double.fault = lambda _method, _path: Fault(0)
    with pytest.raises(Unavailable, match="does not answer"):
        forge.tips()
    rig.double.fault = lambda _method, _path: None
    assert forge.tips() == {"main": rig.tip("main")}


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_a53_the_token_does_not_follow_a_redirect(
    rig: GitLabRig, forge: Forge, tmp_path: pathlib.Path, code: int
) -> None:
    canary = GitLabRig(tmp_path / "canary")
    try:
        rig.double.fault = lambda _method, _path: Fault(code, {"Location": f"{canary.double.address}/api/v4/user"})
        with pytest.raises(NotPermitted, match="redirect"):
            forge.tips()
        with pytest.raises(NotPermitted, match="redirect"):
            forge.put_status(rig.tip("main"), Status("x", State.SUCCESS, "y"))
        assert canary.requests() == ()
    finally:
        canary.close()


def test_a53_a_next_page_elsewhere_is_not_followed(rig: GitLabRig, forge: Forge, tmp_path: pathlib.Path) -> None:
    canary = GitLabRig(tmp_path / "canary")
    try:
        branches = "/api/v4/projects/acme%2Fshop/repository/branches?page=2"
        away = {"Content-Type": "application/json", "Link": f'<{canary.double.address}{branches}>; rel="next"'}
        first = iter([Fault(200, away, b'[{"name": "b", "commit": {"id": "c"}}]')])
        rig.double.fault = lambda _method, _path: next(first, None)
        assert forge.tips() == {"b": "c"}
        assert [path for _, path in rig.requests()][1:] == [branches]
        assert canary.requests() == ()
    finally:
        canary.close()


# GitLab's own samples.


def sample(name: str) -> dict[str, object]:
    value: dict[str, object] = json.loads((CONTRACTS / "gitlab/rest-samples" / name).read_text())
    return value


@pytest.mark.parametrize(
    ("name", "number", "state", "head", "merged_as"),
    [
        ("gitlab4j/merge-request.json", 1, RequestState.MERGED, "2be7ddb704c7b6b83732fdd5b9f09d5a397b5f8f", "37a1f246848c3dc2bb82964a183417e2e72fe1a7"),
        ("atlantis/gitlab-get-merge-request.json", 8, RequestState.OPEN, "0b4ac85ea3063ad5f2974d10cd68dd1f937aaac2", ""),
        ("atlantis/gitlab-get-merge-request-subgroup.json", 2, RequestState.OPEN, "901d9770ef1a6862e2a73ec1bacc73590abb9aff", ""),
    ],
)  # fmt: skip
def test_gitlabs_samples_of_merge_requests_are_read(
    name: str, number: int, state: RequestState, head: str, merged_as: str
) -> None:
    found = values.change_request(sample(name))
    assert (found.number, found.state, found.head, found.merged_as) == (number, state, head, merged_as)


def test_gitlabs_samples_of_everything_else_are_read() -> None:
    note = values.comment(sample("gitlab4j/merge-request-note.json"))
    assert (note.id, note.author, note.body, note.is_edited) == ("301", Person("1", "pipin"), "Comment for MR", False)
    assert values.comment(sample("gitlab4j/note.json")).is_edited
    members = json.loads((CONTRACTS / "gitlab/rest-samples/gitlab4j/members.json").read_text())
    assert [values.permission(each, "2012-10-21") for each in members] == [Permission.WRITE] * 3
    assert [values.permission(each, "2012-10-22") for each in members] == [Permission.NONE] * 3
    assert values.person(sample("gitlab4j/user.json")) == Person("1", "john_smith")
    status = sample("gitlab4j/commit-status.json")
    assert values.pipeline_of([status]) == {"pipeline_id": 15641, "ref": "cccct"}
    link = "https://example.com/ext/6b9fec60e107f1f323dfa6674b317facd996cb0a/"
    said = values.status_content(Status("extci", State.FAILURE, "External check", link))
    assert values.said_in([status], values.pipeline_of([status])) == {"extci": (values.status_words(said), None)}
    assert not values.said_in([status], {"pipeline_id": 15642, "ref": "cccct"}), "another pipeline's counts"
    deployed = sample("gitlab4j/deployment.json")
    assert values.deployment_step([{**deployed, "status": "success"}], str(deployed["sha"]), "success") == (
        "nothing",
        42,
    )
    token = sample("gitlab4j/personal-access-token.json")
    assert all(each.is_granted for each in values.grants(set(token["scopes"]), 40))  # type: ignore[call-overload]


def test_the_double_refuses_what_gitlab_refuses(rig: GitLabRig) -> None:
    number, _ = opened(rig)
    with pytest.raises(Refusal, match="already exists"):
        rig.open("feature")
    rig.edit(number, is_draft=True)
    with pytest.raises(MergeRefused):
        rig.merge(number)
