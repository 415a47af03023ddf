"""One history on a real API server: every commit predicted, applied, verified and applied again, and what came of it.

What happened is read from the API server itself, before and after, not from Plumbline's own account of it.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.otherwise import REFUSED
from tests.truth.histories import History, Step
from worker.adapters.checkout import Checkout
from worker.adapters.cluster import Cluster, Records, connect
from worker.adapters.inventory import Recorded, StateStore
from worker.adapters.renderer import Capabilities, Renderer, RenderTools
from worker.domain.convergence import Operation, Phase
from worker.domain.environment import Ceiling, Environment, Policy
from worker.domain.errors import DesiredStateError, PlumblineError, Refused
from worker.domain.health import IGNORE, HealthPolicy
from worker.domain.installation import RenderLimits
from worker.domain.plan import Action, Change, FieldChange, code, shown
from worker.domain.resource import Resource, ResourceKey
from worker.operations.advancing import Fact
from worker.operations.converging import Run, converge, look
from worker.operations.predicting import Prediction, predict
from worker.operations.preparing import Target
from worker.planning.diffing import field_changes
from worker.planning.proof import prove
from worker.planning.verdict import is_random

NAMESPACE = "plumbline-truth"
STATE = "plumbline-truth-state"
NEVER_HEALTHY_HERE = {
    "Ingress.networking.k8s.io": "ignore",
    "Service": "ignore",
    "PersistentVolumeClaim": "ignore",
    "APIService.apiregistration.k8s.io": "ignore",
    "HorizontalPodAutoscaler.autoscaling": "ignore",
}
"""A bare cluster has no load balancers, no volumes, no metrics and no servers behind the API server."""

RECREATED = (
    "Job.batch", "Service", "Deployment.apps", "DaemonSet.apps", "StatefulSet.apps",
    "RoleBinding.rbac.authorization.k8s.io", "ClusterRoleBinding.rbac.authorization.k8s.io",
)  # fmt: skip
"""Kinds whose immutable fields the histories change, as people did with `kubectl replace --force`."""

UNBUILT = ("kustomize does not build it", "does not exist (add the file")
"""Refusals that kustomize itself is asked about."""

PATIENCE = 6.0
"""Seconds that a commit's objects may take to be healthy, before the rest of it is judged without their health."""


@dataclass(slots=True)
class Count:
    """What came of the predictions of one history."""

    commits: int = 0
    refused: int = 0
    predicted: int = 0
    exact: int = 0
    unpredictable: int = 0
    unserved: int = 0
    unhealthy: int = 0
    unchanged: int = 0
    unproven: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0
    refusals: Counter[str] = field(default_factory=Counter)


def renders(cache: Path, tools: Path) -> Callable[[Path, str], bool]:
    """Whether a folder of a repository's last commit is a desired state by itself."""
    renderer = Renderer(cache, RenderLimits(), RenderTools(tools))

    def attempt(repository: Path, root: str) -> bool:
        checkout = Checkout.open(str(repository), cache)
        environment = Environment("truth", "truth", "main", root, "truth", NAMESPACE)
        try:
            tip = checkout.tip("main")
            assert tip is not None
            return bool(renderer.render_revision(checkout, tip, environment, Capabilities()).resources)
        except DesiredStateError:
            return False
        finally:
            checkout.close()

    return attempt


class Replay:
    """One history in a namespace of its own."""

    def __init__(self, history: History, kubeconfig: Path, tools: Path, cache: Path) -> None:
        self.history = history
        self.count = Count()
        self._cluster = Cluster(connect(kubeconfig))
        self._checkout = Checkout.open(str(history.repository), cache)
        self._tools = tools
        self._renderer = Renderer(cache, RenderLimits(), RenderTools(tools))
        self._capabilities = Capabilities(self._cluster.version(), self._cluster.discovery.api_versions())
        policy = Policy(
            settle=0,
            health_timeout=3600,
            unserved="skip",
            health=dict.fromkeys(NEVER_HEALTHY_HERE, IGNORE),
            recreate=RECREATED,
        )
        self._environment = Environment(
            history.name,
            history.root.replace("/", "-").lower(),
            "main",
            history.root,
            "truth",
            NAMESPACE,
            policy=policy,
        )
        self._states = StateStore(Records(self._cluster.connection, STATE), self._cluster.uid)
        self._target = Target(self._cluster, self._environment, Ceiling(), STATE)
        self._expected: frozenset[str] = frozenset()

    def run(self, every: int = 1, progress: Callable[[str], None] = lambda _: None) -> Count:
        """Replays every how manieth commit of the history, the first and the last among them."""
        began = time.monotonic()
        steps = self.history.steps
        for number, step in enumerate(steps):
            if step.create is not None and step.delete is not None:
                self._expected = (self._expected | step.create) - step.delete
            if number % every and number != len(steps) - 1:
                continue
            self.count.commits += 1
            self._step(step)
            progress(f"{self.history}: {number + 1} of {len(steps)} commits, {len(self.count.wrong)} wrong")
        self.count.seconds = time.monotonic() - began
        self._checkout.close()
        self._cluster.close()
        return self.count

    def _wrong(self, step: Step, text: str) -> None:
        self.count.wrong.append(f"{self.history} {step.commit[:10]}: {text}")

    def _step(self, step: Step) -> None:
        recorded = self._states.read(self._environment)
        before_versions = self._versions(recorded)
        try:
            rendered = self._renderer.render_revision(
                self._checkout, step.commit, self._environment, self._capabilities
            ).resources
            self._make_namespaces(rendered)
            prediction = self._predict(step, rendered, recorded)
        except (DesiredStateError, Refused) as error:
            self.count.refused += 1
            self.count.refusals[str(error)[:160]] += 1
            if self._versions(recorded) != before_versions:
                self._wrong(step, f"something was written although it was refused: {error}")
            if not self._is_expected(step, error):
                self._wrong(step, f"refused: {str(error)[:300]}")
            return
        if step.unreadable:
            self._wrong(step, "files that cannot be read, or objects declared twice, were accepted")
        self._check_keys(step, rendered, prediction, recorded)
        before = {key: self._get(key) for key in self._keys(prediction)}
        recorded, after = self._converge(step, rendered, prediction, recorded)
        self._compare(step, prediction, before, after)
        self._check_pruned(step, prediction, recorded)
        self._again(step, rendered, recorded)

    def _is_expected(self, step: Step, error: Exception) -> bool:
        """Whether a refusal is right: the corpus or kustomize itself knows the commit as bad, or the reason is listed."""
        if any(reason in str(error) for reason in UNBUILT):
            return not self._builds(step)
        return step.unreadable or any(reason in str(error) for reason in REFUSED)

    def _builds(self, step: Step) -> bool:
        """Whether kustomize, run by hand on the commit's files, builds the folder."""
        with tempfile.TemporaryDirectory(prefix="plumbline-truth-") as folder:
            archive = ["git", "-C", str(self.history.repository), "archive", step.commit]
            files = subprocess.run(archive, check=True, capture_output=True).stdout
            subprocess.run(["tar", "-x", "-C", folder], check=True, input=files)
            build = [str(self._tools / "kustomize"), "build", str(Path(folder) / self.history.root)]
            return subprocess.run(build, check=False, capture_output=True).returncode == 0

    def _predict(self, step: Step, rendered: tuple[Resource, ...], recorded: Recorded) -> Prediction:
        return predict(self._target, step.commit, rendered, recorded, self._states.key())

    def _keys(self, prediction: Prediction) -> dict[ResourceKey, str]:
        return {change.key: change.version for change in prediction.plan.changes if change.action is not Action.SKIP}

    def _get(self, key: ResourceKey) -> Resource | None:
        return self._cluster.get(key)

    def _make_namespaces(self, rendered: tuple[Resource, ...]) -> None:
        """The namespaces that a history takes for granted."""
        own = {resource.key.name for resource in rendered if resource.key.kind == "Namespace"}
        for name in {NAMESPACE, *(resource.key.namespace for resource in rendered if resource.key.namespace)} - own:
            key = ResourceKey("", "Namespace", "", name)
            while (found := self._cluster.get(key)) is not None and found.metadata.get("deletionTimestamp"):
                time.sleep(0.1)
            if found is None:
                body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
                self._cluster.apply(Resource(key, "v1", body), "truth", dry_run=False, force=False)
        for name in own:
            key = ResourceKey("", "Namespace", "", name)
            while (found := self._cluster.get(key)) is not None and found.metadata.get("deletionTimestamp"):
                time.sleep(0.1)

    def _check_keys(
        self, step: Step, rendered: tuple[Resource, ...], prediction: Prediction, recorded: Recorded
    ) -> None:
        """What is desired beside the corpus' own account of it, and what is pruned beside what left Git."""
        desired = {_text(resource.key) for resource in rendered}
        if step.create is not None and desired != self._expected:
            odd = sorted(desired ^ self._expected)
            self._wrong(step, f"{len(desired)} objects are desired, the corpus has {len(self._expected)}: {odd[:3]}")
        here = {self._placed(resource) for resource in rendered}
        left = {
            entry.key
            for entry in recorded.inventory.entries
            if entry.key not in here and self._get(entry.key) and not _is_immortal(entry.key)
        }
        if prediction.unanswered:  # a history brings an APIService that nothing stands behind: then nothing is pruned
            left = set()
        pruned = {change.key for change in prediction.prunes if change.action is Action.PRUNE}
        if pruned != left:
            self._wrong(step, f"would prune {len(pruned)}, left Git {len(left)}: {sorted(pruned ^ left)[:3]}")

    def _placed(self, resource: Resource) -> ResourceKey:
        key = resource.key
        namespaced = self._cluster.discovery.scope(key.group, key.kind)
        return ResourceKey(key.group, key.kind, NAMESPACE, key.name) if namespaced and not key.namespace else key

    def _converge(
        self, step: Step, rendered: tuple[Resource, ...], prediction: Prediction, recorded: Recorded
    ) -> tuple[Recorded, Mapping[ResourceKey, Resource | None]]:
        after: dict[ResourceKey, Resource | None] = {}
        said: list[Fact] = []

        def say(_: Operation, fact: Fact) -> None:
            said.append(fact)
            if str(fact.step) == "applied":
                after.update({key: self._get(key) for key in self._keys(prediction)})

        running = self._running(step, say)
        try:
            recorded = converge(running, recorded, lambda: rendered, (code(prediction.plan.fingerprint),))
            recorded = self._look(running, rendered, recorded)
        except PlumblineError as error:
            self._wrong(step, f"the convergence ended: {error}")
            return self._states.read(self._environment), after
        operation = recorded.state.operation
        if operation is None or operation.phase is not Phase.SUCCEEDED:
            self._wrong(step, f"not verified: {said[-1].text if said else ''}")
        return recorded, after or {key: self._get(key) for key in self._keys(prediction)}

    def _running(self, step: Step, say: Callable[[Operation, Fact], None]) -> Run:
        return Run(self._target, self._states, step.commit, "main", time.time(), time.time, say, lambda: None)

    def _look(self, running: Run, rendered: tuple[Resource, ...], recorded: Recorded) -> Recorded:
        """Looks until all is healthy; who is not in time is no longer asked for its health."""
        until = time.monotonic() + PATIENCE
        target, run = self._target, running
        while (operation := recorded.state.operation) is not None and operation.phase.is_open:
            if time.monotonic() > until or operation.troubled:
                ignored: dict[str, HealthPolicy] = {resource.key.group_kind: IGNORE for resource in rendered}
                policy = replace(self._environment.policy, health=ignored)
                target = replace(target, environment=replace(self._environment, policy=policy))
                run = replace(running, target=target)
                self.count.unhealthy += 1
                until = time.monotonic() + 3600
            recorded = look(run, recorded, lambda: rendered)
            time.sleep(0.05)
        return recorded

    def _compare(
        self,
        step: Step,
        prediction: Prediction,
        before: Mapping[ResourceKey, Resource | None],
        after: Mapping[ResourceKey, Resource | None],
    ) -> None:
        for change in prediction.plan.changes:
            key = change.key
            if change.action is Action.SKIP:
                self.count.unserved += change.reason.startswith("left out")
                continue
            if change.action is Action.UNPREDICTABLE or change.reason.startswith("not validated"):
                self.count.unpredictable += 1
                continue
            if change.action is Action.PRUNE:
                continue
            happened = self._happened(before.get(key), after.get(key), again=change.action is Action.RECREATE)
            if change.action is Action.UNCHANGED:
                self.count.unchanged += 1
                live, resource = before.get(key), _find(prediction, key)
                if live is None or not prove(resource, live, self._environment.field_manager).unchanged:
                    self.count.unproven += 1
                if happened:
                    self._wrong(step, f"{key} was said to be unchanged: {_brief(happened)}")
                continue
            self.count.predicted += 1
            difference = _difference(change, happened)
            if difference:
                self._wrong(step, f"{key} ({change.action}): {difference}")
            else:
                self.count.exact += 1

    @staticmethod
    def _happened(before: Resource | None, after: Resource | None, *, again: bool = False) -> tuple[FieldChange, ...]:
        if after is None:
            return (FieldChange("metadata.name", "there", None),) if before is not None else ()
        same = before is not None and (again or before.uid == after.uid)
        found = field_changes(before.body if same and before is not None else None, after.body)
        return tuple(each for each in found if not is_random(each.path))

    def _check_pruned(self, step: Step, prediction: Prediction, recorded: Recorded) -> None:
        for change in prediction.prunes:
            if change.action is not Action.PRUNE:
                continue
            self.count.predicted += 1
            live = self._cluster.get(change.key)
            if live is not None and live.uid == change.uid and not live.metadata.get("deletionTimestamp"):
                self._wrong(step, f"{change.key} was to be pruned and is still there")
            else:
                self.count.exact += 1
        inventoried = {entry.key for entry in recorded.inventory.entries}
        wanted = {resource.key for resource in prediction.desired.resources}
        if recorded.state.operation is not None and recorded.state.operation.phase is Phase.SUCCEEDED:
            lost = wanted - inventoried
            if lost:
                self._wrong(step, f"not in the inventory: {min(lost)}")

    def _again(self, step: Step, rendered: tuple[Resource, ...], recorded: Recorded) -> None:
        """The same commit once more: nothing may be predicted, nothing may be written."""
        if recorded.state.operation is None or recorded.state.operation.phase is not Phase.SUCCEEDED:
            return
        before = self._versions(recorded)
        prediction = self._predict(step, rendered, recorded)
        if not prediction.plan.is_empty:
            first = (*prediction.plan.writes, *prediction.plan.unpredictable)[0]
            self._wrong(step, f"planned again, {first.key} would {first.action}: {_brief(first.fields)} {first.reason}")
            return
        said: list[Fact] = []
        converge(self._running(step, lambda _, fact: said.append(fact)), recorded, lambda: rendered)
        after = self._versions(recorded)
        moved = [str(key) for key in before if before[key] != after[key]]
        if moved:
            self._wrong(step, f"applied again, {moved[0]} and {len(moved) - 1} more were written")

    def _versions(self, recorded: Recorded) -> dict[ResourceKey, object]:
        """What applying could move of each inventoried object: what our manager and the specification say."""
        found: dict[ResourceKey, object] = {}
        manager = self._environment.field_manager
        for entry in recorded.inventory.entries:
            live = self._cluster.get(entry.key)
            ours = [
                (each.get("time"), each.get("operation"))
                for each in (live.metadata.get("managedFields") or () if live else ())
                if each.get("manager") == manager
            ]
            found[entry.key] = (live.uid, live.metadata.get("generation"), ours) if live else None
        return found


def apply_stubs(history: History, kubectl: Path, kubeconfig: Path) -> None:
    """The definitions of custom resources that the history takes for granted."""
    if history.stubs is not None:
        command = [str(kubectl), "--kubeconfig", str(kubeconfig), "apply", "--server-side", "--force-conflicts"]
        run = subprocess.run([*command, "-f", str(history.stubs)], check=False, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr


def _is_immortal(key: ResourceKey) -> bool:
    return key.kind == "Namespace" and key.name in ("default", "kube-system", "kube-public")


def _text(key: ResourceKey) -> str:
    return "|".join(key)


def _find(prediction: Prediction, key: ResourceKey) -> Resource:
    return next(resource for resource in prediction.desired.resources if resource.key == key)


def _difference(change: Change, happened: tuple[FieldChange, ...]) -> str:
    expected = {each.path: (shown(each.old, "old"), shown(each.new, "new")) for each in change.fields}
    expected = {path: values for path, values in expected.items() if not is_random(path)}
    seen = {each.path: (shown(each.old, "old"), shown(each.new, "new")) for each in happened}
    for path in sorted(expected.keys() | seen.keys()):
        if expected.get(path) != seen.get(path):
            return f"{path}: predicted {_cut(expected.get(path))}, happened {_cut(seen.get(path))}"
    return ""


def _brief(fields: Iterable[FieldChange]) -> str:
    return "; ".join(f"{each.path} {_cut(each.old)} -> {_cut(each.new)}" for each in list(fields)[:2])


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) < 100 else f"{text[:97]}..."
