"""One plan on every face: the same facts in text and JSON, nothing too wide, and nothing of a Secret anywhere."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.terminal import WIDTH, preview_lines
from plumbline.screen import print_plan
from worker.domain.field_text import DiffLine, block, counted, in_line, is_block
from worker.domain.messages import RefUpdate
from worker.domain.plan import ABSENT, Action, Change, FieldChange, Plan
from worker.domain.reports import EnvironmentPreview, Outcome, PreviewReport
from worker.domain.resource import ResourceKey, resource_of
from worker.planning.diffing import field_changes

MOVE = RefUpdate("refs/heads/main", "1" * 40, "2" * 40)


def plan_of(*changes: Change) -> Plan:
    return Plan("production", "r", changes, (), "f" * 32)


def configured(*fields: FieldChange) -> Change:
    return Change(ResourceKey("", "ConfigMap", "shop", "c"), "v1", Action.CONFIGURE, "", fields, "u")


def hook_lines(plan: Plan, *, colour: bool = False) -> list[str]:
    """What the pusher reads: the plan has crossed the queue as JSON."""
    crossed = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    report = PreviewReport("t", "shop", (EnvironmentPreview("production", Outcome.PLANNED, crossed),))
    return preview_lines(report, [MOVE], colour=colour)


def printed(plan: Plan) -> str:
    """What `plumbline plan` prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), mock.patch.dict(os.environ, {"COLUMNS": "100"}):
        print_plan(plan, "production")
    return out.getvalue()


CONF = "".join(f"setting_{number} = {number};\n" for number in range(60))


def test_a_file_in_a_config_map_is_a_text_diff_inside() -> None:
    field = FieldChange('data["app.conf"]', CONF, CONF.replace("setting_20 = 20;", "setting_20 = 21;\nmore = 1;"))
    wanted = [
        '    data["app.conf"]  2 lines added, 1 removed',
        "      @ line 19",
        "        setting_18 = 18;",
        "        setting_19 = 19;",
        "      - setting_20 = 20;",
        "      + setting_20 = 21;",
        "      + more = 1;",
        "        setting_21 = 21;",
        "        setting_22 = 22;",
    ]
    lines = hook_lines(plan_of(configured(field)))
    assert lines[2 : 2 + len(wanted)] == wanted
    text = printed(plan_of(configured(field)))
    assert "\n".join(wanted[1:]) in text
    assert "setting_40" not in text, "what does not change is not shown"


def test_an_item_of_a_list_that_moves_is_a_move_and_not_a_rewrite() -> None:
    one, two, three = ({"host": f"{name}.test", "http": {"paths": [{"path": "/"}]}} for name in "abc")
    (change,) = field_changes({"spec": {"rules": [one, two]}}, {"spec": {"rules": [two, one, three]}})
    assert change.path == "spec.rules"
    (moved,) = field_changes({"spec": {"rules": [one, two]}}, {"spec": {"rules": [two, one]}})
    signs = [line.sign for line in block(moved)]
    assert signs.count("-") == signs.count("+") == len(block(FieldChange("x", ABSENT, [one])))
    (inside,) = field_changes({"spec": {"rules": [one, two]}}, {"spec": {"rules": [one, {**two, "host": "z.test"}]}})
    assert inside.path == "spec.rules[1].host"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (1, 2, "1 -> 2"),
        (ABSENT, "x", "unset -> x"),
        ("x", ABSENT, "x -> unset"),
        ("", "x", '"" -> x'),
        (True, False, "true -> false"),
        ("x" * 99 + "1" + "y" * 99, "x" * 99 + "2" + "y" * 99, f"…{'x' * 12}1{'y' * 15}… -> …{'x' * 12}2{'y' * 15}…"),
    ],
)
def test_a_value_on_a_line(old: Any, new: Any, words: str) -> None:
    assert in_line(FieldChange("spec.a", old, new), 64) == words


def test_lines_are_counted_and_a_missing_end_is_said() -> None:
    assert counted([DiffLine("+", "a")]) == "1 line added"
    assert counted([DiffLine("-", "a"), DiffLine("-", "b"), DiffLine("+", "c")]) == "1 line added, 2 removed"
    found = block(FieldChange("data.a", "one\ntwo\n", "one\ntwo"))
    assert DiffLine("+", "\\ no line end at the end") in found


def test_long_diffs_and_many_fields_end_with_how_many_more() -> None:
    long = FieldChange("data.a", CONF, CONF.replace(" = ", "="))
    many = [FieldChange(f"spec.field{number}", number, number + 1) for number in range(30)]
    lines = hook_lines(plan_of(configured(long), configured(*many)))
    assert any(re.fullmatch(r"      and \d+ more lines", line) for line in lines)
    assert "    and 22 more fields" in lines


def test_two_containers_are_told_apart_and_one_needs_no_name() -> None:
    def image(name: str) -> FieldChange:
        return FieldChange(f"spec.template.spec.containers[name={name}].image", "a:1", "a:2")

    assert hook_lines(plan_of(configured(image("x"))))[1].endswith("  image 1 -> 2")
    assert hook_lines(plan_of(configured(image("x"), image("y"))))[1].endswith("  x image 1 -> 2, y image 1 -> 2")


VALUES = st.one_of(
    st.just(ABSENT),
    st.booleans(),
    st.integers(-99, 99),
    st.text(max_size=300),
    st.text(alphabet="ab\n", max_size=40),
    st.text(alphabet="長い\u0301🎉", max_size=120),
    st.lists(st.sampled_from(["--a", "--b", "--c"]), max_size=5),
    st.lists(st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 3)), max_size=4),
)
FIELDS = st.builds(
    FieldChange,
    st.sampled_from(["spec.a", "spec.template.spec.containers[name=c].image", 'data["a.b"]', "spec." + "long" * 40]),
    VALUES,
    VALUES,
).filter(lambda field: field.old != field.new and (field.old, field.new) != (ABSENT, ABSENT))


def columns(line: str) -> int:
    import unicodedata

    bare = re.sub(r"\x1b\[[0-9;]*m", "", line)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in bare)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(
    fields=st.lists(FIELDS, min_size=1, max_size=12),
    action=st.sampled_from([Action.CONFIGURE, Action.RECREATE, Action.SKIP, Action.UNPREDICTABLE]),
    reason=st.text(max_size=300),
    colour=st.booleans(),
)
def test_no_line_of_the_hook_is_wider_than_a_hundred_columns_with_gits_own_prefix(
    fields: list[FieldChange], action: Action, reason: str, *, colour: bool
) -> None:
    change = Change(ResourceKey("", "ConfigMap", "shop", "c" * 80), "v1", action, reason, tuple(fields), "u")
    for line in hook_lines(plan_of(change), colour=colour):
        assert columns(line) <= WIDTH == 92
        assert "\n" not in line


def told(field: dict[str, Any]) -> Iterator[str]:
    """Everything that a text must hold of a field in JSON, where it is short enough to stand there whole."""
    yield field["path"]
    for value in (field["old"], field["new"]):
        if value is None:
            yield "unset"
        elif isinstance(value, bool | int):
            yield json.dumps(value)
        elif isinstance(value, str) and value.isalnum() and len(value) < 20:
            yield value


@settings(max_examples=200, derandomize=True, deadline=None)
@given(fields=st.lists(FIELDS, min_size=1, max_size=6, unique_by=lambda field: field.path))
def test_text_and_json_carry_the_same_facts(fields: list[FieldChange]) -> None:
    plan = plan_of(configured(*fields))
    text, document = printed(plan), plan.to_json()
    (change,) = document["changes"]
    assert [field["path"] for field in change["fields"]] == [field.path for field in fields]
    assert "ConfigMap shop/c" in text
    for field, made in zip(change["fields"], fields, strict=True):
        if is_block(made):
            assert f"    {field['path']}: {counted(block(made))}" in text
            continue
        for fact in told(field):
            assert fact in text


SECRET = st.text(alphabet="QXZ!#0123456789", min_size=6, max_size=60)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(
    old=st.dictionaries(st.sampled_from(["a", "b", "tls.key"]), SECRET, max_size=3),
    new=st.dictionaries(st.sampled_from(["a", "b", "tls.key"]), SECRET, max_size=3),
    last=SECRET,
)
def test_a47_no_part_of_a_secret_value_is_in_anything_that_is_shown(
    old: dict[str, str], new: dict[str, str], last: str
) -> None:
    base = {"apiVersion": "v1", "kind": "Secret"}
    told = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"stringData": {"a": last}})}
    live = resource_of({**base, "metadata": {"name": "s", "annotations": told}, "stringData": old})
    wanted = resource_of({**base, "metadata": {"name": "s"}, "stringData": new})
    changes = [
        Change(wanted.key, "v1", action, "", fields, "u")
        for action, fields in (
            (Action.CONFIGURE, field_changes(live.body, wanted.body)),
            (Action.CREATE, field_changes(None, wanted.body)),
            (Action.RECREATE, field_changes(wanted.body, live.body)),
        )
    ]
    plan = plan_of(*changes)
    everything = "\n".join(
        [json.dumps(plan.to_json()), repr(plan), printed(plan), *hook_lines(plan), *hook_lines(plan, colour=True)]
    )
    for value in (*old.values(), *new.values(), last):
        for at in range(len(value) - 5):
            assert value[at : at + 6] not in everything
