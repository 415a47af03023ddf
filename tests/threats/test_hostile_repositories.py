"""What a hostile Git repository can do to a render, tried with raw objects; each name begins with the threat's number."""

from __future__ import annotations

import hashlib
import resource
import struct
import subprocess
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import config_map
from tests.threats.repositories import Files, RawRepository
from worker.adapters.checkout import GIT_SECONDS, Checkout
from worker.adapters.renderer import Capabilities
from worker.domain.declaration import FILE
from worker.domain.environment import Environment
from worker.domain.errors import DesiredStateError, Unavailable
from worker.domain.installation import RenderLimits

CANARY = "canary-2b9d"
A = config_map("a", n="1")
KUSTOMIZATION = "resources: [a.yaml]\n"


@pytest.fixture
def repository(tmp_path: Path, tools: dict[str, Path]) -> Iterator[RawRepository]:
    made = RawRepository(tmp_path, tools["kustomize"].parent)
    yield made
    made.close()


OUTSIDE: dict[str, Files] = {
    "absolute": {"app": {"a.yaml": ("link", "/etc/passwd")}},
    "relative": {"app": {"a.yaml": ("link", "../../../../../../etc/passwd")}},
    "the process": {"app": {"a.yaml": ("link", "/proc/self/environ")}},
    "another clone": {"app": {"a.yaml": ("link", "../../canary.yaml")}},
    "a link to a link": {"app": {"a.yaml": ("link", "../b")}, "b": ("link", "/etc/passwd")},
    "through a link, where its text stays inside": {
        "app": {"deep": {"er": {"up": ("link", "../../.."), "a.yaml": ("link", "up/../../../etc/passwd")}}}
    },
}


@pytest.mark.parametrize("files", OUTSIDE.values(), ids=OUTSIDE)
@pytest.mark.parametrize("renderer", ["yaml", "kustomize"])
def test_a28_a_link_that_leads_out_is_refused_by_name_and_never_read(
    repository: RawRepository, tmp_path: Path, files: Files, renderer: str
) -> None:
    (tmp_path / "canary.yaml").write_text(config_map(CANARY, n=CANARY))
    if renderer == "kustomize":
        files = {**files, "app": {**files["app"], "kustomization.yaml": KUSTOMIZATION}}
    said = repository.refusal(files, renderer=renderer)
    assert "is a link to" in said
    assert "outside the repository" in said
    assert CANARY not in said
    assert "root:" not in said
    assert not list((tmp_path / "cache" / "renders").iterdir())


def test_a28_links_that_stay_inside_work_and_those_that_lead_nowhere_are_named(repository: RawRepository) -> None:
    shared = {"b.yaml": config_map("b", n="1")}
    assert repository.names({"app": {"b.yaml": ("link", "../shared/b.yaml")}, "shared": shared}) == ["b"]
    said = repository.refusal({"app": {"b.yaml": ("link", "../shared/nothing.yaml")}, "shared": shared})
    assert "app/b.yaml: cannot be read" in said
    said = repository.refusal({"app": {"b.yaml": ("link", "c.yaml"), "c.yaml": ("link", "b.yaml")}})
    assert "app/b.yaml: cannot be read" in said


def test_a28_a_linked_folder_is_followed_by_nobody_and_said(repository: RawRepository) -> None:
    files: Files = {"app": {"a.yaml": A, "more": ("link", "../../..")}}
    assert repository.render(files).warnings == ("app/more is a link, which is not followed",)
    files["app"]["kustomization.yaml"] = "resources: [a.yaml, more]\n"
    assert "app/more: is a link to ../../.., outside the repository" in repository.refusal(files)


def test_a28_a_link_elsewhere_in_the_repository_is_left_out_and_spoils_no_other_environment(
    repository: RawRepository,
) -> None:
    rendered = repository.render(
        {
            "app": {"kustomization.yaml": "resources: [../base]\n"},
            "base": {"kustomization.yaml": KUSTOMIZATION, "a.yaml": A},
            "other": {"evil.yaml": ("link", "/etc/passwd")},
        }
    )
    assert [resource.key.name for resource in rendered.resources] == ["a"]
    assert rendered.warnings == ("other/evil.yaml is a link to /etc/passwd, outside the repository, and is left out",)


def test_a28_a_submodule_is_named_and_nothing_is_fetched_for_it(repository: RawRepository) -> None:
    modules = '[submodule "x"]\n\tpath = app/x\n\turl = ext::sh -c touch% /tmp/owned\n'
    files = {
        ".gitmodules": modules,
        "app": {"kustomization.yaml": KUSTOMIZATION, "a.yaml": A, "x": ("module", "1" * 40)},
    }
    rendered = repository.render(files)
    assert rendered.warnings == ("app/x is a submodule and is left out",)
    files["app"]["kustomization.yaml"] = "resources: [a.yaml, x]\n"  # type: ignore[index]
    assert "app/kustomization.yaml:1: `x` does not exist" in repository.refusal(files)


def test_a28_a_plumbline_yaml_that_is_a_link_is_refused(repository: RawRepository) -> None:
    commit = repository.commit({FILE: ("link", "app/a.yaml"), "app": {"a.yaml": A}})
    with pytest.raises(DesiredStateError, match=r"plumbline\.yaml: is not a plain file"):
        repository.checkout.read_file(commit, FILE)
    assert repository.checkout.read_file(commit, "app/nothing") is None


def test_a29_attributes_in_any_file_of_the_repository_change_nothing(repository: RawRepository) -> None:
    attributes = "*.yaml export-ignore filter=evil ident eol=crlf working-tree-encoding=UTF-16\n"
    (repository.folder / "info" / "attributes").write_text(attributes)
    repository.git("config", "filter.evil.smudge", "touch /tmp/owned; false")
    rendered = repository.render({
        ".gitattributes": attributes, "app": {".gitattributes": attributes, "a.yaml": config_map("a", n="$Id$\r\n")}
    })  # fmt: skip
    assert rendered.resources[0].body["data"] == {"n": "$Id$\r\n"}


HOSTILE_BRANCHES = (
    "--upload-pack=touch OWNED", "-x", "a`touch OWNED`", "$(touch OWNED)", "<img src=x>", "x" * 4096, "😀", "a\x1b[31m",
    "main^{/made}", "main@{1}", "a..b", "main:app", "refs/heads/main", "*", "ma?n", "a\nb", "a\0b", "",
)  # fmt: skip


@pytest.mark.parametrize("branch", HOSTILE_BRANCHES[:-1])
@pytest.mark.parametrize("remote", [False, True], ids=["in place", "mirrored"])
def test_a30_a_hostile_branch_name_is_a_name_and_nothing_else(
    repository: RawRepository, tmp_path: Path, branch: str, remote: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    commit = repository.commit({"app": {"a.yaml": A}})
    checkout = repository.checkout
    if remote:
        checkout = Checkout.open("http://127.0.0.1:9/none.git", tmp_path / "mirrors")
    if branch.isprintable() and remote and branch not in ("-x", "a..b"):
        with pytest.raises(Unavailable):
            checkout.fetch("1" * 40, branch)
    elif not remote:
        assert checkout.tip(branch) is None
        assert checkout.tip("main") == commit
    assert not list(tmp_path.rglob("OWNED"))
    checkout.close()


def test_a30_hostile_branches_that_git_takes_are_listed_as_they_are(repository: RawRepository) -> None:
    commit = repository.commit({"app": {"a.yaml": A}})
    for name in ('a`id`;$(x)<b>&"', "<img-src=x>", "😀", "-x" + "y" * 200):
        repository.git("update-ref", f"refs/heads/{name}", commit)
        assert repository.checkout.tips()[name] == commit
        assert repository.checkout.tip(name) == (None if name.startswith("-") else commit)


def test_a31_nothing_in_a_repository_s_configuration_or_hooks_runs_anything(
    repository: RawRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    witness = tmp_path / "witness"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {witness}\n")
    program.chmod(0o755)
    for name in ("core.fsmonitor", "core.sshCommand", "core.alternateRefsCommand", "core.pager", "diff.external"):
        repository.git("config", name, str(program))
    for name in ("post-checkout", "post-index-change", "reference-transaction", "fsmonitor-watchman", "pre-auto-gc"):
        hook = repository.folder / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.unlink(missing_ok=True)
        hook.symlink_to(program)
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(program))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", f"'core.fsmonitor={program}'")
    made = RawRepository(tmp_path / "other")
    commit = made.commit({"app": {"a.yaml": A}})
    checkout = Checkout(repository.folder, None)
    with checkout.quarantined(packed(made, commit)) as beside:
        assert [entry.path for entry in beside.entries(commit, "")] == ["app/a.yaml"]
        assert beside.is_ancestor(commit, commit)
        assert not beside.is_ancestor("1" * 40, commit)
    assert checkout.tips() == {}
    with pytest.raises(Unavailable):
        Checkout(repository.folder, "http://127.0.0.1:9/x").tips()
    for each in (checkout, made):
        each.close()
    assert not witness.exists()


DOTGIT = {"config": "[core]\n\tfsmonitor = touch OWNED\n", "HEAD": "ref: refs/heads/main\n"}


@pytest.mark.parametrize("name", [".git", ".GIT", ".Git"])
def test_a31_a_folder_named_like_git_s_own_is_refused(repository: RawRepository, name: str) -> None:
    kustomization = {"kustomization.yaml": KUSTOMIZATION, "a.yaml": A}
    said = repository.refusal({"app": {**kustomization, name: DOTGIT}})
    assert f"app/{name}/" in said
    assert "is nothing that belongs into a commit" in said


def test_a31_an_embedded_bare_repository_is_a_folder_of_files(repository: RawRepository) -> None:
    bare = {**DOTGIT, "objects": {"x": ""}, "refs": {"x": ""}, "hooks": {"post-checkout": "#!/bin/sh\ntouch OWNED\n"}}
    assert repository.names({"app": {"kustomization.yaml": KUSTOMIZATION, "a.yaml": A, "bare.git": bare}}) == ["a"]


@pytest.mark.parametrize(
    "rows",
    [
        [("100644", "../../evil.yaml", "")],
        [("100644", "..", "")],
        [("100644", "a/b.yaml", "")],
        [("100644", "/tmp/evil.yaml", "")],
        [("100644", "", "")],
        [("100644", "a.yaml", ""), ("100644", "a.yaml", "")],
        [("120000", "a", ""), ("40000", "a", "tree")],
    ],
    ids=["up", "dots", "slash", "absolute", "empty", "twice", "link and folder"],
)
def test_a31_a_tree_that_git_would_not_make_is_refused(
    repository: RawRepository, rows: list[tuple[str, str | bytes, str]]
) -> None:
    blob, inner = repository.blob(A), repository.tree_of({"x.yaml": A})
    app = repository.tree([(mode, name, inner if which else blob) for mode, name, which in rows])
    said = repository.refusal(repository.tree([("40000", "app", app)]))
    assert said.startswith("app: is a tree that git would not make")


def test_a31_a_damaged_tree_and_modes_of_old_tools_are_read_right_or_refused(repository: RawRepository) -> None:
    blob = repository.blob(A)
    inner = repository.tree([("0100644", "a.yaml", blob)])
    assert repository.names(repository.tree([("040000", "app", inner)])) == ["a"]
    cut = repository.git("hash-object", "-t", "tree", "-w", "--stdin", "--literally", data=b"100644 a.yaml\0short")
    assert "is a tree that git would not make" in repository.refusal(repository.tree([("40000", "app", cut)]))


def test_a31_a_push_of_such_objects_is_refused_with_git_s_reason_and_old_mistakes_are_taken(
    repository: RawRepository, tmp_path: Path
) -> None:
    good = RawRepository(tmp_path / "good")
    evil = repository.commit({"app": {"a.yaml": A, ".git": DOTGIT}})
    refused = pytest.raises(DesiredStateError, match=r"the pushed objects are refused \(hasDotgit")
    with refused, good.checkout.quarantined(packed(repository, evil)):
        pass
    old = RawRepository(tmp_path / "old")
    commit = old.commit(old.tree([("040000", "app", old.tree_of({"a.yaml": A}))]))
    with good.checkout.quarantined(packed(old, commit)) as checkout:
        assert [entry.path for entry in checkout.entries(commit, "app")] == ["app/a.yaml"]
    for each in (good, old):
        each.close()


def packed(repository: RawRepository, commit: str) -> bytes:
    return subprocess.run(
        ["git", "pack-objects", "--revs", "--stdout", "-q"],
        cwd=repository.folder, input=commit.encode() + b"\n", capture_output=True, check=True,
    ).stdout  # fmt: skip


def bomb_pack(levels: int = 4) -> bytes:
    """A small pack whose last object is a delta that copies its base a hundred times, level upon level."""

    def header(kind: int, size: int) -> bytes:
        found, size = (kind << 4) | (size & 15), size >> 4
        out = b""
        while size:
            out += bytes([found | 0x80])
            found, size = size & 0x7F, size >> 7
        return out + bytes([found])

    def varint(value: int) -> bytes:
        out = b""
        while value > 0x7F:
            out += bytes([(value & 0x7F) | 0x80])
            value >>= 7
        return out + bytes([value])

    size = 0xFFFF
    objects = [header(3, size) + zlib.compress(b"\0" * size)]
    for _ in range(levels):
        piece = min(size, 0xFFFFFF)
        delta = varint(size) + varint(piece * 100) + (b"\xf0" + struct.pack("<I", piece)[:3]) * 100
        back = len(objects[-1])
        offset = bytes([back & 0x7F])
        while back >> 7:
            back = (back >> 7) - 1
            offset = bytes([0x80 | (back & 0x7F)]) + offset
        objects.append(header(6, len(delta)) + offset + zlib.compress(delta))
        size = piece * 100
    body = b"PACK" + struct.pack(">II", 2, len(objects)) + b"".join(objects)
    return body + hashlib.sha1(body).digest()


def test_a32_a_pack_that_explodes_is_refused_and_the_worker_lives(repository: RawRepository) -> None:
    commit = repository.commit({"app": {"a.yaml": A}})
    pack = bomb_pack()
    assert len(pack) < 10_000
    began = time.monotonic()
    with pytest.raises((DesiredStateError, Unavailable)) as caught, repository.checkout.quarantined(pack):
        pass
    said = str(caught.value)
    assert "damaged, or too large" in said or "git index-pack took longer than 30 s" in said, (
        "whichever limit comes first"
    )
    assert time.monotonic() - began < GIT_SECONDS + 15
    assert repository.checkout.entries(commit, "app")


def test_a32_a_tree_of_trees_without_end_is_refused(repository: RawRepository) -> None:
    began = time.monotonic()
    tree = repository.tree_of({"a.yaml": A})
    for _ in range(10):
        tree = repository.tree([("40000", f"d{number}", tree) for number in range(10)])
    assert "holds more than 200000 entries" in repository.refusal(repository.tree([("40000", "app", tree)]))
    assert time.monotonic() - began < 60


def test_a32_a_path_without_end_is_refused(repository: RawRepository) -> None:
    tree = repository.tree_of({"a.yaml": A})
    for _ in range(600):
        tree = repository.tree([("40000", "d", tree)])
    assert "has a path of more than 1024 characters" in repository.refusal(repository.tree([("40000", "app", tree)]))
    assert "cannot be written" in repository.refusal({"app": {"kustomization.yaml": KUSTOMIZATION, "x" * 300: A}})


def test_f15_a_machine_that_cannot_write_is_at_fault_and_not_the_commit(repository: RawRepository) -> None:
    files: Files = {"app": {"kustomization.yaml": KUSTOMIZATION, "a.yaml": A}}
    commit, production = repository.commit(files), Environment("r", "e", "main", "app", "c", "ns")
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, most[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            repository.renderer.render_revision(repository.checkout, commit, production, Capabilities())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    assert repository.names(files) == ["a"]


def test_a32_a_file_that_is_too_large_is_named(repository: RawRepository) -> None:
    said = repository.refusal({"app": {"large.yaml": b"#" * (65 << 20)}})
    assert "app/large.yaml: is larger than 64 MiB" in said
    assert repository.names({"app": {"a.yaml": A}}) == ["a"]


def test_a32_too_many_files_and_too_many_bytes_are_said(tmp_path: Path) -> None:
    repository = RawRepository(tmp_path, limits=RenderLimits(files=50, tree_size=1 << 20))
    assert "more than 50 files" in repository.refusal({"app": {f"{number}.yaml": A for number in range(60)}})
    assert "more than 1 MiB" in repository.refusal({"app": {f"{number}.yaml": "#" * 400_000 for number in range(3)}})
    repository.close()


def test_a32_ten_thousand_branches_cost_one_reading(repository: RawRepository) -> None:
    commit = repository.commit({"app": {"a.yaml": A}})
    refs = "".join(f"create refs/heads/b{number} {commit}\n" for number in range(10_000))
    repository.git("update-ref", "--stdin", data=refs.encode())
    began = time.monotonic()
    assert len(repository.checkout.tips()) == 10_001
    assert time.monotonic() - began < 10
    environment = Environment("r", "e", "main", "app", "c", "ns")
    assert repository.renderer.render_revision(repository.checkout, commit, environment, Capabilities()).resources


@pytest.mark.parametrize(
    ("kustomization", "meant"),
    [
        ("Resources: [https://example.org/x.yaml]\n", "resources"),
        ("RESOURCES: [../../elsewhere]\n", "resources"),
        ("Generators: [plugin.yaml]\n", "generators"),
        ("HelmCharts: [{name: x, repo: https://example.org}]\n", "helmCharts"),
        ("configMapGenerator: [{name: x, Files: [../../secret]}]\n", "files"),
        ("patches: [{Path: ../../patch.yaml}]\n", "path"),
        ("openapi: {Path: ../../schema.json}\n", "path"),
    ],
)
def test_a37_what_kustomize_reads_in_any_capitals_is_looked_at_in_one(
    repository: RawRepository, kustomization: str, meant: str
) -> None:
    said = repository.refusal({"app": {"kustomization.yaml": kustomization, "a.yaml": A}})
    assert f"write `{meant}`" in said


def test_an_object_whose_kind_ends_like_a_list_is_not_taken_apart(repository: RawRepository) -> None:
    own = "apiVersion: example.org/v1\nkind: AllowList\nmetadata: {name: mine}\nitems: []\n"
    typed = "apiVersion: v1\nkind: ConfigMapList\nmetadata: {}\nitems: [{metadata: {name: one}}]\n"
    assert repository.names({"app": {"own.yaml": own, "typed.yaml": typed}}) == ["mine", "one"]
