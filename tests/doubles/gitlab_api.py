"""The REST API of the GitLab double: routes, roles, scopes, paging and GitLab's own words of refusal."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from tests.doubles.gitlab import GitLabDouble, Project, Refusal, Row, moment
from tests.loopback_server import KeepingHandler, LoopbackServer

REPORTER, DEVELOPER, MAINTAINER = 20, 30, 40
STATES = {"pending", "running", "success", "failed", "canceled", "skipped"}
OPEN = {"pending", "running"}


class Raw:
    """An answer that is not JSON: bytes and headers."""

    def __init__(self, content: bytes, headers: Mapping[str, str]) -> None:
        self.content = content
        self.headers = headers


class Call:
    """One request: who asks, about which project, with what."""

    def __init__(self, double: GitLabDouble, user: Row, project: Project, query: Row, content: Row) -> None:
        self.double, self.user, self.project, self.query, self.content = double, user, project, query, content

    def need(self, level: int) -> None:
        """Refuses who has a lower role."""
        if self.double.level(self.project, self.user["id"]) < level:
            raise Refusal(403, "403 Forbidden")

    def commit(self, revision: str) -> str:
        """A commit of the repository."""
        found = self.project.git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", check=False)
        if not found:
            raise Refusal(404, "404 Commit Not Found")
        return found

    def request(self, iid: str) -> Row:
        """A merge request."""
        found = self.double.merge_requests.get(int(iid))
        if found is None or found["target_project_id"] != self.project.id:
            raise Refusal(404, "404 Not found")
        return found

    def text(self, name: str) -> str:
        """A member that has to be there."""
        if not self.content.get(name):
            raise Refusal(400, f"{name} is missing")
        return str(self.content[name])


def branches(call: Call) -> Any:
    return [{"name": name, "commit": call.project.words(tip)} for name, tip in call.project.branches().items()]


def branch(call: Call, name: str) -> Any:
    tip = call.project.tip(name)
    if not tip:
        raise Refusal(404, "404 Branch Not Found")
    return {"name": name, "commit": {"id": tip}, "protected": name in call.double.protected}


def raw_file(call: Call, path: str) -> Any:
    revision = call.commit(call.query["ref"])
    if not call.project.git("cat-file", "-t", f"{revision}:{path}", check=False) == "blob":
        raise Refusal(404, "404 File Not Found")
    last = call.project.git("log", "-1", "--format=%H", revision, "--", path)
    return Raw(call.project.blob(revision, path), {"Content-Type": "text/plain", "X-Gitlab-Last-Commit-Id": last})


def make_commit(call: Call) -> Any:
    call.need(DEVELOPER)
    name, start = call.text("branch"), call.content.get("start_sha")
    tip = call.project.tip(name)
    if start and tip:
        raise Refusal(400, f"A branch called '{name}' already exists. Switch to that branch in order to make changes")
    if name in call.double.protected and call.double.level(call.project, call.user["id"]) < MAINTAINER:
        raise Refusal(403, "You are not allowed to push into this branch")
    onto = call.commit(start) if start else tip
    if not onto:
        raise Refusal(400, "You can only create or edit files when you are on a branch")
    index = str(call.project.folder / f"index-{call.double.number()}")
    call.project.git("read-tree", onto, GIT_INDEX_FILE=index)
    for action in call.content["actions"]:
        _act(call, onto, action, index)
    tree = call.project.git("write-tree", GIT_INDEX_FILE=index)
    author = {"GIT_AUTHOR_NAME": call.user["name"], "GIT_AUTHOR_EMAIL": f"{call.user['username']}@localhost"}
    made = call.project.git("commit-tree", tree, "-p", onto, "-m", call.text("commit_message"), **author)
    call.project.git("update-ref", f"refs/heads/{name}", made, tip or "0" * 40)
    call.double.look(call.project, call.user)
    return {"id": made, "parent_ids": [onto], "message": call.content["commit_message"]}


def one_commit(call: Call, sha: str) -> Any:
    found = call.commit(sha)
    return {**call.project.words(found), "parent_ids": call.project.git("log", "-1", "--format=%P", found).split()}


def commit_diff(call: Call, sha: str) -> Any:
    paths = call.project.git("diff-tree", "-r", "--no-commit-id", "--name-only", "--no-renames", call.commit(sha))
    return [{"old_path": each, "new_path": each} for each in paths.splitlines()]


def _act(call: Call, onto: str, action: Row, index: str) -> None:
    path = action["file_path"]
    is_there = bool(call.project.git("cat-file", "-t", f"{onto}:{path}", check=False))
    if action["action"] == "create" and is_there:
        raise Refusal(400, "A file with this name already exists")
    if action["action"] != "create" and not is_there:
        raise Refusal(400, "A file with this name doesn't exist")
    last = action.get("last_commit_id")
    if last and last != call.project.git("log", "-1", "--format=%H", onto, "--", path):
        raise Refusal(400, "You are attempting to update a file that has changed since you started editing it.")
    if action["action"] == "delete":
        call.project.git(
            "update-index", "--force-remove", path, GIT_INDEX_FILE=index, GIT_WORK_TREE=str(call.project.folder)
        )
        return
    is_base64 = action.get("encoding") == "base64"
    content = base64.b64decode(action["content"]) if is_base64 else action["content"].encode()
    blob = call.project.git("hash-object", "-w", "--stdin", data=content)
    mode = "100755" if action.get("execute_filemode") else "100644"
    call.project.git("update-index", "--add", "--cacheinfo", f"{mode},{blob},{path}", GIT_INDEX_FILE=index)


def requests(call: Call) -> Any:
    wanted = {name: call.query[name] for name in ("state", "source_branch", "target_branch") if name in call.query}
    own = [each for each in call.double.merge_requests.values() if each["target_project_id"] == call.project.id]
    return [each for each in reversed(own) if all(each[name] == value for name, value in wanted.items())]


def request(call: Call, iid: str) -> Any:
    found = call.request(iid)
    own = [each for each in call.double.pipelines if each["sha"] == found["sha"]]
    return {**found, "head_pipeline": own[-1] if own else None}


def open_request(call: Call) -> Any:
    call.need(DEVELOPER)
    for name in ("source_branch", "target_branch", "title"):
        call.text(name)
    return call.double.open_request(call.project, call.project, call.user, **call.content)


def edit_request(call: Call, iid: str) -> Any:
    call.need(DEVELOPER)
    found = call.request(iid)
    if call.text("state_event") == "close" and found["state"] == "opened":
        found["state"] = "closed"
    return found


def requests_of_commit(call: Call, sha: str) -> Any:
    found = call.commit(sha)
    return [each for each in call.double.merge_requests.values() if found in _commits(call, each)]


def _commits(call: Call, request: Row) -> set[str]:
    rows = call.project.git("rev-list", request["sha"], f"^{request['start_sha']}").splitlines()
    return {*rows, request["sha"], request["merge_commit_sha"], request["squash_commit_sha"]}


def notes(call: Call, iid: str) -> Any:
    call.request(iid)
    found = call.double.notes[int(iid)]
    return found if call.query.get("sort") == "asc" else found[::-1]


def note(call: Call, iid: str, number: str) -> Any:
    call.request(iid)
    found = next((each for each in call.double.notes[int(iid)] if each["id"] == int(number)), None)
    if found is None:
        raise Refusal(404, "404 Not found")
    return found


def write_note(call: Call, iid: str) -> Any:
    return call.double.note(call.request(iid), call.user, call.text("body"))


def edit_note(call: Call, iid: str, number: str) -> Any:
    found = note(call, iid, number)
    if found["author"]["id"] != call.user["id"]:
        call.need(MAINTAINER)
    call.double.edit_note(call.request(iid), found, call.user, call.text("body"))
    return found


def awards(call: Call, iid: str, number: str) -> Any:
    note(call, iid, number)
    return call.double.awards.get(int(number), [])


def award(call: Call, iid: str, number: str) -> Any:
    there = call.double.awards.setdefault(int(note(call, iid, number)["id"]), [])
    name = call.text("name")
    if any(each["name"] == name and each["user"]["id"] == call.user["id"] for each in there):
        raise Refusal(404, "404 Award Emoji Name has already been taken Not Found")
    made = {"id": call.double.number(), "name": name, "user": call.user, "awardable_id": int(number)}
    there.append({**made, "awardable_type": "Note"})
    note(call, iid, number)["updated_at"] = moment()
    return there[-1]


def events(call: Call) -> Any:
    """The project's comments, newest first; what an event tells of may be gone. `after` is a day that does not count."""
    first = f"{call.query['after']}T24" if "after" in call.query else ""
    rows = [each for each in call.double.commented if each["created_at"] > first] if _wants_comments(call) else []
    return [_event(call, each) for each in (rows if call.query.get("sort") == "asc" else rows[::-1])]


def _wants_comments(call: Call) -> bool:
    return call.query.get("action") in {None, "commented"} and "target_type" not in call.query


def _event(call: Call, row: Row) -> Row:
    note, author = row["note"], row["note"]["author"]
    is_there = note in call.double.notes.get(row["iid"], [])
    told = {"author_id": author["id"], "author": author, "author_username": author["username"]}
    about = {"target_id": note["id"], "target_iid": note["id"], "target_type": "Note" if is_there else None}
    return {
        "id": row["id"], "project_id": call.project.id, "action_name": "commented on", "created_at": row["created_at"],
        **about, **told, **({"note": note} if is_there else {}),
    }  # fmt: skip


def group_member(double: GitLabDouble, group: str, number: str) -> Any:
    found = double.groups.get(group, {}).get(int(number))
    if found is None:
        raise Refusal(404, "404 Not found" if group in double.groups else "404 Group Not Found")
    return {**double.users[int(number)], **found}


def member(call: Call, number: str) -> Any:
    found = call.project.members.get(int(number))
    if found is None:
        raise Refusal(404, "404 Not found")
    return {**call.double.users[int(number)], **found}


def statuses(call: Call, sha: str) -> Any:
    rows = call.double.latest_statuses(call.commit(sha))
    return [row for row in rows if call.query.get("name") in {None, row["name"]}]


def write_status(call: Call, sha: str) -> Any:
    call.need(DEVELOPER)
    revision, state = call.commit(sha), call.text("state")
    if state not in STATES:
        raise Refusal(400, "state does not have a valid value")
    name = call.content.get("name") or call.content.get("context") or "default"
    for each, longest in (("description", 255), ("target_url", 255)):
        if len(call.content.get(each) or "") > longest:
            raise Refusal(400, {each: [f"is too long (maximum is {longest} characters)"]})
    pipeline = _pipeline(call, revision)
    rows = [row for row in call.double.statuses if row["pipeline_id"] == pipeline["id"] and row["name"] == name]
    row = next((each for each in reversed(rows) if each["status"] in OPEN), None)
    told = {"description": call.content.get("description"), "target_url": call.content.get("target_url")}
    if row is None:
        row = {"id": call.double.number(), "sha": revision, "ref": pipeline["ref"], "name": name, "author": call.user}
        row |= {"pipeline_id": pipeline["id"], "status": state, **told}
        call.double.statuses.append(row)
        call.double.written.append(dict(row))
        return row
    row.update(told)
    verb = {"pending": "enqueue", "running": "run"}.get(state)
    if verb and (row["status"] == state or state == "pending"):
        raise Refusal(
            400, f"Cannot transition status via :{verb} from :{row['status']} (Reason(s): Status cannot transition)"
        )
    row["status"] = state
    call.double.written.append(dict(row))
    return row


def _pipeline(call: Call, revision: str) -> Row:
    given, ref = call.content.get("pipeline_id"), call.content.get("ref")
    fitting = [
        each
        for each in call.double.pipelines
        if each["sha"] == revision and given in {None, each["id"]} and ref in {None, each["ref"]}
    ]
    if fitting:
        return fitting[-1]
    if given:
        raise Refusal(404, "404 Pipeline Not Found")
    containing = call.project.git("branch", "--contains", revision, "--format=%(refname:lstrip=2)").splitlines()
    if not (ref or containing):
        raise Refusal(404, "404 References for commit Not Found")
    return call.double.pipeline(revision, ref or containing[0])


def environments(call: Call) -> Any:
    return [each for each in call.double.environments if call.query.get("name") in {None, each["name"]}]


def make_environment(call: Call) -> Any:
    call.need(DEVELOPER)
    name = call.text("name")
    if not re.fullmatch(r"[\w ${}/-]{1,255}", name):
        raise Refusal(400, {"name": ["can contain only letters, digits, '-', '_', '/', '$', '{', '}', and spaces"]})
    if any(each["name"] == name for each in call.double.environments):
        raise Refusal(400, {"name": ["has already been taken"]})
    made = {"id": call.double.number(), "name": name, "external_url": call.content.get("external_url")}
    call.double.environments.append(made)
    return made


def deployments(call: Call) -> Any:
    name = call.query.get("environment")
    return [each for each in reversed(call.double.deployments) if name in {None, each["environment"]["name"]}]


def deploy(call: Call) -> Any:
    call.need(DEVELOPER)
    name, revision = call.text("environment"), call.commit(call.text("sha"))
    if call.content.get("status") not in {"running", "success", "failed", "canceled"}:
        raise Refusal(400, "status does not have a valid value")
    if "tag" not in call.content or not call.content.get("ref"):
        raise Refusal(400, "ref, tag are missing")
    place = next((each for each in call.double.environments if each["name"] == name), None)
    place = place or make_environment(Call(call.double, call.user, call.project, {}, {"name": name}))
    made = {"id": call.double.number(), "sha": revision, "ref": call.content["ref"], "environment": place}
    call.double.deployments.append({**made, "status": call.content["status"]})
    return call.double.deployments[-1]


def edit_deployment(call: Call, number: str) -> Any:
    call.need(DEVELOPER)
    found = next((each for each in call.double.deployments if each["id"] == int(number)), None)
    if found is None:
        raise Refusal(404, "404 Not found")
    if call.content["status"] == found["status"] or call.content["status"] == "running":
        raise Refusal(400, {"status": [f"cannot transition via from {found['status']}"]})
    found["status"] = call.content["status"]
    return found


def hooks(call: Call) -> Any:
    call.need(MAINTAINER)
    hidden = {"token", "signing_token"}
    return [{name: value for name, value in hook.items() if name not in hidden} for hook in call.double.hooks]


def make_hook(call: Call) -> Any:
    call.need(MAINTAINER)
    made = {"id": call.double.number(), "project_id": call.project.id, **call.content}
    call.double.hooks.append(made)
    return {"id": made["id"], "url": made["url"]}


def edit_hook(call: Call, number: str) -> Any:
    call.need(MAINTAINER)
    found = next((each for each in call.double.hooks if each["id"] == int(number)), None)
    if found is None:
        raise Refusal(404, "404 Not found")
    found.update(call.content)
    return {"id": found["id"], "url": found["url"]}


ROUTES: list[tuple[str, str, Callable[..., Any]]] = [
    ("GET", "repository/branches", branches),
    ("GET", "repository/branches/([^/]+)", branch),
    ("GET", "repository/files/([^/]+)/raw", raw_file),
    ("HEAD", "repository/files/([^/]+)", raw_file),
    ("POST", "repository/commits", make_commit),
    ("GET", "repository/commits/([^/]+)", one_commit),
    ("GET", "repository/commits/([^/]+)/diff", commit_diff),
    ("GET", "repository/commits/([^/]+)/merge_requests", requests_of_commit),
    ("GET", "repository/commits/([^/]+)/statuses", statuses),
    ("POST", "statuses/([^/]+)", write_status),
    ("GET", "merge_requests", requests),
    ("POST", "merge_requests", open_request),
    ("GET", r"merge_requests/(\d+)", request),
    ("PUT", r"merge_requests/(\d+)", edit_request),
    ("GET", r"merge_requests/(\d+)/notes", notes),
    ("POST", r"merge_requests/(\d+)/notes", write_note),
    ("GET", r"merge_requests/(\d+)/notes/(\d+)", note),
    ("PUT", r"merge_requests/(\d+)/notes/(\d+)", edit_note),
    ("GET", r"merge_requests/(\d+)/notes/(\d+)/award_emoji", awards),
    ("POST", r"merge_requests/(\d+)/notes/(\d+)/award_emoji", award),
    ("GET", r"members/all/(\d+)", member),
    ("GET", "environments", environments),
    ("POST", "environments", make_environment),
    ("GET", "deployments", deployments),
    ("POST", "deployments", deploy),
    ("PUT", r"deployments/(\d+)", edit_deployment),
    ("GET", "events", events),
    ("GET", "hooks", hooks),
    ("POST", "hooks", make_hook),
    ("PUT", r"hooks/(\d+)", edit_hook),
]


def answer(double: GitLabDouble, method: str, target: str, token: str, body: bytes) -> Any:
    """What the API says to one request. Raises Refusal."""
    user_id, scopes = double.tokens.get(token, (0, set()))
    if not user_id or double.users[user_id]["state"] != "active":
        raise Refusal(401, "401 Unauthorized")
    if method not in {"GET", "HEAD"} and "api" not in scopes:
        raise Refusal(403, "insufficient_scope")
    parts = urlsplit(target)
    user, path = double.users[user_id], parts.path.removeprefix("/api/v4/")
    if path == "user":
        return user
    if path == "personal_access_tokens/self":
        return {"id": 1, "user_id": user_id, "scopes": sorted(scopes), "active": True}
    if in_group := re.fullmatch(r"groups/([^/]+)/members/all/(\d+)", path):
        return group_member(double, unquote(in_group[1]), in_group[2])
    found = re.fullmatch(r"projects/([^/]+)(?:/(.*))?", path)
    name = unquote(found[1]) if found else ""
    project = next((each for each in double.projects.values() if name in {each.path, str(each.id)}), None)
    if project is None or not (project.is_public or double.level(project, user_id)):
        raise Refusal(404, "404 Project Not Found")
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    call = Call(double, user, project, query, json.loads(body or b"{}"))
    for verb, pattern, route in ROUTES:
        fits = re.fullmatch(pattern, found[2] or "") if found and verb == method else None
        if fits:
            return route(call, *(unquote(each) for each in fits.groups()))
    raise Refusal(404, "404 Not Found")


class Api:
    """The API on 127.0.0.1."""

    def __init__(self, double: GitLabDouble) -> None:
        outer = self
        self.double = double

        class Own(KeepingHandler):
            def _serve(self) -> None:
                outer.serve(self)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve

        self._server = LoopbackServer(Own)
        double.address = self._server.address

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        """Answers one request, or fails it as told."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        method, target = handler.command, handler.path
        with self.double.lock:
            self.double.requests.append((method, target))
            fault = self.double.fault(method, unquote(urlsplit(target).path))
        if fault is None or fault.is_taken:
            with self.double.lock:
                code, content, headers = self._judged(method, target, handler.headers.get("PRIVATE-TOKEN", ""), body)
        if fault is not None:
            if fault.code == 0:
                handler.close_connection = True
                return
            code, content, headers = fault.code, fault.body, {"Content-Type": "text/html", **fault.headers}
        handler.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        if method != "HEAD":
            handler.wfile.write(content)

    def _judged(self, method: str, target: str, token: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        kind = {"Content-Type": "application/json"}
        try:
            found = answer(self.double, method, target, token, body)
        except Refusal as refusal:
            return refusal.code, json.dumps({"message": refusal.message}).encode(), kind
        if isinstance(found, Raw):
            return 200, found.content, dict(found.headers)
        headers = dict(kind)
        if isinstance(found, list):
            found = self._paged(found, target, headers)
        return 201 if method == "POST" else 200, json.dumps(found).encode(), headers

    def _paged(self, rows: list[Any], target: str, headers: dict[str, str]) -> list[Any]:
        """20 rows a page unless more are asked for, at most 100, as GitLab does."""
        parts = urlsplit(target)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        page, size = int(query.get("page", 1)), min(int(query.get("per_page", 20)), 100)
        is_last = page * size >= len(rows)
        headers |= {"X-Page": str(page), "X-Per-Page": str(size), "X-Next-Page": "" if is_last else str(page + 1)}
        headers |= {"X-Total": str(len(rows)), "X-Total-Pages": str(-(-len(rows) // size))}
        if not is_last:
            following = urlencode({**query, "page": page + 1, "per_page": size})
            headers["Link"] = f'<{self.double.address}{parts.path}?{following}>; rel="next"'
        return rows[(page - 1) * size : page * size]

    def close(self) -> None:
        """Ends the server."""
        self._server.close()
