"""What the change of an image says of itself."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace

import pytest

from bot.image_text import body, branch_name, branch_prefix, branched, message, proposed, refused
from bot.markdown import plain
from worker.domain.image_update import ImageReport, ImageRequest, Naming, NamingFile
from worker.domain.messages import UnknownMessage

ASKED = ImageRequest("shop", "production", "ghcr.io/acme/web:1.5.0", "main", {"by": "ada", "number": 7}, 1.0)
FILE = NamingFile("app/web.yaml", "c" * 40, "100644", (Naming(0, ("spec", "containers", 0, "image"), 12),))
REPORT = ImageReport(ASKED, "b" * 40, (FILE,))


def test_a_report_comes_back_from_json_as_it_was() -> None:
    full = replace(REPORT, files=(replace(FILE, shared=("staging",)),), warnings=("w",), refusal="no")
    assert ImageReport.from_json(json.loads(json.dumps(full.to_json()))) == full
    with pytest.raises(UnknownMessage):
        ImageReport.from_json({**full.to_json(), "type": "rollback"})


def test_the_same_image_onto_the_same_tip_has_one_branch() -> None:
    name = branch_name(REPORT)
    assert name.startswith("plumbline/image-production-web-")
    assert name.endswith("-onto-bbbbbbb")
    assert branch_name(replace(REPORT, onto="c" * 40)) != name
    other = replace(REPORT, request=replace(ASKED, image="ghcr.io/acme/web:a..b"))
    assert branch_name(other) != name
    assert branch_prefix(other) == branch_prefix(REPORT)
    assert ".." not in branch_name(other), "a tag makes no name of a branch"
    others = (
        replace(ASKED, image="ghcr.io/acme/api:1"),
        replace(ASKED, image="acme/web:1.5.0"),
        replace(ASKED, branch="next"),
        replace(ASKED, environment="staging"),
    )
    for asked in others:
        assert branch_prefix(replace(REPORT, request=asked)) != branch_prefix(REPORT)


def test_the_commit_names_the_image_and_credits_who_asked() -> None:
    assert message(REPORT, "github.com") == (
        "Use ghcr.io/acme/web:1.5.0 in production\n\nPlumbline-Image: ghcr.io/acme/web:1.5.0\n"
        "Plumbline-Environment: production\nRequested-by: ada\n"
        "Co-authored-by: ada <ada@users.noreply.github.com>\n"
    )


def test_the_change_request_says_the_lines_what_is_shared_and_what_it_replaces() -> None:
    plain = body(REPORT, ())
    assert "`app/web.yaml:12`" in plain
    assert "Asked for by @ada in #7." in plain
    assert "shared" not in plain
    assert "takes the place" not in plain
    shared = replace(REPORT, files=(replace(FILE, shared=("staging",)),))
    assert body(shared, ("http://forge/3", "http://forge/4")).startswith(
        "**app/web.yaml is shared: staging would change too**"
    )
    assert "takes the place of http://forge/3, http://forge/4" in body(shared, ("http://forge/3", "http://forge/4"))
    assert "takes the place of http://forge/3 ," in proposed(shared, "http://forge/9", ("http://forge/3",))
    assert "staging would change too" in proposed(shared, "http://forge/9", ())


def test_on_a_plain_git_server_the_answer_says_the_branch_and_how_to_merge_it() -> None:
    shared = replace(REPORT, files=(replace(FILE, shared=("staging",)),), warnings=("left as it is",))
    text = plain(branched(shared, "plumbline/image-x", ("plumbline/image-w",)))
    assert "\ngit fetch origin plumbline/image-x && git merge FETCH_HEAD && git push origin HEAD:main\n" in text
    assert "app/web.yaml is shared: staging would change too" in text
    assert "left as it is" in text
    assert "takes the place of plumbline/image-w, which can be deleted" in text
    assert "takes the place" not in branched(REPORT, "plumbline/image-x", ())


@pytest.mark.parametrize(
    "base", ["release/$(id)", "release/x&#39;;id;&#39;", "release/x`id`", "a''b", "release/*x*&amp;"]
)
def test_the_name_of_a_branch_is_no_command_for_whoever_copies_the_line(base: str) -> None:
    hostile = replace(REPORT, request=replace(ASKED, branch=base))
    text = plain(branched(hostile, "plumbline/image-x", ()))
    (line,) = [each for each in text.splitlines() if each.startswith("git fetch")]
    assert shlex.split(line, posix=True)[-1] == f"HEAD:{base}"
    assert line.count("&&") == 2
    assert line.endswith(f" && git push origin {shlex.quote(f'HEAD:{base}')}")


def test_a_refusal_says_why() -> None:
    assert refused(REPORT, "line 3: no") == "`production` does not get `ghcr.io/acme/web:1.5.0`: line 3: no"
