"""Which push options are commands, and in which words they are passed on; who pushes, as far as the hook may believe it."""

from __future__ import annotations

import pytest

from hooks import commands, configuration, refs


@pytest.mark.parametrize(
    ("option", "line"),
    [
        ("plumbline.status", "/status"),
        ("plumbline.status=production", "/status production"),
        ("plumbline.rollback=production", "/rollback production"),
        ("plumbline.rollback=production:~2", "/rollback production ~2"),
        ("plumbline.rollback=production:~2 --push", "/rollback production ~2 --push"),
        ("plumbline.hold=production:it hurts: see 12:30", "/hold production it hurts: see 12:30"),
        ("plumbline.freeze=it hurts: see 12:30", "/freeze it hurts: see 12:30"),
        ("plumbline.thaw", "/thaw"),
        ("plumbline.approve=production:7k2m91fd", "/approve production 7k2m91fd"),
        ("plumbline.approve=7k2m91fd", "/approve 7k2m91fd"),
    ],
)
def test_an_option_is_a_command_in_the_words_of_a_comment(option: str, line: str) -> None:
    pairs = refs.options({"GIT_PUSH_OPTION_COUNT": "1", "GIT_PUSH_OPTION_0": option})
    assert refs.unknown_option(pairs) is None
    assert commands.lines(pairs, alone=True) == [line]


def test_with_a_branch_a_code_confirms_that_push_and_is_no_command() -> None:
    pairs = [("plumbline.approve", "7k2m91fd"), ("plumbline.wait", "0"), ("ci.skip", ""), ("plumbline.thaw", "")]
    assert commands.lines(pairs, alone=False) == ["/thaw"]
    assert commands.lines(pairs, alone=True) == ["/approve 7k2m91fd", "/thaw"]


def test_a_variable_says_who_pushes_only_where_the_owner_named_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMOTE_USER", "root-of-all")
    by_default = configuration.Configuration({}, b"s", "/r.git")
    assert configuration.pusher(by_default) not in ("", "root-of-all")
    named = configuration.Configuration({"plumbline.pusher": "REMOTE_USER"}, b"s", "/r.git")
    assert configuration.pusher(named) == "root-of-all"
    monkeypatch.delenv("REMOTE_USER")
    assert configuration.pusher(named) == "", "where the variable is missing nobody is taken for the account instead"


def test_only_the_commands_ref_may_be_pushed_of_plumbline_s_own() -> None:
    updates = [refs.Update("0" * 40, "1" * 40, name) for name in (refs.COMMANDS, "refs/plumbline/x/converged")]
    assert [each.ref for each in refs.own(updates)] == ["refs/plumbline/x/converged"]
    assert commands.refusal(updates[:1], ["/help"]) is None
    assert commands.refusal(updates, ["/help"]) is not None
    assert commands.refusal(updates[:1], []) is not None
    assert commands.refusal([refs.Update("1" * 40, "0" * 40, refs.COMMANDS)], ["/help"]) is not None
