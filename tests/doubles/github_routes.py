"""What GitHub's double answers to each request: a table of routes, each a function of the double's state."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable, Mapping
from typing import Any, Final

from tests.doubles import github_contract as contract
from tests.doubles.bare_git import NOTHING, TreeFile
from tests.doubles.github import APP, INSTALLATION, PROJECT, Failed, GithubDouble

Groups = tuple[str, ...]
Query = Mapping[str, str]
Route = Callable[[GithubDouble, Groups, Query, Any, str], tuple[int, Any]]

ROUTES: Final[list[tuple[str, str, Route]]] = []
REPO: Final = f"/repos/{PROJECT}"


def route(method: str, pattern: str) -> Callable[[Route], Route]:
    """Puts a function into the table."""

    def put(function: Route) -> Route:
        ROUTES.append((method, pattern, function))
        return function

    return put


def _commit(double: GithubDouble, revision: str) -> str:
    try:
        return double.git.run("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    except subprocess.CalledProcessError:
        raise Failed(422, f"No commit found for SHA: {revision}") from None


@route("GET", "/app")
def app(double: GithubDouble, _g: Groups, _q: Query, _b: Any, _w: str) -> tuple[int, Any]:
    return 200, contract.example("integration", id=APP, slug="plumbline", name="Plumbline", permissions=double.given)


@route("GET", f"{REPO}/installation")
def installation(double: GithubDouble, _g: Groups, _q: Query, _b: Any, _w: str) -> tuple[int, Any]:
    return 200, contract.example(
        "installation", id=INSTALLATION, app_id=APP, app_slug="plumbline", permissions=double.given
    )


@route("POST", rf"/app/installations/{INSTALLATION}/access_tokens")
def access_token(double: GithubDouble, _g: Groups, _q: Query, body: Any, _w: str) -> tuple[int, Any]:
    if body["repositories"] != ["shop"]:
        raise Failed(422, "There is at least one repository that does not exist or is not accessible")
    return 201, double.token(body["permissions"])


@route("GET", "/user")
def user(double: GithubDouble, _g: Groups, _q: Query, _b: Any, who: str) -> tuple[int, Any]:
    return 200, _whole_user(double, who)


@route("GET", "/users/([^/]+)")
def users(double: GithubDouble, groups: Groups, _q: Query, _b: Any, _w: str) -> tuple[int, Any]:
    if groups[0] not in double.users:
        raise Failed(404, "Not Found")
    return 200, _whole_user(double, groups[0])


def _whole_user(double: GithubDouble, login: str) -> dict[str, Any]:
    return contract.example("public-user-default-response") | double.user(login) | {"user_view_type": "public"}


@route("GET", REPO)
def repository(double: GithubDouble, _g: Groups, _q: Query, _b: Any, who: str) -> tuple[int, Any]:
    may_push = double.roles.get(who) in ("write", "admin")
    whole = contract.example("full-repository", has_discussions=False) | {"full_name": PROJECT}
    return 200, whole | {"permissions": {"admin": False, "push": may_push, "pull": True}}


@route("GET", f"{REPO}/collaborators/([^/]+)/permission")
def permission(double: GithubDouble, groups: Groups, _q: Query, _b: Any, _w: str) -> tuple[int, Any]:
    login = groups[0]
    if login not in double.users:
        raise Failed(404, f"{login} is not a user")
    role = double.roles.get(login, "none")
    return 200, {"permission": role, "role_name": role, "user": double.user(login) | {"role_name": role}}


@route("GET", f"{REPO}/git/matching-refs/(.*)")
def matching_refs(double: GithubDouble, groups: Groups, _q: Query, _b: Any, _w: str) -> tuple[int, Any]:
    found = double.git.refs("refs/heads")
    return 200, [_ref(name, commit) for name, commit in found.items() if name.startswith(f"refs/{groups[0]}")]


@route("GET", f"{REPO}/git/ref/(.+)")
def ref(double: GithubDouble, groups: Groups, _q: Query, _b: Any, _w: str) -> tuple[int, Any]:
    commit = double.git.tip(f"refs/{groups[0]}")
    if not commit:
        raise Failed(404, "Not Found")
    return 200, _ref(f"refs/{groups[0]}", commit)


def _ref(name: str, commit: str) -> dict[str, Any]:
    made = contract.example("git-ref", ref=name)
    return made | {"object": made["object"] | {"sha": commit}}


@route("POST", f"{REPO}/git/refs")
def make_ref(double: GithubDouble, _g: Groups, _q: Query, body: Any, who: str) -> tuple[int, Any]:
    if double.git.tip(body["ref"]):
        raise Failed(422, "Reference already exists")
    commit = _commit(double, body["sha"])
    double.git.set_ref(body["ref"], commit)
    double.send(
        "push", {"ref": body["ref"], "before": NOTHING, "after": commit, "created": True, "deleted": False}, who
    )
    return 201, _ref(body["ref"], commit)


@route("PATCH", f"{REPO}/git/refs/(.+)")
def move_ref(double: GithubDouble, groups: Groups, _q: Query, body: Any, who: str) -> tuple[int, Any]:
    name, branch = f"refs/{groups[0]}", groups[0].removeprefix("heads/")
    before = double.git.tip(name)
    if not before:
        raise Failed(422, "Reference does not exist")
    if branch in double.protected:
        raise Failed(422, "Changes must be made through a pull request.")
    if not body["force"] and not double.git.is_ancestor(before, body["sha"]):
        raise Failed(422, "Update is not a fast forward")
    double.git.set_ref(name, body["sha"])
    double.send("push", {"ref": name, "before": before, "after": body["sha"], "created": False, "deleted": False}, who)
    return 200, _ref(name, body["sha"])


@route("GET", f"{REPO}/git/commits/(.+)")
def git_commit(double: GithubDouble, groups: Groups, _q: Query, _b: Any, _w: str) -> tuple[int, Any]:
    return 200, _git_commit(double, _commit(double, groups[0]))


def _git_commit(double: GithubDouble, commit: str) -> dict[str, Any]:
    made = contract.example("git-commit", sha=commit, message=double.git.run("log", "-1", "--format=%B", commit))
    return made | {"tree": made["tree"] | {"sha": double.git.run("rev-parse", f"{commit}^{{tree}}")}}


@route("GET", rf"{REPO}/commits/([0-9a-f]+)")
def commit(double: GithubDouble, groups: Groups, _q: Query, _b: Any, _w: str) -> tuple[int, Any]:
    found = _commit(double, groups[0])
    made = contract.example("commit", sha=found)
    parents = double.git.run("log", "-1", "--format=%P", found).split()
    paths = double.git.run("diff-tree", "-r", "--no-commit-id", "--name-only", "--no-renames", found).splitlines()
    return 200, made | {
        "parents": [made["parents"][0] | {"sha": each} for each in parents],
        "files": [
            made["files"][0]
            | {
                "filename": each,
                "sha": _blob(double, found, each),
                "contents_url": f"https://api.github.com/contents/{each}",
            }
            for each in paths
        ],
    }


def _blob(double: GithubDouble, commit: str, path: str) -> str | None:
    """The blob that a commit has at a path; GitHub says null of a file that it deletes."""
    found = double.git.run("ls-tree", commit, "--", path).split()
    return found[2] if found else None


@route("POST", f"{REPO}/git/trees")
def make_tree(double: GithubDouble, _g: Groups, _q: Query, body: Any, _w: str) -> tuple[int, Any]:
    files = {each["path"]: _tree_file(each) for each in body["tree"]}
    try:
        tree = double.git.tree(body["base_tree"], files)
    except KeyError:
        raise Failed(422, "GitRPC::BadObjectState") from None
    return 201, contract.example("git-tree", sha=tree)


def _tree_file(entry: Any) -> TreeFile:
    if entry.get("sha"):
        return entry["mode"], entry["sha"]
    return None if entry.get("content") is None else (entry["mode"], entry["content"].encode())


@route("POST", f"{REPO}/git/blobs")
def make_blob(double: GithubDouble, _g: Groups, _q: Query, body: Any, _w: str) -> tuple[int, Any]:
    content = body["content"]
    made = double.git.blob(base64.b64decode(content) if body.get("encoding") == "base64" else content)
    return 201, {"sha": made, "url": f"https://api.github.com/repos/shop/config/git/blobs/{made}"}


@route("POST", f"{REPO}/git/commits")
def make_commit(double: GithubDouble, _g: Groups, _q: Query, body: Any, who: str) -> tuple[int, Any]:
    commit = double.git.commit_tree(body["tree"], body["parents"], body["message"], who)
    return 201, _git_commit(double, commit)


@route("GET", f"{REPO}/git/blobs/(.+)")
def blob(double: GithubDouble, groups: Groups, _q: Query, _b: Any, _w: str) -> tuple[int, Any]:
    command = ["git", "--git-dir", str(double.git.folder), "cat-file", "blob", groups[0]]
    content = subprocess.run(command, capture_output=True, check=True).stdout
    text = base64.encodebytes(content).decode()
    return 200, contract.example("blob", sha=groups[0], content=text, encoding="base64", size=len(content))


@route("GET", f"{REPO}/contents/(.+)")
def contents(double: GithubDouble, groups: Groups, query: Query, _b: Any, _w: str) -> tuple[int, Any]:
    git, revision, path = double.git, query["ref"], groups[0]
    if not git.tip(revision):
        raise Failed(404, f"No commit found for the ref {revision}")
    line = git.run("ls-tree", revision, "--", path)
    if not line:
        raise Failed(404, "Not Found")
    _, kind, name = line.split("\t")[0].split()
    if kind == "tree":
        return 200, contract.example("content-file-response-if-content-is-a-directory") and [
            contract.example("content-file-response-if-content-is-a-directory", path=path)
        ]
    content = git.read(revision, path) or b""
    is_big = len(content) > 1 << 20
    text = "" if is_big else base64.encodebytes(content).decode()
    facts = {
        "path": path,
        "sha": name,
        "size": len(content),
        "encoding": "none" if is_big else "base64",
        "content": text,
    }
    return 200, contract.example("content-file-response-if-content-is-a-file", **facts)


@route("GET", f"{REPO}/pulls")
def pulls(double: GithubDouble, _g: Groups, query: Query, _b: Any, _w: str) -> tuple[int, Any]:
    state = query.get("state", "open")
    return 200, [
        each
        for each in double.pulls()
        if state in (each["state"], "all")
        and query.get("head", f"octo:{each['head']['ref']}") == f"octo:{each['head']['ref']}"
        and query.get("base", each["base"]["ref"]) == each["base"]["ref"]
    ]


@route("GET", rf"{REPO}/pulls/(\d+)")
def pull(double: GithubDouble, groups: Groups, _q: Query, _b: Any, _w: str) -> tuple[int, Any]:
    return 200, double.pull(int(groups[0]))


@route("POST", f"{REPO}/pulls")
def make_pull(double: GithubDouble, _g: Groups, _q: Query, body: Any, who: str) -> tuple[int, Any]:
    from tests.doubles.github_rig import open_pull

    same = [
        each
        for each in double.requests.values()
        if each["state"] == "open" and each["branch"] == body["head"] and each["base"] == body["base"]
    ]
    if same:
        said = f"A pull request already exists for octo:{body['head']}."
        raise Failed(422, "Validation Failed", {"resource": "PullRequest", "code": "custom", "message": said})
    head = double.git.tip(f"refs/heads/{body['head']}")
    if not head:
        raise Failed(422, "Validation Failed", {"resource": "PullRequest", "field": "head", "code": "invalid"})
    number = open_pull(double, body["head"], body["base"], body["title"], head, who, body=body["body"])
    return 201, double.pull(number)


@route("PATCH", rf"{REPO}/pulls/(\d+)")
def edit_pull(double: GithubDouble, groups: Groups, _q: Query, body: Any, _w: str) -> tuple[int, Any]:
    double.pull(int(groups[0]))
    double.requests[int(groups[0])]["state"] = body["state"]
    return 200, double.pull(int(groups[0]))


@route("GET", rf"{REPO}/commits/([^/]+)/pulls")
def pulls_of_commit(double: GithubDouble, groups: Groups, _q: Query, _b: Any, _w: str) -> tuple[int, Any]:
    commit = _commit(double, groups[0])
    return 200, [
        each
        for each in double.pulls()
        if commit == each["merge_commit_sha"] or double.git.is_ancestor(commit, each["head"]["sha"])
    ]


@route("GET", rf"{REPO}/issues/(\d+)/comments")
def comments(double: GithubDouble, groups: Groups, _q: Query, _b: Any, _w: str) -> tuple[int, Any]:
    double.pull(int(groups[0]))
    return 200, [each for each in double.comments.values() if each["issue_url"].endswith(f"/issues/{groups[0]}")]


@route("POST", rf"{REPO}/issues/(\d+)/comments")
def make_comment(double: GithubDouble, groups: Groups, _q: Query, body: Any, who: str) -> tuple[int, Any]:
    double.pull(int(groups[0]))
    return 201, double.make_comment(int(groups[0]), who, body["body"])


@route("GET", f"{REPO}/issues/comments")
def all_comments(double: GithubDouble, _g: Groups, query: Query, _b: Any, _w: str) -> tuple[int, Any]:
    """Those of issues and of pull requests; times are ISO 8601 in UTC, whose order is that of their letters."""
    found = [each for each in double.comments.values() if each["updated_at"] >= query.get("since", "")]
    if "sort" in query:
        found.sort(key=lambda each: each[f"{query['sort']}_at"], reverse=query.get("direction", "desc") == "desc")
    return 200, found


@route("GET", rf"{REPO}/issues/comments/(\d+)")
def comment(double: GithubDouble, groups: Groups, _q: Query, _b: Any, _w: str) -> tuple[int, Any]:
    if int(groups[0]) not in double.comments:
        raise Failed(404, "Not Found")
    return 200, double.comments[int(groups[0])]


@route("PATCH", rf"{REPO}/issues/comments/(\d+)")
def edit_comment(double: GithubDouble, groups: Groups, _q: Query, body: Any, who: str) -> tuple[int, Any]:
    found = comment(double, groups, {}, None, who)[1]
    if found["user"]["login"] != who:
        raise Failed(403, "Resource not accessible by integration")
    double.check_comment(body["body"])
    found |= {"body": body["body"], "updated_at": double.now()}
    return 200, found


@route("GET", rf"{REPO}/issues/comments/(\d+)/reactions")
def reactions(double: GithubDouble, groups: Groups, query: Query, _b: Any, who: str) -> tuple[int, Any]:
    comment(double, groups, {}, None, who)
    there = double.reactions.get(int(groups[0]), {}).values()
    return 200, [each for each in there if query.get("content") in {None, each["content"]}]


@route("POST", rf"{REPO}/issues/comments/(\d+)/reactions")
def react(double: GithubDouble, groups: Groups, _q: Query, body: Any, who: str) -> tuple[int, Any]:
    comment(double, groups, {}, None, who)
    there = double.reactions.setdefault(int(groups[0]), {})
    key = (who, body["content"])
    status = 200 if key in there else 201
    made = there.setdefault(
        key, contract.example("reaction", id=len(there) + 1, user=double.user(who), content=body["content"])
    )
    return status, made


@route("GET", "/orgs/([^/]+)/teams/([^/]+)/memberships/([^/]+)")
def membership(double: GithubDouble, groups: Groups, _q: Query, _b: Any, _w: str) -> tuple[int, Any]:
    state = double.teams.get(f"{groups[0]}/{groups[1]}", {}).get(groups[2])
    if state is None:
        raise Failed(404, "Not Found")
    return 200, contract.example("team-membership-response-if-user-is-a-team-maintainer", role="member", state=state)


@route("POST", f"{REPO}/statuses/(.+)")
def make_status(double: GithubDouble, groups: Groups, _q: Query, body: Any, who: str) -> tuple[int, Any]:
    commit = _commit(double, groups[0])
    if len(body.get("description") or "") > 140:
        said = "description is too long (maximum is 140 characters)"
        raise Failed(
            422, "Validation Failed", {"resource": "Status", "code": "custom", "field": "description", "message": said}
        )
    same = [
        each for each in double.statuses if (each["sha"], each["context"].lower()) == (commit, body["context"].lower())
    ]
    if len(same) >= 1000:
        raise Failed(
            422,
            "Validation Failed",
            {
                "resource": "Status",
                "code": "custom",
                "message": "This SHA and context has reached the maximum number of statuses.",
            },
        )
    facts = {
        "state": body["state"],
        "context": body["context"],
        "description": body.get("description"),
        "target_url": body.get("target_url"),
    }
    made = contract.example("status", id=double.next_id(), creator=double.user(who), **facts)
    double.statuses.append({**made, "sha": commit})
    double.send("status", {"id": made["id"], "sha": commit, **facts}, who)
    return 201, made


@route("GET", f"{REPO}/commits/([^/]+)/status")
def combined_status(double: GithubDouble, groups: Groups, _q: Query, _b: Any, _w: str) -> tuple[int, Any]:
    commit = _commit(double, groups[0])
    newest = {each["context"].lower(): each for each in double.statuses if each["sha"] == commit}
    simple = contract.example("combined-commit-status")["statuses"][0]
    listed = [simple | {key: each[key] for key in simple if key in each} for each in newest.values()]
    states = {each["state"] for each in listed}
    state = "failure" if states & {"error", "failure"} else "success" if states == {"success"} else "pending"
    return 200, contract.example(
        "combined-commit-status", state=state, statuses=listed, sha=commit, total_count=len(listed)
    )


@route("POST", f"{REPO}/check-runs")
def make_check(double: GithubDouble, _g: Groups, _q: Query, body: Any, who: str) -> tuple[int, Any]:
    commit = _commit(double, body["head_sha"])
    made = contract.example(
        "check-run",
        id=double.next_id(),
        name=body["name"],
        head_sha=commit,
        external_id="",
        conclusion=None,
        status="queued",
        pull_requests=[],
    )
    made["app"] |= {"id": APP, "slug": "plumbline"}
    made["output"] |= {"title": None, "summary": None, "annotations_count": 0}
    made["annotations"] = []
    double.checks.append(made)
    return 201, _say_check(made, body)


@route("PATCH", rf"{REPO}/check-runs/(\d+)")
def edit_check(double: GithubDouble, groups: Groups, _q: Query, body: Any, _w: str) -> tuple[int, Any]:
    found = next((each for each in double.checks if each["id"] == int(groups[0])), None)
    if found is None:
        raise Failed(404, "Not Found")
    return 200, _say_check(found, body)


def _say_check(run: dict[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    output = body.get("output") or {}
    annotations = output.get("annotations") or []
    if len(annotations) > 50 or len(output.get("summary") or "") > 65_535:
        raise Failed(422, "Invalid request.")
    run["annotations"] += annotations
    run["output"] |= {key: output[key] for key in ("title", "summary") if key in output}
    run["output"]["annotations_count"] = len(run["annotations"])
    run |= {key: body[key] for key in ("status", "conclusion", "external_id", "details_url") if key in body}
    return {key: value for key, value in run.items() if key != "annotations"}


@route("GET", f"{REPO}/commits/([^/]+)/check-runs")
def checks(double: GithubDouble, groups: Groups, query: Query, _b: Any, _w: str) -> tuple[int, Any]:
    runs = [
        each
        for each in double.checks
        if each["head_sha"] == _commit(double, groups[0]) and query.get("check_name") in (None, each["name"])
    ]
    newest = (
        {each["name"]: each for each in runs}
        if query.get("filter", "latest") == "latest"
        else {each["id"]: each for each in runs}
    )
    listed = [{key: value for key, value in each.items() if key != "annotations"} for each in newest.values()]
    return 200, {"total_count": len(listed), "check_runs": listed}


@route("GET", f"{REPO}/deployments")
def deployments(double: GithubDouble, _g: Groups, query: Query, _b: Any, _w: str) -> tuple[int, Any]:
    newest_first = sorted(double.deployments.values(), key=lambda each: -each["id"])
    return 200, [
        each for each in newest_first if all(query.get(name) in (None, each[name]) for name in ("sha", "environment"))
    ]


@route("POST", f"{REPO}/deployments")
def make_deployment(double: GithubDouble, _g: Groups, _q: Query, body: Any, who: str) -> tuple[int, Any]:
    commit = _commit(double, body["ref"])
    if body.get("auto_merge", True):
        return 202, {"message": "Auto-merged main into the ref on deployment."}
    if body.get("required_contexts") is None:
        raise Failed(409, "Conflict: Commit status checks failed for the ref.")
    facts = {"sha": commit, "ref": body["ref"], "environment": body["environment"], "description": body["description"]}
    made = contract.example("deployment", id=double.next_id(), creator=double.user(who), **facts)
    double.deployments[made["id"]] = made
    double.deployment_statuses[made["id"]] = []
    return 201, made


@route("GET", rf"{REPO}/deployments/(\d+)/statuses")
def deployment_statuses(double: GithubDouble, groups: Groups, _q: Query, _b: Any, _w: str) -> tuple[int, Any]:
    return 200, double.deployment_statuses[int(groups[0])][::-1]


@route("POST", rf"{REPO}/deployments/(\d+)/statuses")
def make_deployment_status(double: GithubDouble, groups: Groups, _q: Query, body: Any, who: str) -> tuple[int, Any]:
    if len(body["description"]) > 140:
        raise Failed(
            422, "Validation Failed", {"resource": "DeploymentStatus", "code": "custom", "field": "description"}
        )
    number = int(groups[0])
    facts = {"state": body["state"], "description": body["description"], "log_url": body.get("log_url", "")}
    made = contract.example("deployment-status", id=double.next_id(), creator=double.user(who), **facts)
    if body["state"] == "success":
        for other, statuses in double.deployment_statuses.items():
            same = double.deployments[other]["environment"] == double.deployments[number]["environment"]
            if other != number and same and statuses and statuses[-1]["state"] == "success":
                statuses.append(made | {"state": "inactive", "id": double.next_id()})
    double.deployment_statuses[number].append(made)
    return 201, made
