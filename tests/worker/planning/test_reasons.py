"""What Pods and events say, in words."""

from __future__ import annotations

from typing import Any

import pytest

from worker.domain.resource import Resource, resource_of
from worker.planning.assessment import assess, pod_trouble, telling


def pod(**status: Any) -> Resource:
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {}, "status": status}
    return resource_of(body)


def statuses(name: str, **state: Any) -> list[dict[str, Any]]:
    return [{"name": name, "image": "i:1", "restartCount": 4, **state}]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            {"initContainerStatuses": statuses("migrate", state={"waiting": {"reason": "ImagePullBackOff"}})},
            "ImagePullBackOff (init container migrate, i:1)",
        ),
        (
            {
                "containerStatuses": statuses(
                    "c",
                    state={"waiting": {"reason": "CrashLoopBackOff"}},
                    lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
                )
            },
            "CrashLoopBackOff: container c, exit code 137 (OOMKilled), restarted 4 times",
        ),
        (
            {
                "containerStatuses": statuses(
                    "c", state={"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "x" not found'}}
                )
            },
            'CreateContainerConfigError: secret "x" not found',
        ),
        (
            {"phase": "Failed", "containerStatuses": statuses("c", state={"terminated": {"exitCode": 3}})},
            "container c failed with exit code 3",
        ),
        (
            {
                "phase": "Failed",
                "containerStatuses": statuses("c", state={"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
            },
            "OOMKilled: container c used more memory than its limit",
        ),
        ({"phase": "Failed", "message": "The node was low on resource"}, "The node was low on resource"),
        ({"phase": "Pending"}, None),
    ],
)
def test_a_pod_in_trouble_says_which_container_and_how_it_ended(status: dict[str, Any], words: str | None) -> None:
    assert pod_trouble(pod(**status)) == words


def test_a_pod_without_a_place_says_what_the_scheduler_says() -> None:
    condition = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available: 3 Insufficient cpu."}
    live = pod(phase="Pending", conditions=[condition])
    assert assess(live, live.key, {}).reason == "cannot be scheduled: 0/3 nodes are available: 3 Insufficient cpu."


def event(kind: str, reason: str, message: str, **times: Any) -> Resource:
    metadata = {"name": reason, "creationTimestamp": "2026-01-01T00:00:00Z"}
    body = {"apiVersion": "v1", "kind": "Event", "metadata": metadata, "type": kind, "reason": reason}
    return resource_of({**body, "message": message, **times})


def test_the_newest_warning_is_told_and_what_is_normal_is_not() -> None:
    old = event("Warning", "FailedScheduling", "0/3 nodes", lastTimestamp="2026-01-01T00:00:05Z")
    new = event(
        "Warning", "FailedMount", 'configmap  "x"\nnot found', series={"lastObservedTime": "2026-01-01T00:00:09Z"}
    )
    normal = event("Normal", "Pulled", "image", lastTimestamp="2026-01-01T00:01:00Z")
    assert telling([new, old, normal]) == 'FailedMount: configmap "x" not found'
    assert telling([old, normal]) == "FailedScheduling: 0/3 nodes"
    assert telling([normal]) == ""
    assert telling([]) == ""
    assert (
        telling([event("Normal", "FailedBinding", "no storage class is set")])
        == "FailedBinding: no storage class is set"
    )


def test_the_same_trouble_is_the_same_sentence_however_often_it_is_seen() -> None:
    seen = [
        event("Warning", "FailedCreate", "quota", count=count, lastTimestamp=f"2026-01-01T00:00:0{count}Z")
        for count in (1, 9)
    ]
    assert telling(seen[:1]) == telling(seen[1:])


def test_a_token_in_an_event_is_masked() -> None:
    text = telling([event("Warning", "Failed", "cannot log in with token=" + "abc123" * 4)])
    assert text == "Failed: cannot log in with token=‹masked›"
