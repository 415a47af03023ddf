"""Where other projects' expected outputs are not followed: each case, what is said here instead, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

HEALTH: Final = {
    "TestJobStatus/jobInProgress": ("progressing", "a Job that runs is waited for"),
    "TestPodStatus/podUnschedulable": ("progressing", "it may be scheduled once there is room: the time limit decides"),
    "TestReplicasetStatus/rsReplicaFailure": ("degraded", "replicas that cannot be created are a failure with a reason"),
    "apps_v1_daemon_set/TestAppsV1DaemonSetUpdate/4": ("progressing", "kapp's annotations that end a rollout early are not read"),
    "apps_v1_deployment/TestAppsV1DeploymentMinRepAvailable/1": (
        "progressing", "kapp's annotations that end a rollout early are not read",
    ),
}  # fmt: skip
"""Cases of health_argocd_builtin, health_kstatus and health_kapp_wait."""

HEALTH_CUSTOM: Final[dict[str, tuple[str, str]]] = {
    name: (said, why)
    for name, (said, why) in json.loads(Path(__file__).with_name("health_argocd_custom.json").read_text()).items()
}
"""Cases of health_argocd_custom, where no rule that holds for every kind can know what is said."""

CHANGE_GRAPH: Final = {
    "change_graph/TestChangeGraphWithDeletes": "rules about deleting do not carry over: pruning has its own order",
}
"""Cases of order_kapp_change_graph."""

KUSTOMIZE: Final = {
    "configmaps/TestGeneratorRepeatsInKustomization": "a key that stands twice is the author's mistake, and is named",
    "replacementtransformer/TestReplacementTransformerWithSuffixTransformerAndReject": (
        "a key that stands twice is the author's mistake, and is named"
    ),
    "replacementtransformer/TestReplacementTransformerWithSuffixTransformerAndRejectUsingRegex": (
        "a key that stands twice is the author's mistake, and is named"
    ),
}
"""Cases of kustomize_builds that are refused."""

REFUSED: Final = {
    'Invalid value: "null"': "an empty map that replaces a filled one is made null by the API server, and refused",
    "nothing is rendered": "an empty folder is never a desired state",
    "would be fetched from elsewhere": "nothing is fetched while rendering",
    "is not a Kubernetes object": "a file that is none lies among the manifests",
    "is declared twice": "which of the two is meant is not known; whoever applied file by file got the later one",
    "has generateName": "an object without a name is another one at each apply, and can be neither proved nor pruned",
    "`selector` does not match template `labels`": "the API server refuses it",
    "subjects[0].namespace: Required value": "the API server refuses it",
    "roleRef.kind: Unsupported value": "the API server refuses it",
}  # fmt: skip
"""Commits of the histories that are refused, by what the refusal says. What kustomize does not build is asked of itself."""

NO_RULES: Final = "there are no rules that hide a difference: what Git specifies is compared"

DRIFT: Final = {
    "Deployment with ignored change path": NO_RULES,
    "Deployment with annotation matching exclusion selector": NO_RULES,
    "Deployment with label matching exclusion selector": NO_RULES,
}
"""Cases of drift_flux_jsondiff that are a difference here. Of drift_flux_selectors none carries over, for the same reason."""

DIFF: Final = {
    "service-webhook-ignored": "what an admission webhook adds is part of what merging does, so it is shown",
    "aggr-clusterrole/ignore_aggregated_roles=false": "rules that a controller aggregates are not specified in Git, so not compared",
    "TestManifests/OnChangeWithSuppressAll": "another apiVersion of the same object changes nothing of what it holds",
}
"""Cases of diff_argocd_server_side, diff_argocd_client_pairs and diff_helm_diff_text."""

NORMALIZE: Final = {
    "removes status from any object": (
        "only kinds whose status has a door of its own lose it, by what the server says of them; others have it like any field"
    ),
    "removes duplicated metrics from v2 HorizontalPodAutoscaler": (
        "what the server answers is never mended before it is compared: a list that it doubles is a difference"
    ),
}
"""Cases of normalize_flux_desired and normalize_flux_dry_run."""

_BY_ADDRESS: Final = ("ignore", "a command begins with a slash: an account that is mentioned is not addressed by that")
_HELP: Final = ("error", "`/help` is about all commands; the answer to the mistake says so")
_QUOTED: Final = ("ignore", "what is quoted as code is talked about, and not said")
_FIRST_LINE: Final = ("ignore", "a command is the first line of a comment, also where that is empty")

COMMENTS: Final = {
    "executable-name/2": _BY_ADDRESS,
    "help/2": _BY_ADDRESS,
    "help/5": ("error", "there is no option that asks for help; the answer to the mistake names `/help`"),
    "help/6": _HELP,
    "help/7": _HELP,
    "help-trimmed/1": _QUOTED,
    "help-trimmed/3": _QUOTED,
    "ignored/3": ("command", "what follows the first line is for people"),
    "project-and-dir/2": ("command", "several environments may be named at once"),
    "valid/5": _FIRST_LINE,
    "valid/7": _FIRST_LINE,
    "valid/10": ("error", "a command is written small; the answer to the mistake says so"),
}
"""Cases of comments_atlantis."""

IMMUTABLE: Final = {
    "Custom admission immutable error": "a webhook's word is a person's rule: an object is not deleted to get around it",
}
"""Cases of errors_flux_immutable."""
