"""What hostile text in manifests, kustomizations and charts can do; each name begins with the threat's number."""

from __future__ import annotations

import gzip
import io
import json
import resource
import socket
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import config_map
from tests.threats.repositories import Files, RawRepository
from worker.domain.errors import DesiredStateError
from worker.domain.installation import RenderLimits
from worker.domain.resource import Source
from worker.domain.yaml_text import read_documents

A = config_map("a", n="1")
CANARY = "canary-77e1"
LEVELS = "bcdefghi"
BOMB = (
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\nbomb:\n  a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"  {n}: &{n} [{','.join(['*' + p] * 9)}]\n" for p, n in zip("a" + LEVELS, LEVELS, strict=False))
)  # fmt: skip


@pytest.fixture
def repository(tmp_path: Path, tools: dict[str, Path]) -> Iterator[RawRepository]:
    made = RawRepository(tmp_path, tools["kustomize"].parent)
    yield made
    made.close()


def kustomization(text: str, **more: Any) -> Files:
    return {"app": {"kustomization.yaml": text, "a.yaml": A, **more}}


BOMBS: dict[str, Files] = {
    "a manifest": {"app": {"bomb.yaml": BOMB}},
    "a resource": kustomization("resources: [a.yaml, bomb.yaml]\n", **{"bomb.yaml": BOMB}),
    "a base": {"app": {"kustomization.yaml": "resources: [../base]\n"}, "base": {"kustomization.yaml": "resources: [b.txt]", "b.txt": BOMB}},
    "a patch": kustomization("resources: [a.yaml]\npatches:\n- path: bomb.yaml\n", **{"bomb.yaml": BOMB}),
    "an inline patch": kustomization("resources: [a.yaml]\npatches:\n- patch: |\n    " + BOMB.replace("\n", "\n    ") + "\n"),
    "a strategic patch": kustomization("resources: [a.yaml]\npatchesStrategicMerge: [bomb.yaml]\n", **{"bomb.yaml": BOMB}),
    "a generator": kustomization("resources: [a.yaml]\ngenerators: [bomb.yaml]\n", **{"bomb.yaml": BOMB}),
    "an inline transformer": kustomization("resources: [a.yaml]\ntransformers:\n- |\n    " + BOMB.replace("\n", "\n    ") + "\n"),
    "a replacement": kustomization("resources: [a.yaml]\nreplacements: [{path: bomb.yaml}]\n", **{"bomb.yaml": BOMB}),
    "the kustomization": kustomization("resources: [a.yaml]\n" + BOMB[BOMB.index("bomb:"):]),
    "after a mark and a line separator": kustomization("resources: [bomb.yaml]\n", **{"bomb.yaml": "\ufeff# x\u2028" + BOMB}),
    "a chart's values": {"app": {"Chart.yaml": "{apiVersion: v2, name: a, version: 1.0.0}", "values.yaml": BOMB}},
    "a chart's chart": {"app": {
        "Chart.yaml": "{apiVersion: v2, name: a, version: 1.0.0}",
        "charts": {"b": {"Chart.yaml": "{apiVersion: v2, name: b, version: 1.0.0}", "values.yaml": BOMB}},
    }},
    "a chart's definitions": {"app": {"Chart.yaml": "{apiVersion: v2, name: a, version: 1.0.0}", "crds": {"b.yaml": BOMB}}},
}  # fmt: skip


@pytest.mark.parametrize("files", BOMBS.values(), ids=BOMBS)
def test_a33_an_alias_bomb_is_refused_with_its_line_before_a_renderer_reads_it(
    repository: RawRepository, files: Files
) -> None:
    commit_first = repository.commit(files)
    assert commit_first
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    said = repository.refusal(files)
    took = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "aliases expand to more than" in said
    assert any(f":{line}" in said for line in range(1, 20))
    assert used.ru_utime - before.ru_utime < 1.0
    assert took < 5
    assert used.ru_maxrss - before.ru_maxrss < 50 << 10


@pytest.mark.parametrize(
    "text", ["a: &x [*x]\n", "&x {a: *x}\n", "a: &a " + "x" * 500_000 + "\nb: [" + "*a," * 9000 + "]"]
)
def test_a33_recursive_and_long_aliases_are_refused(repository: RawRepository, text: str) -> None:
    assert "alias" in repository.refusal({"app": {"x.yaml": text}})
    assert "alias" in repository.refusal(kustomization("resources: [x.yaml]\n", **{"x.yaml": text}))


TWICE = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  name: b\n"


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"app": {"x.yaml": TWICE}}, "app/x.yaml:5: the key name stands twice"),
        ({"app": {"x.json": '{"kind": "A",\n"kind": "B"}'}}, "app/x.json:2: the key kind stands twice"),
        (kustomization("resources: [x.yaml]\n", **{"x.yaml": TWICE}), "app/x.yaml:5: the key name stands twice"),
        (kustomization("resources: []\nresources: [a.yaml]\n"), "app/kustomization.yaml:2: the key resources stands twice"),
        (
            {"app": {"kustomization.yaml": "resources: [../base]"}, "base": {"kustomization.yaml": "resources: [x.yaml]", "x.yaml": TWICE}},
            "base/x.yaml:5: the key name stands twice",
        ),
        (
            kustomization("resources: [a.yaml]\npatches: [{path: x.yaml}]\n", **{"x.yaml": TWICE}),
            "app/x.yaml:5: the key name stands twice",
        ),
        (
            kustomization("resources: [a.yaml]\npatches:\n- patch: |\n    " + TWICE.replace("\n", "\n    ") + "\n"),
            "app/kustomization.yaml:3: the text here: the key name stands twice",
        ),
        (
            {"app": {"Chart.yaml": "{apiVersion: v2, name: a, version: 1.0.0}", "values.yaml": "a: 1\na: 2\n"}},
            "app/values.yaml:2: the key a stands twice",
        ),
    ],
    ids=["YAML", "JSON", "a resource", "the kustomization", "a base", "a patch", "an inline patch", "values"],
)  # fmt: skip
def test_a34_a_key_that_stands_twice_is_refused_with_file_and_line(
    repository: RawRepository, files: Files, place: str
) -> None:
    assert place in repository.refusal(files)


DIFFERENT = "yes|on|12:30:45|0o644|0644|1e3|2020-01-01|!!binary SGk=|~|0x1F|1_000|.5|'x'|!!str 5"


@pytest.mark.parametrize("scalar", DIFFERENT.split("|"))
def test_a35_what_kustomize_and_we_read_differently_is_judged_as_it_is_sent(
    repository: RawRepository, scalar: str
) -> None:
    """kustomize's output is read again by our reader, and that reading alone is judged and sent."""
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a, namespace: ns}}\ndata: {{b: {scalar}}}\n"
    files = kustomization("resources: [x.yaml]\n", **{"x.yaml": text})
    try:
        (built,) = repository.render(files).resources
    except DesiredStateError as error:
        assert "app/" in str(error)
        return
    encoded = json.dumps(built.body)
    (again,) = read_documents(encoded, "sent")
    assert again.value == built.body
    assert built.source == Source("app/kustomization.yaml")


DEEP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: "
TEXTS: dict[str, tuple[str | bytes, str]] = {
    "python tag": ("!!python/object/apply:os.system ['touch OWNED']", ":1: the tag"),
    "python scalar tag": ("a: !!python/name:os.system x", ":1: the tag"),
    "unknown tag": ("a:\n  b: !evil [x]", ":2: the tag !evil is not known"),
    "set": ("a: !!set {x, y}", ":1: the tag"),
    "NUL": ("a: 1\nb: \0", ":2: is not text"),
    "control character": ("a: 1\nb: \x01", ":2: is not text"),
    "not UTF-8": (b"a: 1\nb: \xff", ":2: is not UTF-8 text"),
    "UTF-16": ("a: 1".encode("utf-16"), ":1: is not UTF-8 text"),
    "UTF-16 without a mark": ("a: 1".encode("utf-16-be"), ":1: is not text"),
    "lone surrogate": ('a: "\\ud800"', ":1: is not valid YAML"),
    "lone surrogate in bytes": (b"a: \xed\xa0\x80", ":1: is not UTF-8 text"),
    "3,000 deep": ("[" * 3000, ":1: is nested more than 200 levels deep"),
    "3,000 deep mappings": ("{a: " * 3000, ":1: is nested more than 200 levels deep"),
    "tabs": ("a:\n\tb: 1", ":2: is not valid YAML"),
    "200,000 documents": ("---\na: 1\n" * 200_000, ":40001: has more than 20000 documents"),
    "a key that is a list": ("[a]: 1", ":1: a key is not a single value"),
    "text": ("hello", ":1: is not a Kubernetes object"),
    "a list": ("- a", ":1: is not a Kubernetes object"),
    "no name": ("apiVersion: v1\nkind: ConfigMap\n", ":1: the ConfigMap has no metadata.name"),
    "a number for a name": ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: 1e999999}\n", ""),
    "metadata that is a list": ("apiVersion: v1\nkind: ConfigMap\nmetadata: [a]\n", ":1: the ConfigMap has no metadata.name"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), TEXTS.values(), ids=TEXTS)
def test_a36_hostile_text_is_refused_with_file_and_line(
    repository: RawRepository, text: str | bytes, said: str
) -> None:
    if said:
        assert f"app/x.yaml{said}" in repository.refusal({"app": {"a.yaml": A, "x.yaml": text}})
    kustomized = kustomization("resources: [x.yaml]\n", **{"x.yaml": text})
    try:
        assert repository.render(kustomized).resources
    except DesiredStateError as error:
        assert "app/" in str(error)
        assert "Traceback" not in str(error)
        assert "goroutine" not in str(error)


def test_a36_a_hundred_megabytes_are_refused_quickly(repository: RawRepository) -> None:
    began = time.monotonic()
    assert "app/x.yaml: is larger than 64 MiB" in repository.refusal({"app": {"x.yaml": b"# \n" * (35 << 20)}})
    assert time.monotonic() - began < 20
    small = RawRepository(repository.folder.parent / "small", limits=RenderLimits(seconds=10, file_size=1 << 20))
    assert "app/x.yaml: is larger than 1 MiB" in small.refusal({"app": {"x.yaml": "# \n" * (1 << 20)}})
    small.close()


def test_a36_what_is_merely_unusual_is_read(repository: RawRepository) -> None:
    nested: dict[str, Any] = json.loads(config_map("deep", n="1"))
    for _ in range(5):
        nested = {"apiVersion": "v1", "kind": "List", "items": [nested]}
    assert repository.names({
        "app": {
            "crlf.yaml": "apiVersion: v1\r\nkind: ConfigMap\r\nmetadata:\r\n  name: crlf\r\n",
            "empty.yaml": "", "dashes.yaml": "---\n", "comment.yaml": "# nothing\n",
            "mark.yaml": "\ufeff" + config_map("mark", n="1"),
            "json.yaml": config_map("json", n="1"),
            "list.yaml": json.dumps(nested),
            "documents.yaml": "---\n---\n" + config_map("one", n="1") + "---\n" + config_map("two", n="1") + "\n---\n",
        }
    }) == ["crlf", "deep", "json", "mark", "one", "two"]  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(lambda text: text.encode(errors="surrogatepass")),
        st.lists(
            st.sampled_from(
                ["a", "&x", "*x", "<<", ": ", "- ", "? ", "[", "]", "{", "}", ",", "\n", "  ", "|", ">", "'", '"', "!!str ",
                 "!x ", "---\n", "...\n", "%YAML 1.1\n", "1e999", "0x", ".inf", "~", "\t", "\0", "#", "\u2028", "\ufeff"]
            ),
            max_size=60,
        ).map(lambda parts: "".join(parts).encode()),
    )
)  # fmt: skip
def test_a36_no_bytes_make_the_reader_fail_in_any_other_way_than_by_saying_so(text: bytes) -> None:
    try:
        documents = read_documents(text, "f")
    except DesiredStateError as error:
        assert error.problems
        assert all(problem.file == "f" and problem.line for problem in error.problems)
    else:
        json.loads(json.dumps([document.value for document in documents], allow_nan=False))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
PLACES = (
    "apiVersion",
    "kind",
    "metadata",
    "spec",
    "data",
    "type",
    "rules",
    "subjects",
    "roleRef",
    "items",
    "stringData",
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["ConfigMap", "Secret", "Namespace", "List", "ConfigMapList", "Role", "RoleBinding", "Job"]),
    st.dictionaries(st.sampled_from(PLACES), JSON, max_size=4),
    st.dictionaries(st.sampled_from(["labels", "annotations", "namespace", "name", "generateName"]), JSON, max_size=3),
)
def test_a36_no_shape_of_an_object_makes_the_judgement_fail_in_any_other_way_than_by_saying_so(
    kind: str, members: dict[str, Any], metadata: dict[str, Any]
) -> None:
    from worker.adapters.renderer.objects import flattened, made_of
    from worker.domain.environment import Ceiling, Environment
    from worker.domain.errors import Problem
    from worker.operations.preparing import labelled
    from worker.planning.sequencing import sequence
    from worker.planning.validation import builtin_scope, place, validate

    group = "rbac.authorization.k8s.io/v1" if kind.startswith("Role") else "v1"
    body = {"apiVersion": group, "kind": kind, "metadata": {"name": "a", **metadata}, **members}
    made = [made_of(each, Source("f", 1)) for each in flattened(body)]
    resources = place([each for each in made if not isinstance(each, Problem)], "ns", builtin_scope)
    ceiling = Ceiling(("ns",), ("*",), (), (), dangerous=())
    problems = validate(resources, Environment("r", "e", "", ".", "c", "ns"), ceiling, builtin_scope)
    if not problems:
        sequence(labelled(each, "owner") for each in resources)


# -- kustomize -----------------------------------------------------------------------------------------------------------

REMOTES = (
    "https://example.com/x.yaml", "http://127.0.0.1:PORT/x.yaml", "HTTP://127.0.0.1:PORT/x.yaml",
    "github.com/kubernetes/examples//x?ref=main", "git::https://127.0.0.1:PORT/x", "git@127.0.0.1:x/y.git",
    "ssh://git@127.0.0.1:PORT/x", "https://127.0.0.1:PORT/x.git//y?ref=main", "file:///etc/passwd",
    "127.0.0.1:PORT/x.git", "example.com/x/y.yaml", "oci://127.0.0.1:PORT/x",
)  # fmt: skip
FIELDS = {
    "resources": "resources: [\n'{}']\n",
    "bases": "bases: [\n'{}']\n",
    "components": "components: [\n'{}']\n",
    "crds": "crds: [\n'{}']\n",
    "configurations": "configurations: [\n'{}']\n",
    "generators": "generators: [\n'{}']\n",
    "transformers": "transformers: [\n'{}']\n",
    "validators": "validators: [\n'{}']\n",
    "patches": "patches: [\n{{path: '{}'}}]\n",
    "patchesStrategicMerge": "patchesStrategicMerge: [\n'{}']\n",
    "patchesJson6902": "patchesJson6902: [\n{{path: '{}', target: {{kind: ConfigMap, name: a}}}}]\n",
    "replacements": "replacements: [\n{{path: '{}'}}]\n",
    "openapi": "openapi: {{\npath: '{}'}}\n",
    "configMapGenerator files": "configMapGenerator: [{{name: g, files: [\n'{}']}}]\n",
    "configMapGenerator key": "configMapGenerator: [{{name: g, files: [\n'k={}']}}]\n",
    "configMapGenerator envs": "configMapGenerator: [{{name: g, envs: [\n'{}']}}]\n",
    "configMapGenerator env": "configMapGenerator: [{{name: g,\nenv: '{}'}}]\n",
    "secretGenerator files": "secretGenerator: [{{name: g, files: [\n'{}']}}]\n",
    "secretGenerator envs": "secretGenerator: [{{name: g, envs: [\n'{}']}}]\n",
}


@pytest.fixture
def canary() -> Iterator[socket.socket]:
    """A listener that nobody may ever connect to."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        yield listening
        with pytest.raises(BlockingIOError):
            listening.accept()


@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
def test_a37_everything_that_kustomize_would_fetch_is_refused_with_file_and_line_in_every_field(
    repository: RawRepository, canary: socket.socket, field: str
) -> None:
    port = str(canary.getsockname()[1])
    for remote in (each.replace("PORT", port) for each in REMOTES[:4]):
        said = repository.refusal(kustomization(field.format(remote)))
        key, cut, path = remote.rpartition("=")
        if cut and "files: [\n'{}" in field:
            assert f"app/kustomization.yaml:2: `{path}` does not exist" in said, key
        else:
            assert f"app/kustomization.yaml:2: `{remote}` would be fetched from elsewhere" in said


@pytest.mark.parametrize("remote", REMOTES)
def test_a37_every_form_of_an_address_is_refused_in_a_base_of_a_base_also_where_such_a_folder_exists(
    repository: RawRepository, canary: socket.socket, remote: str
) -> None:
    remote = remote.replace("PORT", str(canary.getsockname()[1]))
    here: Any = {"kustomization.yaml": ""}
    for part in reversed([part for part in remote.split("/") if part]):
        here = {part: here}
    files = {
        "app": {"kustomization.yaml": "resources: [../one]\n"},
        "one": {"kustomization.yaml": "resources:\n- ../two\n"},
        "two": {
            "kustomization.yaml": f"resources:\n- ../a.yaml\n- '{remote}'\n",
            **(here if "example.com" not in remote else {}),
        },
        "a.yaml": A,
    }
    said = repository.refusal(files)
    assert f"two/kustomization.yaml:3: `{remote}` would be fetched from elsewhere" in said


LEADING_OUT = {
    "up": "../../../../etc/passwd",
    "absolute": "/etc/passwd",
    "another clone": "../../canary",
    "NUL": "a\\0b",
    "the worker": "/proc/self/environ",
    "nothing": "nowhere.yaml",
}


@pytest.mark.parametrize("path", LEADING_OUT.values(), ids=LEADING_OUT)
@pytest.mark.parametrize("field", ["resources", "patches", "configMapGenerator files", "openapi", "transformers"])
def test_a37_no_reference_leads_out_of_the_repository(
    repository: RawRepository, tmp_path: Path, path: str, field: str
) -> None:
    clone = tmp_path / "canary"
    clone.mkdir()
    (clone / "kustomization.yaml").write_text("resources: [a.yaml]\n")
    (clone / "a.yaml").write_text(config_map(CANARY, n=CANARY))
    said = repository.refusal(kustomization(FIELDS[field].format(path).replace("'", '"')))
    assert "app/kustomization.yaml:2: " in said
    assert CANARY not in said
    assert "root:" not in said


PROGRAMS = {
    "helmCharts": ("helmCharts: [{name: x, repo: 'https://127.0.0.1:1'}]\n", "`helmCharts` would run helm"),
    "helmChartInflationGenerator": ("helmChartInflationGenerator: [{chartName: x}]\n", "would run helm"),
    "an exec function": ("generators: [plugin.yaml]\n", "is a function, which would run a program"),
    "a function in a folder": ("generators: [plugins]\n", "is a function, which would run a program"),
    "an inline function": (
        (
            "transformers:\n- |-\n  apiVersion: builtin\n  kind: X\n  metadata:\n    name: x\n    annotations:\n"
            "      config.k8s.io/function: 'container: {image: x}'\n"
        ),
        "is a function, which would run a program",
    ),
    "a plugin": ("validators: [exec.yaml]\n", "is a plugin that is not kustomize's own"),
    "an inline chart": (
        "generators:\n- |-\n  apiVersion: builtin\n  kind: HelmChartInflationGenerator\n  metadata: {name: x}\n  name: x\n",
        "would run helm",
    ),
    "a built-in one that fetches": ("transformers: [patch.yaml]\n", "`https://127.0.0.1:1/x` would be fetched"),
}
FUNCTION = (
    "apiVersion: builtin\nkind: X\nmetadata:\n  name: x\n  annotations:\n"
    "    config.kubernetes.io/function: |\n      exec: {path: ./run.sh}\n"
)


@pytest.mark.parametrize(("text", "said"), PROGRAMS.values(), ids=PROGRAMS)
def test_a37_plugins_functions_and_charts_in_kustomizations_are_refused(
    repository: RawRepository, text: str, said: str
) -> None:
    files = kustomization(
        f"resources: [a.yaml]\n{text}",
        **{
            "plugin.yaml": FUNCTION,
            "plugins": {"kustomization.yaml": "resources: [p.yaml]\n", "p.yaml": FUNCTION},
            "exec.yaml": "apiVersion: example.com/v1\nkind: Validator\nmetadata: {name: x}\n",
            "patch.yaml": "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: x}\npath: https://127.0.0.1:1/x\n",
            "run.sh": "#!/bin/sh\ntouch /tmp/owned\n",
        },
    )
    answer = repository.refusal(files)
    assert said in answer
    assert answer.startswith("app/")


def test_a37_kustomize_s_own_generators_and_functions_that_are_only_data_still_work(repository: RawRepository) -> None:
    files = kustomization(
        "resources: [a.yaml, data.yaml]\ntransformers: [labels.yaml]\ngenerators:\n- |-\n  apiVersion: builtin\n"
        "  kind: ConfigMapGenerator\n  metadata: {name: made}\n  files: [a.yaml]\n  options: {disableNameSuffixHash: true}\n",
        **{
            "labels.yaml": "apiVersion: builtin\nkind: LabelTransformer\nmetadata: {name: x}\nlabels: {x: y}\n"
            "fieldSpecs: [{path: metadata/labels, create: true}]\n",
            "data.yaml": FUNCTION.replace("apiVersion: builtin\nkind: X", "apiVersion: v1\nkind: ConfigMap"),
        },
    )
    assert repository.names(files) == ["a", "made", "x"]


def test_a37_cycles_and_endless_chains_are_refused_with_file_and_line(repository: RawRepository) -> None:
    said = repository.refusal(
        {
            "app": {"kustomization.yaml": "resources:\n- ../one\n"},
            "one": {"kustomization.yaml": "resources:\n- ../app\n"},
        }
    )
    assert "one/kustomization.yaml:2: `../app` leads back to a kustomization that leads here" in said
    chain: Files = {f"k{number}": {"kustomization.yaml": f"resources: [../k{number + 1}]\n"} for number in range(200)}
    assert "kustomizations lead to one another" in repository.refusal(chain, "k0")


def test_a37_the_worker_s_environment_is_not_a_source_of_values(
    repository: RawRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLUMBLINE_REDIS_URL", CANARY)
    files = kustomization("configMapGenerator: [{name: g, envs: [e]}]\n", e="PLUMBLINE_REDIS_URL\n")
    (made,) = repository.render(files).resources
    assert CANARY not in json.dumps(made.body)


# -- helm ----------------------------------------------------------------------------------------------------------------

CHART = "{apiVersion: v2, name: a, version: 1.0.0}\n"


def chart(template: str = A, **more: Any) -> Files:
    return {"app": {"Chart.yaml": CHART, "templates": {"a.yaml": template}, **more}}


def archive(members: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return gzip.compress(out.getvalue())


def test_a38_a_chart_sees_neither_the_cluster_nor_the_network_nor_files_outside(
    repository: RawRepository, canary: socket.socket
) -> None:
    template = (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n"
        '  looked: {{ len (lookup "v1" "Secret" "kube-system" "") | quote }}\n'
        '  host: {{ getHostByName "localhost" | quote }}\n'
        '  up: {{ .Files.Get "../../../../etc/passwd" | quote }}\n'
        '  absolute: {{ .Files.Get "/etc/passwd" | quote }}\n'
        '  all: {{ (.Files.Glob "../**").AsConfig | quote }}\n'
        '  env: {{ "$HOME ${PATH}" | quote }}\n'
    )
    (made,) = repository.render(chart(template)).resources
    assert made.body["data"] == {
        "looked": "0",
        "host": "",
        "up": "",
        "absolute": "",
        "all": "{}",
        "env": "$HOME ${PATH}",
    }
    for forbidden in ("env", "expandenv"):
        said = repository.refusal(chart("x: {{ " + forbidden + ' "HOME" }}\n'))
        assert "app/templates/a.yaml:1: helm does not template it" in said


@pytest.mark.parametrize(
    "source", ["file://../other", "oci://127.0.0.1:PORT/x", "https://127.0.0.1:PORT", "http://127.0.0.1:PORT", "@alias"]
)
def test_a38_dependencies_are_never_fetched(repository: RawRepository, canary: socket.socket, source: str) -> None:
    source = source.replace("PORT", str(canary.getsockname()[1]))
    files = chart()
    files["app"]["Chart.yaml"] = (
        CHART.strip().rstrip("}") + f", dependencies: [{{name: b, version: 1.0.0, repository: '{source}'}}]}}\n"
    )
    files["other"] = {"Chart.yaml": CHART.replace("name: a", "name: b")}
    said = repository.refusal(files)
    assert "missing in charts/ directory" in said
    assert "helm dependency build" in said


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("../../canary.yaml", "leads out of the repository"),
        ("/etc/passwd", "leads out of the repository"),
        ("https://127.0.0.1:1/x.yaml", "does not exist"),
        ("values.yaml,/etc/passwd", "has a character that helm cuts names at"),
        ('"a","b"', "has a character that helm cuts names at"),
        ("nothing.yaml", "does not exist"),
    ],
)
def test_a38_values_are_files_of_the_repository(
    repository: RawRepository, tmp_path: Path, values: str, said: str
) -> None:
    (tmp_path / "canary.yaml").write_text(f"a: {CANARY}\n")
    answer = repository.refusal(chart("a: {{ .Values.a }}\n", **{"values.yaml": "a: 1\n"}), values=(values,))
    assert said in answer
    assert CANARY not in answer


def test_a38_a_release_s_name_is_no_option_of_helm(repository: RawRepository, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/witness\ncat\n")
    program.chmod(0o755)
    said = repository.refusal(chart(), release=f"--post-renderer={program}")
    assert "helm does not template it" in said
    assert not (tmp_path / "witness").exists()


ARCHIVES = {
    "up": archive({"b/Chart.yaml": CHART.replace("name: a", "name: b").encode(), "../../evil.yaml": b"x"}),
    "absolute": archive({"/tmp/evil/Chart.yaml": CHART.encode()}),
    "a link": archive(
        {
            "b/Chart.yaml": CHART.replace("name: a", "name: b").encode(),
            "b/templates/x.yaml": b'x: {{ .Files.Get "l" }}',
        },
        {"b/l": "/etc/passwd"},
    ),
    "a bomb": archive({"b/Chart.yaml": CHART.replace("name: a", "name: b").encode(), "b/x": b"\0" * (300 << 20)}),
    "not an archive": b"\x1f\x8b nothing",
}


@pytest.mark.parametrize("content", ARCHIVES.values(), ids=ARCHIVES)
def test_a38_a_hostile_archive_in_a_chart_leads_nowhere(
    repository: RawRepository, tmp_path: Path, content: bytes
) -> None:
    try:
        rendered = repository.render(chart(charts={"b-1.0.0.tgz": content}))
    except DesiredStateError as error:
        assert str(error).startswith(("app/", "helm"))
        assert "root:" not in str(error)
    else:
        assert all("root:" not in json.dumps(each.body) for each in rendered.resources)
    assert not list(tmp_path.rglob("evil*"))
    assert not Path("/tmp/evil").exists()


@pytest.mark.parametrize(
    "template",
    ['{{- range $i := until 2000000000 }}x{{ end }}', '{{ define "x" }}{{ include "x" . }}{{ end }}{{ include "x" . }}',
     '{{ repeat 2000000000 "x" }}'],
    ids=["a loop", "a recursion", "a long text"],
)  # fmt: skip
def test_a38_a_template_without_end_is_ended(tmp_path: Path, tools: dict[str, Path], template: str) -> None:
    limits = RenderLimits(seconds=10, memory=512 << 20, file_size=8 << 20)
    repository = RawRepository(tmp_path, tools["helm"].parent, limits)
    began = time.monotonic()
    said = repository.refusal(chart(template))
    assert "helm" in said
    assert time.monotonic() - began < 30
    repository.close()
