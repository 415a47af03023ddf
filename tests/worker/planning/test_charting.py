"""Which values of a chart may make a field: as a table."""

from __future__ import annotations

from typing import Any

import pytest

from worker.domain.edits.changes import Put
from worker.domain.plan import ABSENT, FieldChange
from worker.domain.proposals import Drift
from worker.domain.resource import ResourceKey
from worker.planning.charting import MOST, ValuesFile, ways

WEB = ResourceKey("apps", "Deployment", "shop", "web")
CHART = {
    "replicas": 1,
    "image": {"repository": "r.example/web", "tag": "1.0"},
    "args": ["-v", "-x"],
    "list": [{"name": "a", "size": 5}],
    "limits": {"cpu": "1"},
    "on": True,
    "nothing": None,
}


def offered(path: str, old: Any, new: Any, *files: ValuesFile) -> list[tuple[str, Any, Any]]:
    found = []
    for each in ways(Drift(WEB, FieldChange(path, old, new)), files):
        assert isinstance(each.change, Put)
        found.append((each.file, each.change.path, each.change.value))
    return found


@pytest.mark.parametrize(
    ("path", "old", "new", "place", "value"),
    [
        ("spec.replicas", 1, 3, ("replicas",), 3),
        ("c.image", "r.example/web:1.0", "r.example/web:1.1", ("image", "tag"), "1.1"),
        ("c.image", "r.example/web:1.0", "other.example/web:1.0", ("image", "repository"), "other.example/web"),
        ("c.args[1]", "-x", "-y", ("args", 1), "-y"),
        ("x.size", "5", "7", ("list", 0, "size"), "7"),
        ("x.on", True, False, ("on",), False),
        ("limits", {"cpu": "1"}, {"cpu": "2"}, ("limits",), {"cpu": "2"}),
        ("x.on", True, ABSENT, ("on",), None),
    ],
)
def test_a_value_that_is_the_field_or_a_part_of_it_is_offered(
    path: str, old: Any, new: Any, place: Any, value: Any
) -> None:
    assert ("values.yaml", place, value) in offered(path, old, new, ValuesFile("values.yaml", CHART))


def test_what_no_value_is_has_no_way() -> None:
    for old, new in (("zzz", "y"), (9, 10), ("r.example/web:1.0", "else"), (["q"], ["r"]), ("-x", ABSENT)):
        assert offered("a.b", old, new, ValuesFile("values.yaml", CHART)) == []


def test_the_environment_s_own_file_comes_first_and_gets_a_list_as_a_whole() -> None:
    files = (ValuesFile("prod.yaml", {"image": {"tag": "2"}}), ValuesFile("values.yaml", CHART, is_shared=True))
    assert offered("spec.replicas", 1, 3, *files)[:2] == [
        ("prod.yaml", ("replicas",), 3),
        ("values.yaml", ("replicas",), 3),
    ]
    assert offered("c.args[1]", "-x", "-y", *files)[0] == ("prod.yaml", ("args",), ["-v", "-y"])
    assert offered("c.image", "r.example/web:2", "r.example/web:3", *files)[0] == ("prod.yaml", ("image", "tag"), "3")


def test_the_values_of_a_chart_inside_are_said_by_the_one_around_it() -> None:
    files = (ValuesFile("values.yaml", {}), ValuesFile("charts/db/values.yaml", {"size": 4}, ("db",), is_own=False))
    assert offered("spec.size", 4, 8, *files) == [("values.yaml", ("db", "size"), 8)]
    closed = (ValuesFile("values.yaml", {"db": "x"}), files[1])
    assert offered("spec.size", 4, 8, *closed) == []


def test_the_name_that_is_alike_is_tried_first_and_not_everything_is_tried() -> None:
    values = {f"a{number}": 3 for number in range(30)} | {"revisionHistory": 3}
    found = offered("spec.revisionHistoryLimit", 3, 4, ValuesFile("values.yaml", values))
    assert found[0] == ("values.yaml", ("revisionHistory",), 4)
    assert len(found) == MOST
