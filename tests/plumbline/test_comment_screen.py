"""A comment in the terminal: every fact of it, none of its markup, nothing that steers a terminal."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from plumbline.comment_screen import comment_lines

COMMENTS = sorted((Path(__file__).parents[1] / "golden" / "comments").glob("*.md"))


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def shown_by_a_page(body: str) -> str:
    """What a forge's page shows of a comment, as text."""
    rendered = MarkdownIt("gfm-like", {"linkify": False}).render(body)
    return html.unescape(re.sub(r"<!--.*?-->|<[^>]*>", " ", rendered))


@pytest.mark.parametrize("path", COMMENTS, ids=lambda path: path.stem)
def test_the_terminal_shows_the_words_that_a_page_shows_in_the_same_order(path: Path) -> None:
    body = path.read_text()
    shown = "\n".join(comment_lines(body))
    assert words(shown) == words(shown_by_a_page(body))
    assert "plumbline:default" not in shown
    for markup in ("<details", "</", "<sub>", "```", "**", "|--", "&#"):
        assert markup not in shown, markup


def test_a_table_stands_in_columns_and_a_diff_below_its_object() -> None:
    lines = comment_lines((Path(COMMENTS[0]).parent / "merged_as_predicted.md").read_text())
    head = next(line for line in lines if "already drifted" in line and "after merge" in line)
    row = lines[lines.index(head) + 1]
    assert row.index("1 ") > 0
    assert row.index("is held until it is confirmed") == head.index("after merge")
    at = lines.index("  configure Deployment shop/cart")
    assert lines[at + 1 : at + 4] == [
        "      spec.template.spec.containers[name=cart]",
        "    -   image: ghcr.io/acme/cart:1.4.1",
        "    +   image: ghcr.io/acme/cart:1.5.0",
    ]


def test_what_somebody_wrote_neither_steers_the_terminal_nor_leaves_its_fence() -> None:
    body = "### Title \x1b[2J\n\n````diff\n+ a\x1b]0;title\x07\n+ ```\n+ **b**\n````\n\nafter \\*all\\*"
    lines = comment_lines(body)
    assert not any(char in "".join(lines) for char in "\x1b\x07")
    assert "    + ```" in lines
    assert "    + **b**" in lines, "what stands in a fence is shown as it is"
    assert lines[-1] == "after *all*"


def test_what_stands_between_marks_of_code_is_shown_as_it_is() -> None:
    assert comment_lines("see `a **b** &lt;` and ``c ` d`` &lt;e&gt; **f**") == ["see a **b** &lt; and c ` d <e> f"]
