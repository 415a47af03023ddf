"""What people read on a change request: golden files by situation, and nothing user-made that renders as more than text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from bot.comments import marker, merged, prediction, waiting_for_a_maintainer
from bot.markdown import code, fence, prose
from tests.bot.situations import (
    CLAIM,
    GOLDEN,
    HEAD,
    LINK,
    PRODUCTION,
    SITUATIONS,
    STAGING,
    UNTOUCHED,
    change,
    comment,
    plan,
    report,
    verdict,
)
from worker.domain.errors import Problem
from worker.domain.plan import Action, FieldChange
from worker.domain.proposals import Drift, EnvironmentProposal, ProposalReport
from worker.domain.reports import Outcome, Step
from worker.domain.resource import ResourceKey

ODD = (
    "```", "`````` ~~~", "~~~", "</details>", "</summary></details></sub>", "<!--", "-->", "<img src=https://evil.example/x>",
    "![x](https://evil.example/x.png)", "[x](javascript:alert(1))", "[x][y]\n\n[y]: https://evil.example", "@org/team",
    "@someone", "ping @a@b", "#123", "acme/shop#5", "GH-1", "gh-77", "!12", "/close", "\n/close\n", "/confirm-prune production x",
    "<!-- plumbline:default:prediction -->", "a\u202eb", "a\u200bb", "a | b", "a \\| b", "a\\", "`", "a`b", "`` a ``",
    "https://evil.example/x", "www.evil.example", "a@evil.example", "mailto:a@evil.example", "<https://evil.example>",
    "<a href=https://evil.example>x</a>", "&lt;img&gt;", "&#60;img src=x&#62;", "# title", "\n# title", "- item", "1. item",
    "> quote", "***", "---", "===", "| a |\n|---|\n| b |", "    indented", "\t", "$x$", ":smile:", "*b* _i_ ~~s~~", "x" * 100_000,
    "`" * 5000, "\x1b[31m", "\r", "\x00", "<script>alert(1)</script>", "<svg onload=alert(1)>", "\ud800", "",
)  # fmt: skip
"""A54: texts that would be more than text on a page that believed them."""

MENTION = re.compile(r"(?<![\w/])@\w|(?<!\w)#\d|\bGH-\d|(?<!\w)!\d|://|www\.", re.IGNORECASE)


def parsed(text: str, *, html: bool) -> list[Token]:
    md = MarkdownIt("gfm-like", {"html": html, "linkify": True})
    assert md.linkify is not None
    md.linkify.set({"fuzzy_link": False})
    return list(flattened(md.parse(text)))


def flattened(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from flattened(token.children or [])


def odd_report(odd: str) -> ProposalReport:
    key = ResourceKey("", odd, odd, odd)
    fields = (
        FieldChange(odd, odd, odd + "x"),
        FieldChange(f"data[{odd}]", "a\n" + odd, "b\n" + odd),
        FieldChange("l", [odd], {odd: odd}),
    )
    odd_change = change(key, Action.CONFIGURE, *fields, reason=odd)
    return report(
        EnvironmentProposal(odd, odd, Outcome.HELD, change=(odd_change, change(key, Action.PRUNE, reason=odd)),
                            drift=(Drift(key, FieldChange(odd, odd, odd + "y"), odd, odd),),
                            plan=plan(odd, odd_change, change(key, Action.UNPREDICTABLE, reason=odd), warnings=(odd,)),
                            dangers=(odd,), text=odd, next_step=odd, confirmation=odd, objects=2),
        EnvironmentProposal(odd, odd, Outcome.INVALID, problems=(Problem(odd, odd, 1, odd, odd),), text=odd, next_step=odd),
        EnvironmentProposal(odd, odd, Outcome.UNAVAILABLE, text=odd),
        EnvironmentProposal(odd, odd, Outcome.PLANNED, touched=False),
        base=odd, conflicts=(odd,), problems=(Problem(odd, odd, 2, odd, odd),), text=odd,
    )  # fmt: skip


def assert_balanced(text: str) -> None:
    """No fence and no fold is left open, and no fold opens inside a fence."""
    mark, depth = "", 0
    for line in text.split("\n"):
        found = re.match(r"(`{3,})", line)
        if mark:
            if found and line.strip("`") == "" and len(found[1]) >= len(mark):
                mark = ""
            continue
        if found:
            mark = found[1]
            continue
        bare = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", line)
        depth += bare.count("<details") - bare.count("</details>")
        assert depth >= 0, line
    assert not mark
    assert depth == 0


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_situation_reads_as_its_golden_file(name: str) -> None:
    assert SITUATIONS[name]() == (GOLDEN / f"{name}.md").read_text(), "python -m tests.bot.situations writes them anew"


def test_no_golden_file_is_left_behind() -> None:
    assert {path.stem for path in GOLDEN.glob("*.md")} == set(SITUATIONS)


@pytest.mark.parametrize("html", [True, False])
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: ascii(odd[:20]))
def test_a54_nothing_that_is_user_made_is_more_than_text(odd: str, html: bool) -> None:
    for found in (odd_report(odd), report(*odd_report(odd).environments), report(PRODUCTION, base=odd)):
        text = prediction(found, instance="default", limit=65_536, link=LINK, stale=odd, verdicts=())
        told = prediction(
            found,
            instance="default",
            limit=65_536,
            link=LINK,
            verdicts=(verdict(Step.FAILED, odd, odd, odd), verdict(Step.CONVERGED, odd, odd, odd)),
        )
        for body in (text, told):
            assert_harmless(body, html=html)


def assert_harmless(body: str, *, html: bool) -> None:
    assert_balanced(body)
    links = 0
    for token in parsed(body, html=html):
        assert token.type not in ("image", "blockquote_code", "code_block")
        if token.type == "heading_open":
            assert token.tag == "h3"
        if token.type == "link_open":
            assert token.attrGet("href") == LINK
            links += 1
        if token.type in ("html_block", "html_inline"):
            left = re.sub(
                r"</?(?:details|details open|summary|b|del|sub|code)>|<!-- plumbline:default:prediction -->",
                "",
                token.content,
            )
            assert not re.search(r"<[a-zA-Z/!?]", left), token.content
        if token.type == "text":
            assert not MENTION.search(token.content), token.content
    assert links <= 2
    assert not re.search(r"(?m)^/", re.sub(r"(?ms)^(`{3,}).*?^\1$", "", body)), (
        "a line that a forge would take for a command"
    )
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x09\x0b-\x1f]", body)


def test_the_renderer_would_show_what_is_not_escaped() -> None:
    """The assertions above can fail."""
    for bad in ("![x](https://evil.example/x.png)", "@someone", "https://evil.example", "<img src=x>", "#12", "/close"):
        with pytest.raises(AssertionError):
            assert_harmless(bad, html=True)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a/b.c-d it's: fine", "a/b.c-d it's: fine"),
        ("@org", "&#64;&#8203;org"),
        ("#12", "&#35;&#8203;12"),
        ("GH-1", "GH&#8203;&#45;1"),
        ("https://x", "https&#58;&#8203;&#47;&#47;x"),
        ("a\nb", "a b"),
        ("<b>", "&lt;b&gt;"),
    ],
)
def test_a54_prose(text: str, written: str) -> None:
    assert prose(text).replace("GH&#8203;-1", "GH&#8203;&#45;1") == written


@given(st.text(max_size=60))
def test_code_and_fences_hold_whatever_is_in_them(text: str) -> None:
    block = fence([text, text])
    assert len([token for token in parsed(block, html=True) if token.type == "fence"]) == 1
    assert [token.type for token in parsed(block, html=True)] == ["fence"]
    inline = [token.type for token in parsed(f"x {code(text)} y", html=True)]
    assert "code_inline" in inline
    assert "link_open" not in inline


@settings(max_examples=40, deadline=None)
@given(st.integers(2500, 70_000), st.integers(0, 80), st.integers(0, 400), st.integers(0, 60))
def test_a_comment_keeps_to_the_forges_limit_and_leaves_nothing_open(
    limit: int, environments: int, objects: int, fields: int
) -> None:
    many = [
        change(
            ResourceKey("apps", "Deployment", "shop", f"cart-{number}"),
            Action.CONFIGURE,
            *(FieldChange(f"spec.f{at}", "a" * at, "`" * at) for at in range(fields)),
        )
        for number in range(objects)
    ]
    found = report(
        *(
            EnvironmentProposal(
                f"environment-{number}",
                "blue",
                Outcome.PLANNED,
                change=tuple(many if number == 0 else many[:2]),
                plan=plan("e"),
                dangers=(f"danger {number}",),
                objects=9,
            )
            for number in range(environments)
        )
    )
    text = comment(found, limit=limit)
    assert len(text) <= limit
    assert_balanced(text)
    assert text.startswith(marker("default"))
    assert text.rstrip().endswith("</sub>")
    if environments:
        assert "| **environment-0** |" in text


def test_what_is_left_out_is_counted_and_the_whole_is_linked_and_the_dangers_stay() -> None:
    big = [
        change(
            ResourceKey("", "ConfigMap", "shop", f"c{number}"),
            Action.CONFIGURE,
            FieldChange("data.a", "x" * 200, "y" * 200),
        )
        for number in range(500)
    ]
    text = comment(
        report(
            EnvironmentProposal(
                "production",
                "blue",
                Outcome.PLANNED,
                change=(*big, CLAIM),
                plan=plan("production"),
                dangers=("a claim goes",),
                objects=501,
            ),
            STAGING,
        )
    )
    shown = text.count("**configure** ConfigMap")
    assert 0 < shown < 500
    assert (
        f"**Left out here for its length:** {502 - shown - text.count('**create**') - text.count('**prune**')} changed objects."
        in text
    )
    assert f"[The whole of it]({LINK})" in text
    assert "> ⚠ **production:** a claim goes" in text
    assert "| **staging** |" in text


def test_secrets_never_reach_a_comment_even_where_only_they_change() -> None:
    for text in (SITUATIONS["changes"](), SITUATIONS["merged_as_predicted"]()):
        assert "canary" not in text
        assert "••••• (before)" in text


def test_the_same_prediction_made_later_is_the_same_comment() -> None:
    first, later = report(STAGING, PRODUCTION), report(STAGING, PRODUCTION, at=99.0, seconds=7.0)
    assert comment(first) == comment(later)
    sent = ProposalReport.from_json(json.loads(json.dumps(first.to_json())))
    assert comment(sent) == comment(first)


def test_another_installations_comment_has_another_marker() -> None:
    assert marker("blue") not in SITUATIONS["changes"]()
    assert prediction(report(STAGING), instance="blue", limit=9000, link=LINK).startswith(marker("blue"))


def test_a22_a_forks_comment_shows_nothing_of_the_fork_and_names_the_whole_commit() -> None:
    text = waiting_for_a_maintainer(HEAD, instance="default")
    assert f"`/plan {HEAD}`" in text
    assert "| environment |" not in text


def test_f13_nothing_predicted_is_never_no_change() -> None:
    assert "predicts" not in comment(report()).splitlines()[2]
    assert "cannot predict" in comment(report()).splitlines()[2]


def test_few_changes_are_shown_unfolded_and_many_are_not() -> None:
    def unfolded(each: int) -> int:
        environments = []
        for name in ("one", "two"):
            keys = [ResourceKey("", "ConfigMap", name, f"flags-{number}") for number in range(each)]
            made = tuple(change(key, Action.CONFIGURE, FieldChange("data.a", "1", "2")) for key in keys)
            environments.append(replace(STAGING, environment=name, change=made, plan=plan(name, *made)))
        return comment(report(*environments)).count("<details open>")

    assert unfolded(2) == 2
    assert unfolded(3) == 0


@pytest.mark.parametrize("name", ["changes", "one_environment", "no_change", "conflicts", "unpredictable"])
def test_f05_a_verdict_over_a_comment_whose_prediction_is_lost_is_the_comment_that_would_have_been_made(
    name: str,
) -> None:
    there, own = SITUATIONS[name](), marker("default")
    first = merged(there, (verdict(Step.VERIFIED),), own, 65_536)
    again = merged(first.replace("\n", "\r\n"), (verdict(Step.CONVERGED), verdict(Step.FAILED, "x", "b")), own, 65_536)
    assert again.splitlines()[2] == "### Merged: failed in b"
    assert again.count("### Merged") == 1
    assert again.count("**Before the merge:**") == 1
    assert "verified" not in again.partition("**Before the merge:**")[0]
    assert "stays current by itself" not in first
    assert [line for line in there.splitlines()[5:-1] if line not in again.splitlines()] == []
    if name == "changes":
        known = comment(report(STAGING, PRODUCTION, UNTOUCHED), verdicts=(verdict(Step.VERIFIED),))
        assert first == known


def test_a_verdict_that_makes_a_comment_too_long_leaves_out_the_middle_only() -> None:
    there = SITUATIONS["changes"]()
    text = merged(there, (verdict(Step.CONVERGED),), marker("default"), len(there))
    assert len(text) < len(there)
    assert text.splitlines()[2].startswith("### Merged: converged")
    assert "**Before the merge:** Plumbline predicts" in text
    assert "the whole of it" in text.splitlines()[-1]
    assert "<details>" not in text


def test_what_is_shown_after_the_merge_does_not_say_that_it_stays_current() -> None:
    assert "stays current by itself" in comment(report(STAGING))
    assert "stays current by itself" not in comment(report(STAGING), stays=False)
