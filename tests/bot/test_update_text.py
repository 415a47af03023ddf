"""What an update that a policy made says of itself."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bot.update_text import body, branch_name, branch_prefix, message, refused, superseded, title
from worker.domain.image_section import UpdateBy
from worker.domain.image_update import Naming, NamingFile
from worker.domain.messages import UnknownMessage
from worker.domain.policy_update import UpdateReport, UpdateRequest, last_word

ASKED = UpdateRequest("shop", "main", "cart.web", "ghcr.io/acme/web:1.5.0", 1.0)
FILE = NamingFile("app/web.yaml", "c" * 40, "100644", (Naming(0, ("spec", "containers", 0, "image"), 12),))
REPORT = UpdateReport(ASKED, "b" * 40, "ghcr.io/acme/web:1.5.0", (FILE,), ("production",), ("1.4.1",))
DIGEST = "@sha256:0123456789ab" + "c" * 52


def test_request_and_report_come_back_from_json_as_they_were() -> None:
    full = replace(
        REPORT, files=(replace(FILE, shared=("staging",)),), warnings=("w",), refusal="no", settled="s", update_by=UpdateBy.COMMIT
    )  # fmt: skip
    assert UpdateReport.from_json(json.loads(json.dumps(full.to_json()))) == full
    assert UpdateRequest.from_json(json.loads(json.dumps(ASKED.to_json()))) == ASKED
    with pytest.raises(UnknownMessage):
        UpdateReport.from_json({**full.to_json(), "type": "image"})


@pytest.mark.parametrize(
    ("image", "was", "environments", "said"),
    [
        ("shop/web:1.5.0", ("1.4.1",), ("production",), "Update shop/web from 1.4.1 to 1.5.0 in production"),
        ("shop/web:1.5.0", ("1.4.0", "1.4.1"), ("a", "b"), "Update shop/web to 1.5.0 in a and b"),
        ("shop/web:1.5.0", (), ("a", "b", "c"), "Update shop/web to 1.5.0 in a, b and c"),
        ("shop/web:1.5.0", (), ("a", "b", "c", "d"), "Update shop/web to 1.5.0 in 4 environments"),
        (f"shop/web:edge{DIGEST}", ("edge",), ("a",), "Update shop/web to edge (0123456789ab) in a"),
    ],
)
def test_the_title_says_what_from_where_to_where(
    image: str, was: tuple[str, ...], environments: tuple[str, ...], said: str
) -> None:
    assert title(replace(REPORT, image=image, was=was, environments=environments)) == said


def test_one_image_in_the_same_places_has_one_branch_wherever_the_base_is() -> None:
    name = branch_name(REPORT)
    assert name.startswith("plumbline/update-cart-web-"), "a name's dot makes no name of a branch"
    assert branch_name(replace(REPORT, onto="d" * 40, was=("1.0.0",))) == name
    others = (
        replace(REPORT, image="ghcr.io/acme/web:1.6.0"),
        replace(REPORT, files=(FILE, replace(FILE, path="app/b.yaml"))),
    )
    for other in others:
        assert branch_name(other) != name
        assert branch_prefix(other) == branch_prefix(REPORT)
    for asked in (replace(ASKED, branch="next"), replace(ASKED, policy="cart-web")):
        assert branch_prefix(replace(REPORT, request=asked)) != branch_prefix(REPORT)


def test_the_commit_names_image_environments_and_policy() -> None:
    said = message(REPORT, lambda *parts: "/".join(parts))
    assert said == (
        "Update ghcr.io/acme/web from 1.4.1 to 1.5.0 in production\n\nPlumbline-Image: ghcr.io/acme/web:1.5.0\n"
        "Plumbline-Environment: production\nPlumbline-Image-Policy: cart.web ghcr.io/acme/web:1.5.0 "
        "shop/cart.web/ghcr.io/acme/web:1.5.0\n"
    )
    assert last_word(said, "cart.web", lambda image: f"shop/cart.web/{image}") == REPORT.image


def test_the_change_request_says_the_lines_what_is_shared_what_it_replaces_and_why_it_is_no_commit() -> None:
    plain = body(REPORT, ())
    assert "`app/web.yaml:12`" in plain
    assert "`cart.web` in `plumbline.yaml` of `main`" in plain
    for word in ("shared", "takes the place", "was to be a commit"):
        assert word not in plain
    full = body(replace(REPORT, files=(replace(FILE, shared=("staging",)),)), ("http://forge/3",), "main is protected")
    assert full.startswith("**app/web.yaml is shared: staging would change too**")
    assert "takes the place of http://forge/3 , which it closes" in full
    assert "because main is protected." in full
    assert "http://forge/9 takes the place" in superseded("http://forge/9")
    assert refused(REPORT, "line 3: no") == "ghcr.io/acme/web:1.5.0 is not used: line 3: no"
