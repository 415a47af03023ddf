"""Manifests as generators write them are proven unchanged once they are applied: without a dry run, without a write."""

from __future__ import annotations

import json

from tests.api_proxy import ApiProxy
from tests.world import World


def definition(plural: str) -> str:
    return json.dumps({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.org", "creationTimestamp": None},
        "spec": {
            "group": "example.org", "scope": "Namespaced",
            "names": {"plural": plural, "kind": plural.capitalize().replace("-", "")},
            "versions": [{
                "name": "v1", "served": True, "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }],
        },
        "status": {"acceptedNames": {"kind": "", "plural": ""}, "conditions": [], "storedVersions": []},
    })  # fmt: skip


ACCOUNT = """\
apiVersion: v1
kind: ServiceAccount
metadata: {name: jobs}
secrets: [{name: hook}, {name: registry}]
imagePullSecrets: [{name: registry}]
"""


def test_a_definition_with_a_status_and_an_account_with_atomic_items_need_no_dry_run(
    namespace: str, proxy: ApiProxy
) -> None:
    text = "\n---\n".join([definition(f"left-{namespace}"), ACCOUNT])
    world = World(proxy.kubeconfig, namespace)
    world.converge(text)
    proxy.requests.clear()
    assert world.plan(text).is_empty
    assert [each for each in proxy.requests if each[0] == "PATCH"] == []

    changed = world.plan(text.replace("{name: hook}", "{name: other-hook}"))
    assert [str(change.key) for change in changed.writes] == [f"ServiceAccount {namespace}/jobs"]
    world.cluster.close()
