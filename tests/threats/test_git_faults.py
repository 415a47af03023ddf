"""Git as it fails: servers that refuse, hang and break off, clones that are damaged or half made, locks left behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from plumbline.local_system import ROOT, Clone, git, procfile
from sandbox.processes import Server, wait_until
from tests.api_proxy import ApiProxy
from tests.conftest import StartSystem, config_map, declaration
from tests.git_server import GitServer
from tests.invariants import recorded_of
from worker.adapters import checkout as checkouts
from worker.adapters.checkout import Checkout
from worker.adapters.git_process import basic
from worker.adapters.mirror import alone
from worker.domain.errors import DesiredStateError, Unavailable
from worker.domain.secret_text import SecretText

TOKEN = "canary-token-5e0f1c"


class Origin:
    """A bare repository served over HTTP, and a clone that writes to it."""

    def __init__(self, folder: Path) -> None:
        self.bare = folder / "served" / "shop.git"
        git("init", "--quiet", "--bare", "--initial-branch=main", str(self.bare))
        self.clone = Clone(folder / "writer", self.bare)
        self.server = GitServer(folder / "served")
        self.url = self.server.url("shop.git")
        self.cache = folder / "cache"

    def commit(self, n: str, files: int = 3) -> str:
        for number in range(files):
            self.clone.write(f"app/c{number}.yaml", config_map(f"c{number}", n=n))
        revision = self.clone.commit(n)
        self.clone.push()
        return revision

    def open(self) -> Checkout:
        return Checkout.open(self.url, self.cache, SecretText(TOKEN))

    @property
    def mirror(self) -> Path:
        return next(each for each in (self.cache / "repositories").iterdir() if each.is_dir())


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[Origin]:
    made = Origin(tmp_path)
    yield made
    made.server.close()


def names(checkout: Checkout, revision: str) -> list[str]:
    return [entry.path for entry in checkout.entries(revision, "app")]


ALL = ["app/c0.yaml", "app/c1.yaml", "app/c2.yaml"]


@pytest.mark.parametrize("fault", ["503", "401", "403", "404", "truncate"])
def test_f43_a_fetch_that_fails_says_why_leaves_nothing_and_works_the_next_time(origin: Origin, fault: str) -> None:
    revision = origin.commit("1", files=40)
    checkout = origin.open()
    origin.server.fault = lambda path: fault if fault != "truncate" or path.endswith("git-upload-pack") else ""
    with pytest.raises(Unavailable) as caught:
        checkout.fetch(revision, "main")
    assert TOKEN not in str(caught.value)
    assert "cannot be read" in str(caught.value)
    assert fault == "truncate" or fault in str(caught.value) or "not found" in str(caught.value) or fault == "401"
    origin.server.fault = lambda _path: ""
    checkout.fetch(revision, "main")
    assert len(names(checkout, revision)) == 40
    assert list((origin.mirror / "objects" / "pack").glob("tmp_*")) == []
    checkout.close()


def test_f43_a_server_that_hangs_is_given_up_in_time_with_all_of_git_s_helpers(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkouts, "FETCH_SECONDS", 2)
    revision = origin.commit("1")
    checkout = origin.open()
    origin.server.fault = lambda _path: "hang"
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"took longer than 2 s|Operation too slow"):
        checkout.fetch(revision)
    assert time.monotonic() - began < 6
    wait_until(lambda: helpers(origin.url) == [], 2, "what was killed is gone")
    origin.server.fault = lambda _path: ""
    checkout.fetch(revision)
    assert names(checkout, revision) == ALL
    checkout.close()


def helpers(url: str) -> list[str]:
    """The command lines of processes that speak to the server."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = line.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if url in text and "git" in text and "pytest" not in text:
            found.append(text)
    return found


@pytest.mark.parametrize("harm", ["truncated pack", "garbage in a pack", "no packs", "no folder", "no HEAD"])
def test_f43_a_damaged_clone_is_cloned_again_and_never_read_as_less_than_it_is(origin: Origin, harm: str) -> None:
    first = origin.commit("1")
    before = origin.open()
    before.fetch(first)
    assert names(before, first) == ALL
    before.close()
    damage(origin.mirror, harm)
    checkout = origin.open()
    for _ in range(3):
        try:
            checkout.fetch(first, "main")
            assert names(checkout, first) == ALL
            assert b"c1" in (checkout.read_file(first, "app/c1.yaml") or b"")
            break
        except Unavailable as error:
            assert "cloned again" in str(error), error
    else:
        pytest.fail("it did not mend itself")
    assert git("fsck", "--full", "--connectivity-only", first, at=origin.mirror) == ""
    checkout.close()


def damage(mirror: Path, harm: str) -> None:
    pack = next(iter((mirror / "objects" / "pack").glob("*.pack")), None)
    loose = [each for each in (mirror / "objects").glob("??/*") if each.is_file()]
    if harm == "no folder":
        shutil.rmtree(mirror)
    elif harm == "no HEAD":
        (mirror / "HEAD").unlink()
    elif harm == "no packs":
        for each in [*(mirror / "objects" / "pack").iterdir(), *loose[1:]]:
            each.unlink()
    else:
        for each in [pack] if pack else loose[2:]:
            assert each is not None
            each.chmod(0o600)
            content = each.read_bytes()
            half = len(content) // 2
            each.write_bytes(
                content[:half] if harm == "truncated pack" else content[:half] + b"\xff" * (len(content) - half)
            )


def test_f43_a_folder_whose_tree_is_missing_is_never_an_empty_folder(origin: Origin) -> None:
    """The trap: a lost tree looks like a folder without files, and everything in it like something to prune."""
    origin.clone.write("app/inner/deep.yaml", config_map("deep", a="1"))
    revision = origin.commit("1")
    checkout = Checkout(origin.bare, None)
    assert "app/inner/deep.yaml" in names(checkout, revision)
    tree = git("rev-parse", f"{revision}:app/inner", at=origin.bare).strip()
    (origin.bare / "objects" / tree[:2] / tree[2:]).unlink()
    with pytest.raises(Unavailable, match=r"app/inner .* cannot be read"):
        names(checkout, revision)
    checkout.close()


def test_f43_locks_and_drafts_that_a_killed_git_left_are_no_hindrance(origin: Origin) -> None:
    first = origin.commit("1")
    checkout = origin.open()
    checkout.fetch(first, "main")
    pack = origin.mirror / "objects" / "pack"
    left = [
        pack / "tmp_pack_abc", origin.mirror / "HEAD.lock", origin.mirror / "config.lock",
        origin.mirror / "refs" / "heads" / "main.lock", origin.mirror / "packed-refs.lock",
    ]  # fmt: skip
    for each in left:
        each.parent.mkdir(parents=True, exist_ok=True)
        each.write_text("left by a git that was killed")
    second = origin.commit("2")
    checkout.fetch(second, "main")
    assert names(checkout, second) == ALL
    assert [each for each in left if each.exists()] == []
    checkout.close()


def test_f43_git_killed_in_a_fetch_leaves_a_clone_that_works(origin: Origin) -> None:
    revision = origin.commit("1", files=300)
    checkout = origin.open()
    held = threading.Event()

    def hang(path: str) -> str:
        if path.endswith("git-upload-pack") and not held.is_set():
            held.set()
            return "hang"
        return ""

    origin.server.fault = hang
    failed: list[str] = []

    def fetch() -> None:
        try:
            checkout.fetch(revision)
        except Unavailable as error:
            failed.append(str(error))

    thread = threading.Thread(target=fetch)
    thread.start()
    wait_until(held.is_set, 10, "git fetches")
    killed = 0
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = each.read_bytes().split(b"\0")
            if origin.url.encode() in words and words[0].endswith(b"git"):
                os.kill(int(each.parent.name), signal.SIGKILL)
                killed += 1
        except OSError:
            continue
    assert killed
    origin.server.close()
    thread.join(20)
    assert not thread.is_alive()
    assert failed
    again = GitServer(origin.bare.parent)
    after = Checkout.open(again.url("shop.git"), origin.cache)
    after.fetch(revision)
    assert len(names(after, revision)) == 300
    after.close()
    checkout.close()
    again.close()


def test_f43_two_processes_on_one_clone_take_turns(origin: Origin) -> None:
    first = origin.commit("1")
    program = (
        "import sys; from pathlib import Path; from worker.adapters.checkout import Checkout\n"
        "url, cache, revisions = sys.argv[1], Path(sys.argv[2]), sys.argv[3].split(',')\n"
        "checkout = Checkout.open(url, cache)\n"
        "for each in revisions:\n"
        "    checkout.fetch(each, 'main'); assert len(checkout.entries(each, 'app')) == 3\n"
    )
    revisions = [first, *(origin.commit(str(number)) for number in range(2, 9))]
    import sys

    runs = [
        subprocess.Popen(
            [sys.executable, "-c", program, origin.url, str(origin.cache), ",".join(revisions)],
            stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        )
        for _ in range(4)
    ]  # fmt: skip
    for run in runs:
        _, said = run.communicate(timeout=90)
        assert run.returncode == 0, said
    checkout = origin.open()
    with alone(origin.mirror, 5):
        began = time.monotonic()
        with pytest.raises(Unavailable, match="another process has been fetching"), alone(origin.mirror, 0.5):
            pass
        assert time.monotonic() - began < 2
    checkout.close()


def test_f43_a_ref_that_disappears_is_no_commit_and_no_error_of_the_author(origin: Origin) -> None:
    revision = origin.commit("1")
    checkout = origin.open()
    assert checkout.tip("main") == revision
    git("update-ref", "-d", "refs/heads/main", at=origin.bare)
    assert checkout.tip("main") is None
    git("update-ref", "refs/heads/main", revision, at=origin.bare)
    checkout.fetch(revision)
    assert checkout.tips() == {"main": revision}
    checkout.close()


def test_f43_a_submodule_and_an_lfs_pointer_are_what_they_are_in_git(origin: Origin) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12\n"
    origin.clone.write("app/big.bin", pointer)
    revision = origin.commit("1")
    checkout = origin.open()
    checkout.fetch(revision)
    assert checkout.read_file(revision, "app/big.bin") == pointer.encode()
    checkout.close()


def test_a52_the_repository_s_token_is_in_no_argument_and_no_file(origin: Origin) -> None:
    seen: list[str] = []
    stop = threading.Event()
    header = basic(SecretText(TOKEN))
    forms = (TOKEN.encode(), header.partition(" ")[2].encode())

    def sample() -> None:
        while not stop.is_set():
            for line in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    text = line.read_bytes()
                except OSError:
                    continue
                if any(form in text for form in forms):
                    seen.append(text.decode(errors="replace"))

    watcher = threading.Thread(target=sample)
    watcher.start()
    checkout = origin.open()
    for n in range(5):
        revision = origin.commit(str(n))
        assert checkout.tip("main") == revision
        checkout.fetch(revision)
    batch = checkout._running()
    environ = Path(f"/proc/{batch.pid}/environ").read_bytes()
    stop.set()
    watcher.join()
    assert seen == []
    assert not any(form in environ for form in forms), "the process that reads objects needs no token"
    sent = [headers.get("Authorization", "") for _, headers in origin.server.seen]
    assert set(sent) == {header}, "it is sent, and only as a header"
    for each in origin.cache.rglob("*"):
        assert not each.is_file() or not any(form in each.read_bytes() for form in forms), each
    assert TOKEN not in repr(checkout)
    checkout.close()


def test_f41_whatever_fails_on_the_way_to_desired_state_writes_and_prunes_nothing(
    start_system: StartSystem, empty_redis: str, namespace: str, tmp_path: Path, proxy: ApiProxy, origin: Origin
) -> None:
    """A worker reads over HTTP; the server answers 503, breaks off and hangs, then a render fails: the cluster stays."""
    with start_system(proxy.kubeconfig, empty_redis) as system:
        config = system.directory / "app.yaml"
        served = GitServer(system.directory)
        secret = f"{system.repository}/plumbline/secret"
        text = config.read_text().replace(f"url: {system.repository}", f"url: {served.url('shop.git')}")
        assert secret in text
        (system.directory / "worker.yaml").write_text(text)
        for name in ("worker", "watch"):
            system.servers[name].kill()
            environ = {**system.environ, "PLUMBLINE_CONFIG": str(system.directory / "worker.yaml")}
            command = ["/bin/sh", "-c", f"exec {procfile()[name]}"]
            log = system.directory / f"far-{name}.log"
            system.servers[f"far-{name}"] = Server(name, command, log, environ=environ, directory=ROOT)
        clone = Clone(tmp_path / "clone", system.repository)
        git("config", "plumbline.whenAway", "accept", at=system.repository)
        clone.write("plumbline.yaml", declaration(namespace))
        for number in range(3):
            clone.write(f"app/c{number}.yaml", config_map(f"c{number}", n="0"))
        first = clone.commit("0")
        push = clone.push("-o", "plumbline.wait=60", "origin", "main")
        assert push.returncode == 0, push.stderr

        def is_converged(revision: str) -> bool:
            converged = recorded_of(system).state.converged
            return converged is not None and converged.revision == revision

        wait_until(lambda: is_converged(first), 60, "the first commit is converged")
        (clone.folder / "app" / "c2.yaml").unlink()
        clone.write("app/c0.yaml", config_map("c0", n="1"))
        mark = len(proxy.requests)
        served.fault = lambda _path: "503"
        second = clone.commit("1")
        assert clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
        log = system.directory / "far-worker.log"
        wait_until(lambda: "503" in log.read_text(), 30, "the worker meets the 503")
        served.fault = lambda path: "truncate" if path.endswith("git-upload-pack") else ""
        said = re.compile(r"early EOF|invalid index-pack|unexpected disconnect|RPC failed|hung up|expected flush")
        wait_until(lambda: bool(said.search(log.read_text())), 60, "the worker meets the broken pack")
        writes = [each for each in proxy.requests[mark:] if each[0] != "GET" and "/leases" not in each[1]]
        assert [each for each in writes if "dryRun" not in each[1]] == []
        served.fault = lambda _path: ""
        wait_until(lambda: is_converged(second), 90, "it goes on where it stood")
        mark = len(proxy.requests)
        clone.write("app/c1.yaml", "a: [1, 2")
        clone.write("app/c0.yaml", config_map("c0", n="2"))
        hook = system.repository / "hooks" / "pre-receive"
        hook.unlink()
        broken = clone.commit("broken")
        assert clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0

        def failed() -> bool:
            operation = recorded_of(system).state.operation
            return operation is not None and operation.revision == broken and operation.phase.value == "failed"

        wait_until(failed, 60, "the broken commit has failed")
        state = recorded_of(system)
        assert state.state.applied is not None
        assert state.state.applied.revision == second, "the last good state stays"
        assert len(state.inventory.entries) == 2
        assert [each for each in proxy.writes() if each in proxy.requests[mark:] and "/leases" not in each[1]] == []
        served.close()


def test_f41_a_damaged_environment_folder_is_an_error_and_not_an_empty_one(origin: Origin) -> None:
    revision = origin.commit("1")
    checkout = Checkout(origin.bare, None)
    with pytest.raises(DesiredStateError, match="does not exist"):
        checkout.entries(revision, "elsewhere")
    tree = git("rev-parse", f"{revision}:app", at=origin.bare).strip()
    (origin.bare / "objects" / tree[:2] / tree[2:]).unlink()
    with pytest.raises(Unavailable, match="cannot be read"):
        checkout.entries(revision, "app")
    checkout.close()
