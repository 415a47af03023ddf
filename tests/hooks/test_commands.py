"""Which push options are commands, and in which words they are passed on; who pushes, as far as the hook may believe it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hooks import commands, configuration, refs
from tests.loopback_server import Handler, LoopbackServer


@pytest.mark.parametrize(
    ("option", "line"),
    [
        ("plumbline.status", "/status"),
        ("plumbline.status=production", "/status production"),
        ("plumbline.rollback=production", "/rollback production"),
        ("plumbline.rollback=production:~2", "/rollback production ~2"),
        ("plumbline.rollback=production:~2 --push", "/rollback production ~2 --push"),
        ("plumbline.image=production:ghcr.io/acme/web:1.5.0", "/image production ghcr.io/acme/web:1.5.0"),
        ("plumbline.adopt=production:Deployment/shop/web", "/adopt production Deployment/shop/web"),
        ("plumbline.hold=production:it hurts: see 12:30", "/hold production it hurts: see 12:30"),
        ("plumbline.freeze=it hurts: see 12:30", "/freeze it hurts: see 12:30"),
        ("plumbline.thaw", "/thaw"),
        ("plumbline.approve=production:7k2m91fd", "/approve production 7k2m91fd"),
        ("plumbline.approve=7k2m91fd", "/approve 7k2m91fd"),
        ("plumbline.confirm-prune=production:7k2m91fd", "/confirm-prune production 7k2m91fd"),
        ("plumbline.revert=1a2b3c4", "/revert 1a2b3c4"),
        ("plumbline.diff", "/diff"),
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


@contextmanager
def answering(answers: list[dict[str, str]]) -> Iterator[configuration.Configuration]:
    """A server that gives these answers to as many commands; the settings of a hook that asks it."""

    given: dict[str, dict[str, str]] = {}

    class Own(Handler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/pushes/commands":
                given.update(zip(asked["tickets"], answers, strict=True))
            found = asked if self.path == "/pushes/commands" else given[asked["ticket"]]
            body = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = LoopbackServer(Own)
    try:
        yield configuration.Configuration(
            {"plumbline.address": server.address, "plumbline.repository": "shop"}, b"s", "/r.git"
        )
    finally:
        server.close()


@pytest.mark.parametrize(
    ("outcomes", "are_done"),
    [(("done", "done"), True), (("refused", "done"), False), (("done", "refused"), False), (("",), True)],
)
def test_commands_alone_come_in_only_where_none_was_refused_and_every_answer_is_printed(
    outcomes: tuple[str, ...], are_done: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = [{"text": f"answer {number}", "outcome": outcome} for number, outcome in enumerate(outcomes)]
    with answering(answers) as settings:
        assert commands.give(settings, [f"/hold e{number}" for number in range(len(answers))]) is are_done
    printed = "".join(capsys.readouterr())
    assert all(each["text"] in printed for each in answers)
