"""What adopted drift says of itself, and that nothing from the cluster can be more than text in it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bot.adoption_text import body, branch_name, message, proposed, refused, title
from worker.domain.adoption import AdoptedFile, AdoptionReport, AdoptionRequest
from worker.domain.edits.changes import Append, Put, Remove
from worker.domain.messages import UnknownMessage
from worker.domain.plan import ABSENT, FieldChange
from worker.domain.proposals import Drift
from worker.domain.resource import ResourceKey

ASKED = AdoptionRequest("shop", "production", "", "main", {"by": "ada", "number": 7}, 1.0)
WEB = ResourceKey("apps", "Deployment", "shop", "web")
DRIFT = Drift(WEB, FieldChange("spec.replicas", 2, 3), "kubectl-edit", "2026-11-27T11:00:00Z", "Update")
FILE = AdoptedFile("app/web.yaml", "c" * 40, "100644", "d" * 40, (Put(0, ("spec", "replicas"), 3),))
REPORT = AdoptionReport(ASKED, "b" * 40, (FILE,), (DRIFT,))


def test_a_report_comes_back_from_json_as_it_was() -> None:
    changes = (Put(1, ("a", 0), {"b": [None, 1.5]}), Append(0, ("patches",), {"patch": "x\n"}), Remove(0, ("c",)))
    full = replace(
        REPORT, files=(replace(FILE, changes=changes, shared=("staging",)),), left=("l",), notes=("n",), refusal="no"
    )
    assert AdoptionReport.from_json(json.loads(json.dumps(full.to_json()))) == full
    with pytest.raises(UnknownMessage):
        AdoptionReport.from_json({**full.to_json(), "type": "image"})
    strange = full.to_json()
    strange["files"][0]["changes"][0]["change"] = "run"
    with pytest.raises(UnknownMessage):
        AdoptionReport.from_json(strange)


def test_the_same_drift_onto_the_same_tip_has_one_branch() -> None:
    name = branch_name(REPORT)
    assert name.startswith("plumbline/adopt-production-")
    assert name.endswith("-onto-bbbbbbb")
    assert branch_name(replace(REPORT, adopted=())) == name, "what is written counts"
    other = replace(REPORT, files=(replace(FILE, changes=(Put(0, ("spec", "replicas"), 4),)),))
    assert len({name, branch_name(other), branch_name(replace(REPORT, onto="e" * 40))}) == 3


def test_the_commit_names_the_objects_and_credits_who_asked() -> None:
    assert message(REPORT, "github.com") == (
        "Adopt what drifted of Deployment shop/web in production\n\n"
        "- Deployment shop/web, spec.replicas, last written by kubectl-edit\n\n"
        "Plumbline-Adopt: Deployment/shop/web\nPlumbline-Environment: production\nRequested-by: ada\n"
        "Co-authored-by: ada <ada@users.noreply.github.com>\n"
    )
    more = tuple(replace(DRIFT, key=WEB._replace(name=f"w{number}")) for number in range(60))
    assert title(replace(REPORT, adopted=more)) == "Adopt what drifted of 60 objects in production"
    assert "- and 10 more\n" in message(replace(REPORT, adopted=more), "github.com")
    assert "Plumbline-Adopt: ClusterRole/x\n" in message(
        replace(REPORT, adopted=(replace(DRIFT, key=ResourceKey("rbac", "ClusterRole", "", "x")),)), "github.com"
    )


def test_the_change_request_shows_the_fields_what_is_shared_and_what_is_left() -> None:
    shared = replace(REPORT, files=(replace(FILE, shared=("staging",)),), left=("Secret shop/key, data.k: never",))
    text = body(shared)
    assert text.startswith("**app/web.yaml is shared: staging would change too**")
    assert "+   3   in the cluster, last written by kubectl-edit" in text
    assert "Not adopted:\n\n- Secret shop/key, data.k: never" in text
    assert "Asked for by @ada in #7." in text
    said = proposed(shared, "http://forge/3")
    assert said.startswith("[Adopt what drifted of Deployment shop/web in production](http://forge/3) is ready")
    assert "is shared" in said
    assert "Not adopted" in said
    assert "Not adopted" not in proposed(REPORT, "http://forge/3")
    assert refused(REPORT, "no") == "nothing of `production` is adopted: no"


def test_a54_nothing_of_the_cluster_breaks_out_of_the_texts_or_makes_a_trailer() -> None:
    evil = "x\n\nCo-authored-by: eve <e@e>\n```\n</details>@everyone <!-- plumbline:default:prediction --> [a](javascript:b)"
    key = WEB._replace(name=evil)
    for value in (evil, [evil], {evil: evil}, ABSENT):
        drift = Drift(key, FieldChange(evil, "1", value), evil, evil, "Update")
        report = replace(
            REPORT, adopted=(drift,), left=(evil,), notes=(evil,), files=(replace(FILE, path=evil, shared=(evil,)),)
        )
        lines = message(report, "github.com").splitlines()
        assert not any(line.startswith("Co-authored-by: eve") for line in lines)
        assert "\n" not in title(report)
        for text in (body(report), proposed(report, "http://forge/3"), refused(report, evil)):
            outside = "".join(text.split("````")[::2])
            assert "<!--" not in outside
            assert "</details>" not in outside.replace("`x", "")
            assert "\n```\n" not in outside
