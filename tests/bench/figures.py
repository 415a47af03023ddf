"""What is measured, in words, with the aim of each figure: the table that `make bench` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what it is in words, the figure's name in the JSON, and its aim (`<= 1.5`, or none)."""

    words: str
    name: str
    aim: str = ""

    def verdict(self, figures: Mapping[str, float]) -> str:
        """`met`, `MISSED`, or nothing where there is no aim."""
        if not self.aim:
            return ""
        sign, bound = self.aim.split()
        value = figures[self.name]
        return "met" if (value <= float(bound) if sign == "<=" else value >= float(bound)) else "MISSED"


ROWS: Final = (
    Row("plan of 1,500 objects, none changed / LIST and decode of the same", "plan_ratio", "<= 1.5"),
    Row("kubectl diff --server-side --concurrency=8 / that plan", "kubectl_diff_ratio", ">= 30"),
    Row("plan with 15 of 1,500 changed / plan with none changed", "changed_ratio", "<= 3"),
    Row("plan beside 50,000 other people's objects / without them", "crowd_ratio", "<= 1.2"),
    Row("kubectl diff / `plumbline plan` of 1,500 from YAML, cold cache", "command_cold_ratio", ">= 3"),
    Row("kubectl diff / `plumbline plan` of 1,500 from YAML, warm cache", "command_warm_ratio", ">= 5"),
    Row("`plumbline plan` of 21 objects, Python's start included, s", "command_seconds", "<= 1"),
    Row("first apply, writes / the same bodies sent raw, as many at once", "apply_write_ratio", "<= 1.15"),
    Row("kubectl apply --server-side / our plan and apply together", "apply_whole_ratio", ">= 1"),
    Row("second kubectl apply --server-side / our second apply", "again_ratio", ">= 20"),
    Row("objects written by the second apply", "again_writes", "<= 0"),
    Row("20 objects, one line: end of push to live, half of the pushes, s", "live_p50", "<= 0.6"),
    Row("the same, 19 of 20 pushes, s", "live_p95", "<= 1.2"),
    Row("the same, until the predicted diff is printed, half, s", "predicted_p50", "<= 0.8"),
    Row("one object by kubectl apply / end of push to live", "one_apply_ratio"),
    Row("1,500 objects in YAML, one line: start of push to live, s", "path_line_seconds", "<= 1.5"),
    Row("first convergence of 1,500 objects: all applied, s", "path_first_applied_seconds", "<= 15"),
    Row("first convergence of 1,500 objects: verified, s", "path_first_verified_seconds", "<= 15"),
    Row("200 environments x 4 objects from one push, all verified, s", "fleet_seconds", "<= 20"),
    Row("a plan's time per object, 10,000 / 1,500 objects", "linear_ratio", "<= 1.25"),
    Row("10,000 objects in YAML, one line: start of push to live, s", "large_line_seconds"),
    Row("first convergence of 10,000 objects: all applied, s", "large_first_applied_seconds"),
    Row("first convergence of 10,000 objects: verified, s", "large_first_verified_seconds"),
    Row("shards of the inventory of 10,000 objects", "inventory_shards", ">= 2"),
    Row("drift made -> recorded, half of them, s", "noticed_p50", "<= 0.1"),
    Row("drift made -> healed, half of them, s", "healed_p50", "<= 0.3"),
    Row("a commit takes over from one that waits: end of push to live, s", "takeover_seconds", "<= 1"),
    Row("look at 1,500 converged objects / LIST and decode of the same", "look_ratio", "<= 1.5"),
    Row("10,000 watched objects, 50 written a second: share of a core", "watch_cpu_share", "<= 0.5"),
    Row("the same: most memory of the watch, MiB", "watch_memory_mib", "<= 300"),
    Row("most memory of a worker, 1,500 objects, MiB", "path_memory_mib", "<= 150"),
    Row("most memory of a worker, 10,000 objects, MiB", "large_memory_mib", "<= 400"),
    Row("one image changed in each of 2,000 manifests, every other byte kept, s", "edit_seconds", "<= 2"),
    Row("render of 1,500 objects that is in the cache, ms", "hit_memory_ms", "<= 5"),
    Row("the same by a worker that has just started (from its disk), ms", "hit_disk_ms"),
    Row("render of 1,500 objects in plain YAML that is in no cache, ms", "render_cold_ms"),
    Row("starts of helm for one render of a chart without random values", "helm_starts", "<= 1"),
    Row("starts of kustomize for one render", "kustomize_starts", "<= 1"),
    Row("200 signed deliveries a second for a minute: lost", "door_lost", "<= 0"),
    Row("the same, not answered with success", "door_not_taken", "<= 0"),
    Row("the same, acknowledged, half of them, ms", "door_p50_ms"),
    Row("the same, acknowledged, 99 of 100, ms", "door_p99_ms", "<= 50"),
    Row("5,000 deliveries in 10 s for a branch that moves twice: renders", "crowd_renders", "<= 2"),
    Row("the same, looks at the forge's branches", "crowd_looks"),
    Row("the same, not answered with success", "crowd_not_taken", "<= 0"),
    Row("the same, the slowest answer, ms", "crowd_most_ms", "<= 1000"),
    Row("200 deliveries a second, Redis stands still: slowest 503, ms", "stalled_most_ms", "<= 2000"),
    Row("200 deliveries a second, Redis is gone: slowest 503, ms", "gone_most_ms", "<= 2000"),
    Row("both, answered otherwise than with 503", "away_not_503", "<= 0"),
    Row("pushed without Redis: live after it is back, polled every 5 s, s", "unheard_live_seconds", "<= 35"),
    Row("20 objects on Gitea: change request opened to comment, half, s", "comment_p50", "<= 2"),
    Row("the same, 19 of 20, s", "comment_p95", "<= 4"),
    Row("the same, branch moved by the merge to `pending`, half, s", "pending_p50", "<= 0.5"),
    Row("the same, branch moved by the merge to live, half, s", "merged_live_p50", "<= 1"),
    Row("`/rollback` on Gitea: comment to its receipt, half, s", "receipt_p50", "<= 0.5"),
    Row("the same, 19 of 20, s", "receipt_p95"),
    Row("the same, to the change request with its prediction, half, s", "rollback_p50", "<= 3"),
    Row("the same, 19 of 20, s", "rollback_p95"),
)


def table(figures: Mapping[str, float]) -> list[str]:
    """The lines of the table, for the rows that were measured."""
    lines = [f"{'what':<68} {'measured':>10}   {'aim':<8}", "-" * 98]
    for row in ROWS:
        if row.name in figures:
            aim = row.aim.replace("<=", "≤").replace(">=", "≥")
            lines.append(f"{row.words:<68} {figures[row.name]:>10.3f}   {aim:<8} {row.verdict(figures)}".rstrip())
    return lines
