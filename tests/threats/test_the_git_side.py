"""Attacks and faults on the way from a push; each name begins with the threat's number."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path

import pytest
import redis

from plumbline.local_system import Clone, LocalSystem, git
from sandbox.processes import wait_until
from tests.conftest import Kubectl, config_map, declaration
from worker.adapters.checkout import Checkout
from worker.adapters.renderer import Capabilities, Renderer, RenderTools
from worker.domain.environment import Environment
from worker.domain.errors import DesiredStateError
from worker.domain.installation import RenderLimits


def stop_web(system: LocalSystem) -> None:
    """Ends the web process and waits until its port is closed."""
    system.servers["web"].kill()

    def closed() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", system.port)) != 0

    wait_until(closed, 30, "the web process is away")


class TestA26:
    def test_a26_a_branch_that_moves_while_it_is_read_changes_nothing_of_what_is_read(self, tmp_path: Path) -> None:
        git("init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "r.git"))
        clone = Clone(tmp_path / "clone", tmp_path / "r.git")
        clone.write("app/a.yaml", config_map("a", n="first"))
        first = clone.commit("first")
        clone.push()
        clone.write("app/a.yaml", config_map("a", n="second"))
        second = clone.commit("second")
        clone.push()
        bare = tmp_path / "r.git"

        class Moving(Checkout):
            """Moves the branch before every object that is read."""

            def _object(self, name: str, path: str | None = None) -> tuple[str, str, bytes] | None:
                tip = git("rev-parse", "main", at=bare).strip()
                git("update-ref", "refs/heads/main", first if tip == second else second, at=bare)
                return super()._object(name, path)

        checkout = Moving(bare, None)
        environment = Environment("r", "e", "main", "app", "c", "ns")
        renderer = Renderer(None, RenderLimits(), RenderTools())
        for revision, expected in ((first, "first"), (second, "second")) * 3:
            rendered = renderer.render_revision(checkout, revision, environment, Capabilities())
            assert rendered.resources[0].body["data"] == {"n": expected}
        checkout.close()

    def test_a26_commits_that_come_while_the_worker_is_busy_end_at_the_newest(
        self, system: LocalSystem, clone: Clone, namespace: str, kubectl: Kubectl
    ) -> None:
        clone.write("app/a.yaml", config_map("a", n="0"))
        clone.commit("0")
        assert clone.push().returncode == 0
        for number in range(1, 6):
            clone.write("app/a.yaml", config_map("a", n=str(number)))
            clone.commit(str(number))
            assert clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
        tip = git("rev-parse", "HEAD", at=clone.folder).strip()

        def converged() -> bool:
            name = "refs/plumbline/production/converged"
            return tip in git("for-each-ref", "--format=%(objectname)", name, at=system.repository)

        wait_until(converged, 40, "the newest commit is converged")
        assert kubectl("-n", namespace, "get", "configmap", "a", "-o", "jsonpath={.data.n}").stdout == "5"


class TestA29:
    def test_a29_git_attributes_hide_nothing_and_change_nothing(
        self, clone: Clone, namespace: str, kubectl: Kubectl, tmp_path: Path
    ) -> None:
        witness = tmp_path / "filtered"
        clone.write(
            ".gitattributes", "app/hidden.yaml export-ignore\napp/*.yaml filter=evil ident export-subst text eol=crlf\n"
        )
        clone.write("app/hidden.yaml", config_map("hidden", a="$Format:%H$ $Id$"))
        clone.commit("hidden")
        git("config", "filter.evil.smudge", f"touch {witness}", at=clone.folder)
        push = clone.push()
        assert push.returncode == 0, push.stderr
        assert "create     ConfigMap" in push.stderr
        assert "hidden" in push.stderr
        live = kubectl("-n", namespace, "get", "configmap", "hidden", "-o", "jsonpath={.data.a}").stdout
        assert live == "$Format:%H$ $Id$"
        assert not witness.exists()

    def test_a29_links_and_submodules_lead_nowhere(self, tmp_path: Path) -> None:
        git("init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "r.git"))
        clone = Clone(tmp_path / "clone", tmp_path / "r.git")
        (tmp_path / "outside.yaml").write_text(config_map("outside", a="1"))
        clone.write("app/a.yaml", config_map("a", n="1"))
        (clone.folder / "app" / "link.yaml").symlink_to("../../outside.yaml")
        revision = clone.commit("link")
        clone.push()
        checkout = Checkout.open(str(tmp_path / "r.git"), tmp_path)
        environment = Environment("r", "e", "main", "app", "c", "ns")
        with pytest.raises(DesiredStateError, match="outside the repository"):
            Renderer(None, RenderLimits(), RenderTools()).render_revision(
                checkout, revision, environment, Capabilities()
            )
        checkout.close()


class TestA52:
    def test_a52_no_secret_of_ours_is_an_argument_a_log_line_or_a_job(
        self, system: LocalSystem, clone: Clone, redis_url: str
    ) -> None:
        secrets = [
            (system.directory / "signing-key").read_text().strip(),
            (system.repository / "plumbline" / "secret").read_text().strip(),
            redis_url.split(":")[2].split("@", maxsplit=1)[0],
        ]
        seen: list[str] = []
        stop = threading.Event()

        def sample() -> None:
            while not stop.is_set():
                for process in Path("/proc").iterdir():
                    if process.name.isdigit():
                        try:
                            line = (process / "cmdline").read_bytes().decode(errors="replace")
                            program = (process / "comm").read_text().strip()
                            environ = (process / "environ").read_text(errors="replace")
                        except OSError:
                            continue
                        seen.extend(secret for secret in secrets if secret in line)
                        if program in ("git", "kustomize", "helm", "sh", "sleep"):
                            seen.extend(secret for secret in secrets if secret in environ)

        watcher = threading.Thread(target=sample)
        watcher.start()
        clone.write("app/a.yaml", config_map("a", n="1"))
        clone.commit("1")
        push = clone.push("-o", "plumbline.wait=30", "origin", "main")
        stop.set()
        watcher.join()
        assert push.returncode == 0
        assert "written" in push.stderr
        assert seen == []
        for name in system.servers:
            log = (system.directory / f"{name}.log").read_text()
            assert not [secret for secret in secrets if secret in log], name
        with redis.Redis.from_url(redis_url) as connection:
            for key in connection.keys("*"):
                dumped = connection.dump(key) or b""
                assert not [secret for secret in secrets if secret.encode() in dumped], key
        config = (system.repository / "config").read_text()
        assert not [secret for secret in secrets if secret in config]
        assert not [secret for secret in secrets if secret in push.stderr]


class TestA57:
    def test_a57_nothing_that_is_pushed_can_steer_the_pusher_s_terminal(self, clone: Clone) -> None:
        evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\u202egnp\u200b\nremote: deploy OK"
        clone.write("app/a.yaml", json.dumps(json.loads(config_map("a", n="1"))))
        clone.commit("one")
        assert clone.push().returncode == 0
        clone.write("app/a.yaml", config_map("a", n=evil))
        clone.commit(f"two {evil}")
        push = clone.push()
        assert push.returncode == 0, push.stderr
        for mark in ("\x1b", "\x07", "\x9b", "\u202e", "\u200b"):
            assert mark not in push.stderr
        assert "^[" in push.stderr
        assert "\nremote: deploy OK" not in push.stderr

    def test_a57_a_refusal_shows_hostile_names_instead_of_obeying_them(self, clone: Clone) -> None:
        clone.write(
            "app/a.yaml", json.dumps({"apiVersion": "v1", "kind": "Config\x1b[31mMap", "metadata": {"name": "a\x9bb"}})
        )
        clone.commit("evil")
        push = clone.push()
        assert push.returncode != 0
        assert "\x1b" not in push.stderr
        assert "\x9b" not in push.stderr
        assert "^[[31m" in push.stderr


class TestA62:
    def test_a62_hostile_push_options_are_words_and_nothing_else(self, clone: Clone, tmp_path: Path) -> None:
        clone.write("app/a.yaml", config_map("a", n="1"))
        clone.commit("1")
        witness = tmp_path / "witness"
        push = clone.push(
            "-o", f"plumbline.approve=$(touch {witness})", "-o", f"x=`touch {witness}`", "-o", "plumbline.wait=9e9; x",
            "-o", "\x1b[31m", "origin", "main",
        )  # fmt: skip
        assert push.returncode == 0, push.stderr
        assert not witness.exists()
        assert "\x1b" not in push.stderr
        refused = clone.push("-o", "plumbline.aprove=x", "origin", "HEAD:other")
        assert refused.returncode != 0
        assert "there is no push option plumbline.aprove" in refused.stderr

    def test_a62_results_cannot_be_forged(self, system: LocalSystem, clone: Clone) -> None:
        clone.write("app/a.yaml", config_map("a", n="1"))
        clone.commit("1")
        assert "converged" in clone.push("-o", "plumbline.wait=60", "origin", "main").stderr
        clone.write("app/a.yaml", config_map("a", n="2"))
        clone.commit("2, which nobody converged")
        for ref in ("refs/plumbline/production/converged", "refs/notes/plumbline"):
            before = git("for-each-ref", "--format=%(objectname)", ref, at=system.repository)
            for option in ([], ["-o", "plumbline.approve=00000000"]):
                push = clone.push("--force", *option, "origin", f"HEAD:{ref}")
                assert push.returncode != 0
                assert "only Plumbline writes them" in push.stderr
            if ref.endswith("converged"):
                assert git("for-each-ref", "--format=%(objectname)", ref, at=system.repository) == before

    def test_a62_a_thousand_and_one_refs_are_refused_with_advice(self, clone: Clone) -> None:
        clone.write("app/a.yaml", config_map("a", n="1"))
        tip = clone.commit("1")
        refs = "".join(f"create refs/tags/t{number} {tip}\n" for number in range(1001))
        import subprocess

        subprocess.run(["git", "update-ref", "--stdin"], cwd=clone.folder, input=refs, text=True, check=True)
        push = clone.push("origin", "--tags")
        assert push.returncode != 0
        assert "Push at most 1000 at a time" in push.stderr

    def test_a62_when_the_bot_is_away_protected_branches_refuse_and_others_accept_with_a_notice(
        self, system: LocalSystem, clone: Clone
    ) -> None:
        clone.write("app/a.yaml", config_map("a", n="1"))
        clone.commit("1")
        stop_web(system)
        began = time.monotonic()
        refused = clone.push()
        assert refused.returncode != 0
        assert "nothing can be predicted for main now" in refused.stderr
        assert time.monotonic() - began < 10
        accepted = clone.push("origin", "HEAD:feature")
        assert accepted.returncode == 0
        assert "not predicted" in accepted.stderr
        assert "finds it by itself" in accepted.stderr

    def test_a62_the_hook_reads_its_secret_from_no_link_and_nothing_that_others_can_read(
        self, system: LocalSystem, clone: Clone
    ) -> None:
        clone.write("app/a.yaml", config_map("a", n="1"))
        clone.commit("1")
        secret = system.repository / "plumbline" / "secret"
        kept = secret.with_name("kept")
        secret.chmod(0o644)
        assert "can be read by others" in clone.push().stderr
        secret.rename(kept)
        kept.chmod(0o600)
        secret.symlink_to(kept)
        assert "not a plain file" in clone.push().stderr
        secret.unlink()
        assert "has no secret" in clone.push().stderr
        kept.rename(secret)
        assert clone.push().returncode == 0

    def test_a62_the_pushed_commit_cannot_configure_the_hook(
        self, system: LocalSystem, clone: Clone, namespace: str
    ) -> None:
        clone.write("config", "[plumbline]\n\twhenAway = accept\n\taddress = http://127.0.0.1:1\n")
        clone.write("plumbline/secret", "mine")
        clone.write("plumbline.yaml", declaration(namespace))
        clone.write("app/a.yaml", config_map("a", n="1"))
        clone.commit("1")
        stop_web(system)
        assert clone.push().returncode != 0

    def test_a62_the_pusher_s_environment_does_not_reach_the_hook_s_git(
        self, system: LocalSystem, clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        witness = tmp_path / "witness"
        program = tmp_path / "program"
        program.write_text(f"#!/bin/sh\ntouch {witness}\n")
        program.chmod(0o755)
        monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(program))
        monkeypatch.setenv("GIT_CONFIG_PARAMETERS", f"'core.fsmonitor={program}' 'core.pager={program}'")
        monkeypatch.setenv("PYTHONSTARTUP", str(program))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        (tmp_path / "json.py").write_text(f"open({str(witness)!r}, 'w')\n")
        clone.write("app/a.yaml", config_map("a", n="1"))
        clone.commit("1")
        witness.unlink(missing_ok=True)
        push = clone.push()
        assert push.returncode == 0, push.stderr
        assert "verified" in push.stderr
        assert not witness.exists()

    def test_a62_names_that_are_not_utf_8_are_pushed_like_any_other(self, clone: Clone, namespace: str) -> None:
        import subprocess

        clone.write("app/a.yaml", config_map("a", n="1"))
        (clone.folder / "app" / "b\udcff.txt").write_text("x")
        clone.commit("1")
        refspec = b"HEAD:refs/heads/x\xff\xe2\x80\xae"
        run = subprocess.run(
            [b"git", b"push", b"origin", b"HEAD:refs/heads/main", refspec],
            cwd=clone.folder,
            capture_output=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        assert b"verified" in run.stderr
        assert b"remote: plumbline  no environment follows" in run.stderr
        hooked = b"".join(line for line in run.stderr.splitlines() if line.startswith(b"remote:"))
        assert b"\xe2\x80\xae" not in hooked
