"""GitHub's deliveries: whether they are GitHub's, and which place they say to look at. Pure.

Events and fields are those of GitHub's own webhook description; each event and action that is not named here is of no
concern, so that new ones do no harm.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final

from bot.forges.payloads import below, delivery_of, document, header, image_of, name_of, number_of, project_of
from bot.forges.port import Hint, Rejected
from worker.domain.environment import COMMIT_ID
from worker.domain.installation import CANDIDATES

SIGNATURE: Final = "X-Hub-Signature-256"
EVENT: Final = "X-GitHub-Event"
DELIVERY: Final = "X-GitHub-Delivery"

BRANCH: Final = "refs/heads/"

CHANGES: Final = frozenset({
    "opened", "reopened", "closed", "synchronize", "edited", "ready_for_review", "converted_to_draft",
})  # fmt: skip
"""What may change the prediction of a pull request; `edited` also tells of a new base."""


def verify(headers: Mapping[str, str], body: bytes, secret: bytes, now: float) -> None:  # noqa: ARG001 - GitHub signs no time
    """Raises Rejected(401) unless the raw body is signed with this secret: HMAC-SHA256, as lower-case hex."""
    expected = b"sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest().encode()
    given = header(headers, SIGNATURE).encode(errors="surrogatepass")
    if not secret or not hmac.compare_digest(given, expected):
        raise Rejected(401, f"{SIGNATURE} does not fit the body: check the webhook's secret on both sides")


def read(headers: Mapping[str, str], body: bytes) -> Hint | None:
    """What a verified delivery is about; None where it is of no concern. Raises Rejected(400 or 415)."""
    delivery = delivery_of(header(headers, DELIVERY), DELIVERY)
    payload = document(headers, body)
    reader = READERS.get(header(headers, EVENT))
    found = reader(payload) if reader else None
    if found is None:
        return None
    if "image" in found:
        return Hint(project="", delivery=delivery, **found)
    project = project_of(below(payload, "repository", "full_name"), "repository.full_name")
    return Hint(project=project, delivery=delivery, **found)


Found = dict[str, Any] | None
"""What a reader found: some of Hint's fields by their names."""


def _pull_request(payload: Mapping[str, Any]) -> Found:
    if _action(payload) not in CHANGES:
        return None
    return {"number": number_of(below(payload, "pull_request", "number"), "pull_request.number")}


def _push(payload: Mapping[str, Any]) -> Found:
    branch = _branch(payload.get("ref"), "ref")
    return {"branch": branch} if branch and not branch.startswith(CANDIDATES) else None


def _comment(payload: Mapping[str, Any]) -> Found:
    """A comment that was just made by a person on a pull request: edits are no commands, and neither is what a machine says."""
    if _action(payload) != "created" or not isinstance(below(payload, "issue", "pull_request"), Mapping):
        return None
    author = below(payload, "comment", "user", "type")
    if author == "Bot" or below(payload, "comment", "performed_via_github_app") is not None:
        return None
    comment = number_of(below(payload, "comment", "id"), "comment.id")
    return {"number": number_of(below(payload, "issue", "number"), "issue.number"), "comment": str(comment)}


def _merge_group(payload: Mapping[str, Any]) -> Found:
    if _action(payload) != "checks_requested":
        return None
    base = _branch(below(payload, "merge_group", "base_ref"), "merge_group.base_ref")
    head = _commit(below(payload, "merge_group", "head_sha"), "merge_group.head_sha")
    return {"branch": base, "revision": head} if base else None


def _rerun(name: str) -> Callable[[Mapping[str, Any]], Found]:
    """Somebody wants a check made again: of a pull request, of a merge queue's candidate, or of a branch."""

    def read_rerun(payload: Mapping[str, Any]) -> Found:
        if _action(payload) != "rerequested":
            return None
        requests = below(payload, name, "pull_requests")
        if isinstance(requests, list) and requests:
            return {"number": number_of(below({"first": requests[0]}, "first", "number"), "pull_requests.number")}
        suite = below(payload, name, "check_suite") if name == "check_run" else below(payload, name)
        branch = below({"suite": suite}, "suite", "head_branch")
        if branch is None:
            return None
        branch = name_of(branch, "head_branch")
        if not branch.startswith(CANDIDATES):
            return {"branch": branch}
        base = branch.removeprefix(CANDIDATES).rpartition("/")[0]
        head = _commit(below({"suite": suite}, "suite", "head_sha"), "head_sha")
        return {"branch": name_of(base, "head_branch"), "revision": head}

    return read_rerun


def _package(name: str) -> Callable[[Mapping[str, Any]], Found]:
    """A tag that was pushed to GitHub's own registry."""

    def read_package(payload: Mapping[str, Any]) -> Found:
        package = below(payload, name)
        kinds = {str(below(payload, name, key)).lower() for key in ("package_type", "ecosystem")}
        if (
            _action(payload) not in ("published", "updated")
            or not isinstance(package, Mapping)
            or "container" not in kinds
        ):
            return None
        tag = below(package, "package_version", "container_metadata", "tag")
        if not isinstance(tag, Mapping) or not tag.get("name"):
            return None
        owner = below(package, "owner", "login")
        image = image_of(owner, package.get("name"), tag.get("name"), tag.get("digest") or "")
        return {"image": image} if image else None

    return read_package


def _ping(payload: Mapping[str, Any]) -> Found:
    return {"ping": True} if below(payload, "repository") is not None else None


READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Found]]] = {
    "pull_request": _pull_request,
    "push": _push,
    "issue_comment": _comment,
    "merge_group": _merge_group,
    "check_run": _rerun("check_run"),
    "check_suite": _rerun("check_suite"),
    "ping": _ping,
    "package": _package("package"),
    "registry_package": _package("registry_package"),
}


BY_HAND: Final = frozenset({"package", "registry_package"})
"""Events that only who wants them chooses: an App needs the permission to read packages for them."""


def _action(payload: Mapping[str, Any]) -> str:
    action = payload.get("action")
    return action if isinstance(action, str) else ""


def _branch(ref: Any, what: str) -> str:
    """The branch of a full ref name, empty for a tag."""
    name = name_of(ref, what)
    return name_of(name.removeprefix(BRANCH), what) if name.startswith(BRANCH) else ""


def _commit(value: Any, what: str) -> str:
    if not isinstance(value, str) or not COMMIT_ID.fullmatch(value):
        raise Rejected(400, f"{what} is not a full commit id")
    return value
