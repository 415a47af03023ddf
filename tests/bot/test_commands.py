"""The grammar of comments, as a table and as a property; and that its page tells of every command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.commands import COMMANDS, LONGEST, Command, Mistake, help_text, parse, settled
from worker.domain.command_rules import DEFAULTS, ROLLBACK_PUSH

HEAD = "8d21f0c" + "a" * 33
PAGE = Path(__file__).parents[2] / "docs/commands.md"


@pytest.mark.parametrize(
    ("body", "command"),
    [
        ("/help", Command("help")),
        ("/status\r\nand more", Command("status")),
        ("/status  production \t", Command("status", ("production",))),
        (f"/plan {HEAD}", Command("plan", (), {"commit": HEAD})),
        (f"/plan staging production {HEAD}", Command("plan", ("staging", "production"), {"commit": HEAD})),
        ("/rollback production", Command("rollback", ("production",))),
        ("/rollback production ~2 --push", Command("rollback", ("production",), {"target": "~2"}, frozenset({"push"}))),
        ("/rollback --push production", Command("rollback", ("production",), {}, frozenset({"push"}))),
        ("/approve production 7k2m91fd", Command("approve", ("production",), {"code": "7k2m91fd"})),
        ("/hold production für -- später", Command("hold", ("production",), {"reason": "für -- später"})),
        ("/adopt a Deployment/shop/web", Command("adopt", ("a",), {"object": "Deployment/shop/web"})),
        ("/image a r.io:5000/web:1.5", Command("image", ("a",), {"image": "r.io:5000/web:1.5"})),
        ("/plumbline", Command("help")),
        ("/plumbline status a", Command("status", ("a",))),
        ("/plumbline:default /status", Command("status")),
    ],
)
def test_a_command(body: str, command: Command) -> None:
    assert parse(body) == command
    assert Command.from_json(command.to_json()) == command


@pytest.mark.parametrize(
    "body",
    [
        "", " ", "abc", "/", "//", "/usr/bin is full", "/lgtm", "/assign @ada", "/retest", "/test all", "/close", "/label bug",
        "> /rollback production", "```\n/plan\n```", "~~~\n/plan", "    /plan", "\t/plan", " /plan", "`/plan`", "<!-- /plan -->",
        "<details>\n/plan", "Please\n/plan", "\n/plan", "please /plan", "\u200b/plan", "\ufeff/plan", "\u2060/plan", "\x00/plan",
        "\u202e/plan", "- /plan", "**/plan**", "／plan", "/plumbline:other status", "/plumbline: we should talk",
        "terraform plan", "atlantis plan", "@bot /plan",
    ],
)  # fmt: skip
def test_a17_ordinary_talk_and_quoted_text_is_no_command(body: str) -> None:
    assert parse(body) is None


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("/rollback", "rollback"), ("/rollback prod --force; curl", "rollback"), ("/rollback ../../etc", "rollback"),
        ("/rollback prod -- --kubeconfig=x", "rollback"), ("/rollback prod main", "rollback"), ("/rollback a$(id)b", "rollback"),
        ("/rollback prod ~0", "rollback"), ("/rollback prod " + "a" * 2000, "rollback"), ("/rollback PROD", "rollback"),
        ("/rollback prod\u202e", "rollback"), ("/rollback prod\u200b", "rollback"), ("/r\u043ellback prod", "rollback"),
        ("/Rollback prod", "rollback"), ("/rollbak prod", "rollback"), ("/stauts", "status"), ("/plan: this", "plan"), ("/help me", "help"),
        ("/confirm-prune prod", "confirm-prune"), ("/confirm-prune prod 123", "confirm-prune"), ("/hold", "hold"),
        ("/hold prod a\u202eb", "hold"), ('/image a web:1.2.3"\\n', "image"), ("/image a Web", "image"),
        ("/image a web@sha256:1", "image"), ("/approve a b c", "approve"), ("/thaw now", "thaw"), ("/plan \u2028", "plan"),
        ("/adopt a deployment", "adopt"), ("/plumbline fly", ""),
    ],
)  # fmt: skip
def test_a18_a_mistake_is_answered_shortly_and_quoted(body: str, word: str) -> None:
    found = parse(body)
    assert isinstance(found, Mistake)
    assert found.word == word
    assert len(found.text) < 400
    assert "\u202e" not in found.text
    assert "\u200b" not in found.text


@given(st.one_of(st.text(), st.text("/ \t\r\n`>-~plantrohecksu\u200b\u202e", max_size=40), st.binary().map(repr)))
def test_the_grammar_never_raises_and_only_a_line_of_its_own_is_a_command(body: str) -> None:
    found = parse(body)
    if isinstance(found, Command):
        first = re.split(r"\r\n|\r|\n", body, maxsplit=1)[0]
        assert first.startswith("/")
        assert len(first.rstrip()) <= LONGEST
        assert first.split()[0][1:] in {*COMMANDS, "plumbline", "plumbline:default"}


@given(st.sampled_from([each.example for each in COMMANDS.values()]), st.text(max_size=9))
def test_a17_no_example_is_obeyed_behind_anything(example: str, before: str) -> None:
    assert isinstance(parse(example), Command)
    for mark in ("> ", "```\n", "    ", "<!-- ", "`", f"{before}\n", "\u200b"):
        found = parse(f"{mark}{example}")
        assert not isinstance(found, Command) or mark.startswith("/")


def test_environments_are_held_against_the_base_branch() -> None:
    command = parse("/status producton")
    assert isinstance(command, Command)
    found = settled(command, ["production"])
    assert isinstance(found, Mistake)
    assert "`production`" in found.text
    alone = parse("/approve 7k2m91fd")
    assert isinstance(alone, Command)
    assert settled(alone, ["production"]) == Command("approve", (), {"code": "7k2m91fd"})
    assert settled(alone, ["7k2m91fd"]) == Command("approve", ("7k2m91fd",))


def test_the_page_tells_of_exactly_the_commands_there_are() -> None:
    text = PAGE.read_text()
    sections = re.findall(r"(?m)^## `/([a-z-]+)`$", text)
    assert sections == list(COMMANDS)
    assert {*DEFAULTS} == {*COMMANDS, ROLLBACK_PUSH}
    for entry in COMMANDS.values():
        part = text.split(f"\n## `/{entry.word}`\n")[1].split("\n## ")[0]
        for told in (entry.does, entry.usage, entry.example, f"By default: `{entry.needs}`"):
            assert told in part, f"/{entry.word}: {told}"
    assert help_text({"rollback": "write"}).count("\n|") == 2
    for row in re.findall(r"(?m)^\| `(read|write|admin)` \| (.*?) \|", text):
        assert {*re.findall(r"`([a-z-]+)`", row[1])} == {word for word, role in DEFAULTS.items() if role == row[0]}
