"""Diffs, drift, normal forms and redaction beside other projects' tables; what is not followed is in tests/otherwise."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import CORPORA, table
from tests.otherwise import DIFF, DRIFT, IMMUTABLE, NO_RULES, NORMALIZE
from worker.domain.errors import Denied
from worker.domain.plan import ABSENT, FieldChange
from worker.domain.resource import MASK, Resource, resource_of
from worker.planning.changes import needs_recreation
from worker.planning.diffing import field_changes, specified_differences


def cases(name: str) -> list[Any]:
    return [pytest.param(case, id=case["id"]) for case in table(CORPORA, name)] if CORPORA.is_dir() else []


def body_of(file: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CORPORA / "tables" / file).read_text())
    return found


def named(body: dict[str, Any]) -> Resource:
    return resource_of({**body, "metadata": {"name": "x", **(body.get("metadata") or {})}})


def paths(changes: tuple[FieldChange, ...]) -> dict[str, tuple[Any, Any]]:
    return {change.path: (change.old, change.new) for change in changes}


@pytest.mark.parametrize("case", cases("diff_argocd_client_pairs"))
def test_what_a_manifest_specifies_is_found_in_the_live_object_or_not(case: dict[str, Any], corpora: Path) -> None:
    desired, live = named(body_of(case["files"]["config"])), named(body_of(case["files"]["live"]))
    differs = bool(specified_differences(desired, live))
    wanted = case["expected_modified"]
    if isinstance(wanted, dict):
        assert f"{case['id']}/ignore_aggregated_roles=false" in DIFF
        wanted = wanted["ignore_aggregated_roles=true"]
    assert differs is wanted, [str(each) for each in specified_differences(desired, live)][:3]


@pytest.mark.parametrize("case", cases("errors_flux_immutable"))
def test_a_field_that_cannot_change_is_known_by_the_server_s_words(case: dict[str, Any], corpora: Path) -> None:
    live = named({"apiVersion": "v1", "kind": "ConfigMap"})
    refused = Denied("ConfigMap x", 422, "Invalid", case["err"])
    assert needs_recreation(live, refused) is (case["match"] and case["id"] not in IMMUTABLE)
    assert not needs_recreation(None, refused), "what is not there is made, not made again"


@pytest.mark.parametrize("case", cases("diff_argocd_server_side"))
def test_what_a_dry_run_answers_is_the_prediction_field_by_field(case: dict[str, Any], corpora: Path) -> None:
    live, predicted = body_of(case["files"]["live"]), body_of(case["files"]["predicted_live"])
    found = paths(field_changes(live, predicted))
    assert bool(found) is case["expected"]["modified"]
    if case["id"] in DIFF:
        assert "metadata.labels.event" in found
    elif case["id"] == "svc-label-removal":
        assert found["metadata.labels.delete-me"][1] is ABSENT
    elif case["id"] == "configmap-key-removal":
        assert [path for path, (_, new) in found.items() if new is ABSENT] == ["data.key3"]
    elif case["id"] == "deploy-nested-ports-env":
        assert any("ports[containerPort=443" in path for path in found)
        assert any("env[name=ENV_VAR2]" in path for path in found)
        assert not any("containerPort=80]" in path or "ENV_VAR1" in path for path in found)
    else:
        assert any("ports[containerPort=8080" in path for path in found)
        assert not any(path.endswith("containers") for path in found), "an added item is no rewrite of the list"


def changed(base: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    body = copy.deepcopy(base)
    for operation in operations:
        assert operation["op"] == "set"
        holder = body
        for name in operation["path"][:-1]:
            if not isinstance(holder.get(name), dict):
                holder[name] = {}
            holder = holder[name]
        holder[operation["path"][-1]] = operation["value"]
    return body


@pytest.mark.parametrize("case", cases("drift_flux_jsondiff"))
def test_drift_is_what_differs_of_what_git_specifies(case: dict[str, Any], corpora: Path) -> None:
    base = body_of(case["base"])
    live = named(changed(base, case.get("cluster_ops", [])))
    desired = named(changed(base, case.get("desired_ops", [])))
    found = paths(specified_differences(desired, live))
    if case["id"] in DRIFT:
        assert found
        return
    assert bool(found) is (case["want_type"] != "none")
    for patch in case.get("want_patch", []):
        path = patch["path"][1:].replace("/", ".")
        leaves = patch["value"].items() if isinstance(patch["value"], dict) else [("", patch["value"])]
        for name, value in leaves:
            assert any(
                each.startswith(path) and (new == value or (isinstance(new, dict) and new.get(name) == value))
                for each, (_, new) in found.items()
            ), found


def test_no_rule_selects_what_is_compared(corpora: Path) -> None:
    assert len(table(corpora, "drift_flux_selectors")) > 20
    assert set(DRIFT.values()) == {NO_RULES}


@pytest.mark.parametrize("case", cases("normalize_flux_desired"))
def test_what_others_write_into_a_manifest_first_is_no_difference_here(case: dict[str, Any], corpora: Path) -> None:
    found = specified_differences(named(case["object"]), named(case["want"]))
    if case["id"] in NORMALIZE:
        assert [each.path for each in found] == ["status"]
        return
    assert found == ()


@pytest.mark.parametrize("case", cases("normalize_flux_dry_run"))
def test_an_answer_of_the_server_is_compared_as_it_is(case: dict[str, Any], corpora: Path) -> None:
    assert case["id"] in NORMALIZE
    assert paths(field_changes(case["want"], case["object"])).keys() >= {"spec.metrics"}


@pytest.mark.parametrize("case", cases("diff_helm_diff_text"))
def test_a_change_is_seen_where_others_see_one_and_a_rename_is_two(case: dict[str, Any], corpora: Path) -> None:
    old, new = ({key: yaml.safe_load(text) for key, text in case[side].items()} for side in ("old", "new"))
    both = {key: field_changes(named(old[key]).body, named(new[key]).body) for key in old if key in new}
    seen = any(both.values()) or set(old) != set(new)
    if case["id"] in DIFF:
        assert not seen
        return
    assert seen is case["expected_changes_seen"]
    if "Secret" in case["id"]:
        ((_, found),) = both.items()
        assert {change.path for change in found} == {"data.key1", "data.key3", "data.key4"}
        text = json.dumps([change.to_json() for change in found]) + repr(found)
        assert "value1" not in text
        assert "bytes" not in text, "not even how long a secret is"


def secret(data: dict[str, str] | None) -> dict[str, Any]:
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    return named({**body, **({"stringData": data} if data is not None else {})}).body


def masked(changes: tuple[FieldChange, ...]) -> dict[str, tuple[str | None, str | None]]:
    for change in changes:
        for value, side in zip(change.shown(), ("before", "after"), strict=True):
            assert value in (None, f"{MASK} ({side})"), "a mask says which side it is, and nothing else"
    return {change.path: change.shown() for change in changes}


@pytest.mark.parametrize("case", cases("redact_argocd_secret"))
def test_a47_secrets_show_their_keys_and_that_they_change(case: dict[str, Any], corpora: Path) -> None:
    given = case["input"]
    live = secret(given["live"])
    if "live_last_applied" in given:
        told = json.dumps({"kind": "Secret", "stringData": given["live_last_applied"]})
        live = resource_of({**live, "metadata": {"name": "s", "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": told}}}).body  # fmt: skip
    found = masked(field_changes(live, secret(given["target"])))
    both = given["live"].keys() | given["target"].keys()
    assert found.keys() == {f"data.{key}" for key in both if given["live"].get(key) != given["target"].get(key)}


def test_a48_the_copy_that_kubectl_keeps_of_a_secret_is_never_shown() -> None:
    told = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"stringData": {"p": "hunter2hunter2"}})}
    live = resource_of({**secret({"p": "hunter2hunter2"}), "metadata": {"name": "s", "annotations": told}})
    for changes in (
        field_changes(live.body, secret({"p": "hunter3hunter3"})),
        field_changes(None, live.body),
        field_changes(secret({}), live.body),
    ):
        text = json.dumps([change.to_json() for change in changes]) + repr(changes) + repr(live)
        assert "hunter" not in text
        assert not any("last-applied" in change.path for change in changes)


def sides_of(patch: list[dict[str, Any]]) -> tuple[dict[str, str], dict[str, str]]:
    old: dict[str, str] = {}
    new: dict[str, str] = {}
    for operation in patch:
        name = operation["Path"].removeprefix("/data").removeprefix("/stringData").lstrip("/")
        for side, member in ((old, "OldValue"), (new, "Value")):
            value = operation.get(member)
            if value is not None:
                side.update(value if not name else {name: value})
    return old, new


@pytest.mark.parametrize("case", cases("redact_flux_json_patch"))
def test_a47_a_patch_of_a_secret_shows_its_keys_and_masks(case: dict[str, Any], corpora: Path) -> None:
    old, new = sides_of(case["patch"])
    wanted_old, wanted_new = sides_of(case["want"])
    found = masked(field_changes(secret(old), secret(new)))
    assert found.keys() == {
        f"data.{key}" for key in wanted_old.keys() | wanted_new.keys() if old.get(key) != new.get(key)
    }
    for key in wanted_old.keys() | wanted_new.keys():
        assert (found[f"data.{key}"][0] is not None) is (key in wanted_old)
        assert (found[f"data.{key}"][1] is not None) is (key in wanted_new)


@pytest.mark.parametrize("case", cases("redact_flux_secret_pair"))
def test_a47_a_secret_that_comes_or_goes_shows_no_value(case: dict[str, Any], corpora: Path) -> None:
    old, new = ((case["input"].get(side) or {}).get("data", {}) for side in ("old", "new"))
    found = masked(field_changes(secret(old), secret(new)))
    assert found.keys() == {f"data.{key}" for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
