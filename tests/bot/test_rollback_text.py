"""What a rollback says of itself."""

from __future__ import annotations

from dataclasses import replace

from bot.rollback_text import body, branch_name, message, proposed, title, why_no_push, would
from worker.domain.rollback import Restored, RollbackReport, RollbackRequest

ASKED = RollbackRequest("shop", "production", "", "main", push=False, origin={"by": "ada", "number": 7}, at=1.0)
REPORT = RollbackReport(
    ASKED,
    "main",
    "b" * 40,
    "a" * 40,
    (Restored("app/a.yaml", "c" * 40, "100644", "app/a.yaml", "100644"),),
    explanation=("1 file as in aaaaaaa",),
)


def test_a_report_comes_back_from_json_as_it_was() -> None:
    full = replace(REPORT, shared={"base/b.yaml": ("staging",)}, warnings=("w",), may_push=True, refusal="no")
    assert RollbackReport.from_json(full.to_json()) == full


def test_the_same_rollback_onto_the_same_tip_has_one_branch() -> None:
    assert branch_name(REPORT) == "plumbline/rollback-production-aaaaaaa-onto-bbbbbbb"
    assert branch_name(replace(REPORT, onto="c" * 40)) != branch_name(REPORT)


def test_the_commit_names_its_target_and_credits_who_asked() -> None:
    assert message(REPORT, "github.com") == (
        "Roll back production to aaaaaaa\n\n1 file as in aaaaaaa\n\n"
        f"Plumbline-Rollback-To: {'a' * 40}\nPlumbline-Environment: production\nRequested-by: ada\n"
        "Co-authored-by: ada <ada@users.noreply.github.com>\n"
    )


def test_a_name_that_would_make_a_trailer_of_its_own_is_left_out() -> None:
    asked = replace(ASKED, origin={"by": "ada\nSigned-off-by: root", "number": 7})
    said = message(replace(REPORT, request=asked), "github.com")
    assert "Signed-off-by" not in said
    assert "Requested-by" not in said
    assert "@" not in body(replace(REPORT, request=asked))


def test_the_change_request_names_shared_files_first() -> None:
    shared = replace(
        REPORT,
        shared={"base/b.yaml": ("staging",)},
        explanation=("base/b.yaml is shared: staging changes with it", "1 file as in aaaaaaa"),
    )
    lines = body(shared).split("\n\n")
    assert lines[0] == "**base/b.yaml is shared: staging changes with it**"
    assert lines[-1] == "Asked for by @ada in #7."
    assert title(shared) == "Roll back production to aaaaaaa"


def test_why_a_rollback_is_not_pushed() -> None:
    push = replace(REPORT, request=replace(ASKED, push=True))
    assert why_no_push(REPORT) == ""
    assert why_no_push(replace(push, may_push=True)) == ""
    assert "policy" in why_no_push(push)
    assert "other environments" in why_no_push(replace(push, may_push=True, shared={"b": ("staging",)}))
    assert "was not pushed" in proposed(push, "http://forge/8", why_no_push(push))
    assert "was not pushed" not in proposed(REPORT, "http://forge/8")


def test_a_dry_run_names_the_target_and_what_becomes_of_each_file() -> None:
    files = (
        *REPORT.files,
        Restored("app/new.yaml", was="100644"),
        Restored("b.yaml", "d" * 40, "100644", "app/b.yaml"),
    )
    full = replace(REPORT, files=files, warnings=("the cluster does not serve Queue",))
    said = would(full)
    for words in (
        f"`production` would go back to `{'a' * 40}`", "Nothing was committed", "proposed as a change request",
        "- `app/a.yaml` becomes what it was", "- `app/new.yaml` is taken away",
        "- `b.yaml` comes back (from `app/b.yaml`)", "does not serve Queue",
    ):  # fmt: skip
        assert words in said
    pushes = replace(full, request=replace(ASKED, push=True), may_push=True)
    assert "pushed straight to `main`" in would(pushes)
    refused = would(replace(pushes, may_push=False))
    assert "proposed as a change request" in refused
    assert "It would not be pushed" in refused
    assert "put on a branch of its own" in would(full, is_proposed=False)
    many = replace(REPORT, files=tuple(Restored(f"app/{n}.yaml", was="100644") for n in range(60)))
    assert "- and 10 more files" in would(many)
