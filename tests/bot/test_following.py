"""Which image a policy gets, and how it reaches the branch: the bot's jobs beside GitHub's double and a registry's, on a real Redis."""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from bot import following, updates
from bot.built_images import BuiltImages
from bot.desk import Desk
from bot.forges.port import ChangeRequest, RequestState, State
from bot.queue import CommitRequest, FollowRequest, WriteRequest
from bot.results import write
from bot.settings import Settings
from tests.bot.beside_a_double import DECLARATION, comes_back, environ_of, fails, goes_away
from tests.doubles.github_rig import GithubRig
from tests.doubles.gitlab_rig import GitLabRig
from tests.doubles.registry import RegistryDouble, registry_double
from worker.domain.errors import PlumblineError
from worker.domain.image_section import UpdateBy
from worker.domain.image_update import Naming, NamingFile
from worker.domain.images import read_image
from worker.domain.messages import COMMITS_QUEUE, PREVIEWS_QUEUE
from worker.domain.policy_update import UpdateReport, UpdateRequest

D1, D2 = "sha256:" + "0a" * 32, "sha256:" + "0b" * 32
POLICIES = """\
images:
- {name: web, image: registry.example/acme/web, policy: {semver: 1.x}, pin-digest: true}
- {name: api, image: acme/api, policy: {semver: 1.x}}
- {name: edge, image: registry.example/acme/edge, policy: {digest: edge}}
- {name: new, image: registry.example/acme/new, policy: {newest: true}}
"""
MANIFEST = "spec:\n  containers:\n  - image: acme/api:1.0.0\n"
REGISTRIES = "registries: [{{host: registry.example, address: '{}', allow-private: true}}]"


class Follower:
    """The bot's desk beside the doubles, and what it asked the worker for."""

    def __init__(self, rig: GithubRig | GitLabRig, registry: RegistryDouble, folder: Path, redis_url: str) -> None:
        self.rig, self.registry = rig, registry
        environ = environ_of(rig, folder, redis_url, REGISTRIES.format(registry.address))
        self.desk = Desk.of(Settings.load(environ, with_credentials=True))
        self.redis = self.desk.requests.queue.connection
        self.tip = rig.push("main", {"plumbline.yaml": DECLARATION + POLICIES, "app/a.yaml": MANIFEST})

    def announced(self, *images: str, revision: str = "", at: float = 1.0) -> None:
        self.desk.built_images.note([read_image(each) for each in images], revision, at)

    def followed(self, place: str = "") -> dict[str, str]:
        """What the worker is asked for: the image of each policy; forgotten afterwards."""
        following.follow(self.desk, FollowRequest("shop", place).to_json())
        found = {}
        for job in self.redis.lrange(f"rq:queue:{PREVIEWS_QUEUE}", 0, -1):
            assert isinstance(job, bytes)
            data = self.redis.hget(f"rq:job:{job.decode()}", "data")
            assert isinstance(data, bytes)
            _, _, (body, _), _ = json.loads(zlib.decompress(data))
            request = UpdateRequest.from_json(json.loads(body))
            assert (request.repository, request.branch) == ("shop", "main")
            found[request.policy] = request.image
            self.redis.delete(f"rq:job:{job.decode()}")
        self.redis.delete(f"rq:queue:{PREVIEWS_QUEUE}")
        return found

    def report(self, image: str = "acme/api:1.1.0", **more: object) -> UpdateReport:
        """What the worker says of the policy `api` at the tip."""
        blob = hashlib.sha1(b"blob %d\0" % len(MANIFEST) + MANIFEST.encode(), usedforsecurity=False).hexdigest()
        file = NamingFile("app/a.yaml", blob, "100644", (Naming(0, ("spec", "containers", 0, "image"), 3),))
        asked = UpdateRequest("shop", "main", "api", image, self.desk.requests.queue.now())
        made = UpdateReport(asked, self.tip, image, (file,), ("staging",), ("1.0.0",))
        return replace(made, **more)  # type: ignore[arg-type]

    def commit(self, report: UpdateReport) -> None:
        updates.commit(self.desk, CommitRequest(report).to_json())

    def open(self) -> list[str]:
        return [each.title for each in self._opened()]

    def number(self) -> int:
        """The number of the only change request that is open."""
        (found,) = self._opened()
        return found.number

    def _opened(self) -> Sequence[ChangeRequest]:
        return self.desk.forge(self.desk.settings.installation.repositories[0]).open_change_requests()


ON_BOTH = pytest.mark.parametrize("follower", ["github", "gitlab"], indirect=True)


@pytest.fixture
def follower(tmp_path: Path, empty_redis: str, request: pytest.FixtureRequest) -> Iterator[Follower]:
    """The bot beside GitHub's double, or the one that a test names."""
    with registry_double() as registry:
        rig = (GitLabRig if getattr(request, "param", "") == "gitlab" else GithubRig)(tmp_path / "forge")
        try:
            yield Follower(rig, registry, tmp_path / "bot", empty_redis)
        finally:
            rig.close()


def test_what_was_announced_is_asked_for_once_for_each_tip(follower: Follower) -> None:
    follower.announced("acme/api:1.1.0", "acme/api:2.0.0", "acme/api:1.0.9")
    assert follower.followed("docker.io/acme/api") == {"api": "acme/api:1.1.0"}
    assert follower.followed("docker.io/acme/other") == {}
    follower.commit(follower.report(files=(), settled="it is there"))
    assert follower.followed("docker.io/acme/api") == {}
    follower.announced("acme/api:1.2.0")
    assert follower.followed("docker.io/acme/api") == {"api": "acme/api:1.2.0"}
    follower.rig.push("main", {"app/b.yaml": "a: 1\n"})
    follower.commit(follower.report("acme/api:1.2.0", files=(), settled="it is there"))
    assert follower.followed("docker.io/acme/api") == {"api": "acme/api:1.2.0"}


def test_a_policy_of_a_branch_that_nothing_follows_counts_for_nothing(follower: Follower) -> None:
    more = "- {name: evil, image: acme/evil, policy: {newest: true}, update-by: commit}\n"
    follower.rig.push("proposal", {"plumbline.yaml": DECLARATION + POLICIES + more})
    follower.announced("acme/evil:1", "acme/api:1.1.0")
    assert follower.followed() == {"api": "acme/api:1.1.0"}


def test_a63_the_registry_s_word_counts_and_not_what_was_announced(follower: Follower) -> None:
    follower.registry.tags["acme/web"] = ["1.0.0", "1.1.0", '1.9.0"\n  privileged: true']
    follower.registry.digests |= {"acme/web:1.1.0": D1, "acme/edge:edge": D2}
    follower.announced(f"registry.example/acme/web:1.1.0@{D2}", f"registry.example/acme/web:1.8.0@{D2}")
    follower.announced(f"registry.example/acme/edge:edge@{D1}")
    assert follower.followed() == {
        "web": f"registry.example/acme/web:1.1.0@{D1}",
        "edge": f"registry.example/acme/edge:edge@{D2}",
    }


def test_a_time_is_written_before_its_tag_is_known_so_that_being_stopped_in_between_loses_nothing(
    empty_redis: str,
) -> None:
    with redis.Redis.from_url(empty_redis) as whole:
        whole.acl_setuser("half", enabled=True, nopass=True, keys=["*"], categories=["+@all"], commands=["-sadd"])
        try:
            half = BuiltImages(redis.Redis.from_url(empty_redis, username="half", password="x"))
            images, place = BuiltImages(whole), "registry.example/acme/new"
            images.first_seen(place, ["old"], 1.0)
            with pytest.raises(PlumblineError):
                half.first_seen(place, ["old", "new"], 2.0)
            images.first_seen(place, ["old", "new"], 3.0)
            assert [(each.tag.name, each.tag.pushed) for each in images.of(place)] == [("new", 2.0)]
        finally:
            whole.acl_deluser("half")


def test_the_newest_is_what_came_since_the_registry_was_looked_at_first(follower: Follower) -> None:
    follower.registry.tags["acme/new"] = ["b", "a"]
    assert follower.followed() == {}
    follower.registry.tags["acme/new"] = ["b", "main-7", "a"]
    assert follower.followed() == {"new": "registry.example/acme/new:main-7"}
    follower.registry.tags["acme/new"] = ["b", "main-7", "a", "0-hotfix"]
    assert follower.followed() == {"new": "registry.example/acme/new:0-hotfix"}


def test_a_registry_that_is_away_is_said_and_left_alone_for_longer_each_time(
    follower: Follower, caplog: pytest.LogCaptureFixture
) -> None:
    follower.announced("acme/api:1.1.0")
    follower.registry.status = 503
    with caplog.at_level(logging.WARNING):
        assert follower.followed() == {"api": "acme/api:1.1.0"}, "another registry's images are none the worse"
    assert "registry.example answers 503: asked again in 77 s" in caplog.text
    assert len(follower.registry.asked) == 1, "one question is enough to know"
    assert follower.followed() == {"api": "acme/api:1.1.0"}
    assert len(follower.registry.asked) == 1
    kept, now = follower.desk.built_images, follower.desk.requests.queue.now()
    assert [round(kept.note_away("registry.example", now, None)) for _ in "1234"] == [60, 120, 240, 480]
    assert max(kept.note_away("registry.example", now, None) for _ in range(9)) == 3600
    assert kept.rests_until("registry.example") == pytest.approx(now + 3600)
    kept.note_back("registry.example")
    follower.registry.status = 0
    follower.registry.tags["acme/web"], follower.registry.digests["acme/web:1.1.0"] = ["1.1.0"], D1
    assert follower.followed()["web"] == f"registry.example/acme/web:1.1.0@{D1}"


def test_what_a_registry_refuses_is_said_on_the_commit_and_taken_back(follower: Follower) -> None:
    follower.registry.guard = "basic"
    assert follower.followed() == {}
    write(follower.desk, WriteRequest("shop").to_json())
    said = follower.rig.statuses(follower.tip)
    assert {name for name in said if "images" in name} == {
        f"plumbline/images/{name}" for name in ("web", "edge", "new")
    }
    assert said["plumbline/images/web"].state is State.FAILURE
    assert "registry.example answers 401" in said["plumbline/images/web"].text
    follower.registry.guard = ""
    follower.registry.tags["acme/web"], follower.registry.digests["acme/web:1.1.0"] = ["1.1.0"], D1
    (image,) = follower.followed().values()
    asked = UpdateRequest("shop", "main", "web", image, follower.desk.requests.queue.now())
    follower.commit(UpdateReport(asked, follower.tip, image, settled="it is there"))
    write(follower.desk, WriteRequest("shop").to_json())
    assert follower.rig.statuses(follower.tip)["plumbline/images/web"].state is State.SUCCESS


def test_a63_what_was_built_of_a_policy_s_own_commit_starts_nothing(follower: Follower) -> None:
    follower.commit(follower.report(update_by=UpdateBy.COMMIT))
    made = follower.rig.tip("main")
    assert made != follower.tip
    follower.announced("acme/api:1.1.1", revision=made)
    assert follower.followed() == {}
    follower.announced("acme/api:1.1.2", revision=follower.rig.push("main", {"app/b.yaml": "a: 1\n"}))
    assert follower.followed() == {"api": "acme/api:1.1.2"}


def test_a_change_request_is_made_once_and_one_that_was_closed_stays_closed(follower: Follower) -> None:
    report = follower.report()
    for _ in "twice":
        follower.commit(report)
    assert follower.open() == ["Update acme/api from 1.0.0 to 1.1.0 in staging"]
    assert follower.rig.tip("main") == follower.tip
    follower.rig.close_request(follower.number())
    follower.commit(follower.report())
    assert follower.open() == []
    follower.commit(follower.report("acme/api:1.2.0"))
    assert follower.open() == ["Update acme/api from 1.0.0 to 1.2.0 in staging"]


@ON_BOTH
def test_a_newer_one_closes_the_older_and_one_that_waited_too_long_comes_to_nothing(follower: Follower) -> None:
    waited = follower.report("acme/api:1.1.5")
    follower.commit(follower.report())
    older = follower.number()
    follower.commit(follower.report("acme/api:1.2.0"))
    assert follower.open() == ["Update acme/api from 1.0.0 to 1.2.0 in staging"]
    assert follower.rig.change_request(older).state is RequestState.CLOSED
    assert ["takes the place of this one" in each.body for each in follower.rig.comments(older)] == [True]
    follower.commit(waited)
    assert follower.open() == ["Update acme/api from 1.0.0 to 1.2.0 in staging"]


def test_a_person_s_change_request_is_not_closed(follower: Follower) -> None:
    follower.commit(follower.report())
    forge = follower.desk.forge(follower.desk.settings.installation.repositories[0])
    theirs = next(name for name in forge.tips() if "plumbline/update-" in name) + "-theirs"
    follower.rig.push(theirs, {"app/b.yaml": "a: 1\n"})
    follower.rig.open(theirs, "main", "Mine")
    follower.commit(follower.report("acme/api:1.2.0"))
    assert sorted(follower.open()) == ["Mine", "Update acme/api from 1.0.0 to 1.2.0 in staging"]


@ON_BOTH
def test_where_the_branch_is_protected_or_a_file_is_shared_a_commit_becomes_a_change_request(
    follower: Follower,
) -> None:
    shared = follower.report(update_by=UpdateBy.COMMIT)
    shared = replace(shared, files=tuple(replace(each, shared=("production",)) for each in shared.files))
    follower.commit(shared)
    assert follower.open() == ["Update acme/api from 1.0.0 to 1.1.0 in staging"]
    follower.rig.protect("main", [])
    follower.commit(follower.report("acme/api:1.2.0", update_by=UpdateBy.COMMIT))
    assert follower.open() == ["Update acme/api from 1.0.0 to 1.2.0 in staging"]
    assert follower.rig.tip("main") == follower.tip


def test_a_forge_that_is_away_and_a_branch_that_moved_lose_nothing(follower: Follower) -> None:
    report = follower.report(update_by=UpdateBy.COMMIT)
    goes_away(follower.rig)
    follower.commit(report)
    assert follower.redis.zcard(f"rq:scheduled:{COMMITS_QUEUE}") == 1
    comes_back(follower.rig)
    follower.rig.push("main", {"app/b.yaml": "a: 1\n"})
    follower.commit(report)
    assert follower.redis.llen(f"rq:queue:{PREVIEWS_QUEUE}") == 1, "the worker is asked for the new tip"
    forge = follower.desk.forge(follower.desk.settings.installation.repositories[0])
    assert forge.file(follower.rig.tip("main"), "app/a.yaml") == MANIFEST.encode()


@ON_BOTH
def test_f46_a_commit_whose_answer_was_lost_is_known_as_the_policy_s_own_and_not_made_again(follower: Follower) -> None:
    report = follower.report(update_by=UpdateBy.COMMIT)
    fails(
        follower.rig,
        lambda method, path: (
            method in ("PATCH", "POST") and path.endswith(("/git/refs/heads/main", "/repository/commits"))
        ),
        is_done=True,
    )
    follower.commit(report)
    made = follower.rig.tip("main")
    assert made != follower.tip
    assert follower.redis.zcard(f"rq:scheduled:{COMMITS_QUEUE}") == 1, "it is looked at again later"
    comes_back(follower.rig)
    follower.commit(report)
    assert follower.rig.tip("main") == made
    assert follower.open() == []
    assert follower.redis.llen(f"rq:queue:{PREVIEWS_QUEUE}") == 0, "there is nothing left to ask"
    follower.announced("acme/api:1.1.1", revision=made)
    assert follower.followed() == {}, "what was built of it starts nothing"
