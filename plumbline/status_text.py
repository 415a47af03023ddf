"""What `plumbline status` says: one document of facts, and the same facts as lines for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from plumbline.screen import coloured, print_under, safe
from worker.domain.axes import Plumb, recorded, standing
from worker.domain.brevity import is_full
from worker.domain.convergence import EnvironmentState, Phase, short
from worker.domain.environment import Mode
from worker.domain.episode_text import addition, drift_sides, is_vanished, lasted, lost, said, trouble, what_next
from worker.domain.episodes import Episode, Event, Stage
from worker.domain.health import ResourceHealth, worst
from worker.domain.holdings import holdings
from worker.domain.locks import Holding
from worker.domain.proposals import VANISHED, Drift
from worker.domain.resource import ResourceKey

COLOURS: Final = {Plumb.STRAIGHT: "32;1", Plumb.MOVING: "33;1", Plumb.TILTED: "31;1"}
LATEST: Final = 8
"""Lines of the timeline that a terminal is shown; JSON has them all."""

FIELDS: Final = 10
"""Differing fields that a terminal is shown; JSON has them all."""

ROOM: Final = 160
"""Characters for the two values of a field."""


def document(
    environment: str,
    state: EnvironmentState,
    healths: Sequence[ResourceHealth],
    why: Mapping[ResourceKey, str],
    now: float,
) -> dict[str, Any]:
    """Every fact of an environment's record in JSON types, with the healths of its objects as they are now.

    `state` has an operation; `why` says why objects are not healthy; `now` is a Unix time.
    """
    known, operation = recorded(state), state.operation
    assert known is not None
    assert operation is not None
    summed = worst(each.health for each in healths)
    stands = standing(replace(known, health=summed))
    bad = [each for each in healths if not each.health.is_good]
    episode = known.episode
    return {
        "environment": environment,
        "state": stands.word.value,
        "mark": stands.plumb.value,
        "sync": stands.axes.sync.value,
        "health": summed.value if healths else stands.axes.health.value,
        "operation": stands.axes.operation.value,
        "cause": stands.cause.value if stands.cause else None,
        "watched": bool(operation.branch) and operation.phase is not Phase.LEFT,
        "revision": state.applied.revision if state.applied else None,
        "applied": _mark(state, "applied"),
        "verified": _mark(state, "verified"),
        "converged": _mark(state, "converged"),
        "verdict": operation.verdict,
        "objects": len(healths),
        "unhealthy": [
            {"object": str(each.key), "health": each.health.value, "reason": why.get(each.key, each.reason)}
            for each in bad
        ],
        "reason": operation.said,
        "episode": _episode(episode, now) if episode else None,
        "additions": [_addition(each) for each in state.additions],
        "more_beside": is_full(state.additions) or is_full(state.lost),
        "lost": [{"object": str(each.key), "path": each.field.path, "text": lost(each)} for each in state.lost],
        "next": _next(state, episode, now),
        "held": [{**each.to_json(), "since": _iso(each.since), "text": each.text} for each in _holdings(state, now)],
        "timeline": _timeline(state),
        "proof": _proof(state),
    }


def is_verified(found: Mapping[str, Any]) -> bool:
    """Whether the newest revision is in the cluster, every field as specified, every object healthy or suspended."""
    return found["sync"] == "in sync" and found["operation"] in ("succeeded", "settling") and not found["unhealthy"]


def _mark(state: EnvironmentState, name: str) -> dict[str, str] | None:
    mark = getattr(state, name)
    return {"revision": mark.revision, "at": _iso(mark.at)} if mark else None


def _episode(episode: Episode, now: float) -> dict[str, Any]:
    return {
        "id": episode.id,
        "cause": episode.cause.value,
        "stage": episode.stage.value,
        "since": _iso(episode.since),
        "seconds": round(max(0.0, now - episode.since), 1),
        "author": episode.by or None,
        "fields": [_field(each) for each in episode.drift],
        "more": episode.more,
        "more_troubles": episode.more_troubles,
        "troubles": [trouble(each) for each in episode.troubles],
        "heals": episode.heals,
        "quarrel": episode.quarrel or None,
    }


def _field(drift: Drift) -> dict[str, Any]:
    """A field that differs; what managedFields cannot know is null."""
    wanted, found = drift_sides(drift, ROOM)
    return {
        "object": str(drift.key),
        "path": None if is_vanished(drift) else drift.field.path,
        "git": "exists" if is_vanished(drift) else wanted,
        "cluster": "is gone" if is_vanished(drift) else found,
        "manager": drift.manager or None,
        "operation": drift.operation or None,
        "at": drift.at or None,
    }


def _addition(drift: Drift) -> dict[str, Any]:
    """What somebody added beside Git; no path where it is a whole object."""
    is_object = drift.field.path == VANISHED
    return {
        "object": str(drift.key),
        "path": None if is_object else drift.field.path,
        "cluster": None if is_object else drift.field.shown()[1],
        "manager": drift.manager or None,
        "operation": drift.operation or None,
        "at": drift.at or None,
        "text": addition(drift),
    }


def _holdings(state: EnvironmentState, now: float) -> Sequence[Holding]:
    return holdings(state, state.environment.rpartition("/")[2], now)


def _next(state: EnvironmentState, episode: Episode | None, now: float) -> list[dict[str, Any]]:
    if episode is None or not state.mode:
        return []
    coming = what_next(episode, Mode(state.mode), state.next_at)
    return [
        {
            "what": each.text,
            "at": _iso(each.at) if each.at else None,
            "seconds": round(max(0.0, each.at - now), 1) if each.at else None,
            "condition": each.condition or None,
        }
        for each in coming
    ]


def _timeline(state: EnvironmentState) -> list[dict[str, Any]]:
    """What happened, oldest first: the record's history, and the heals among the last news."""
    found = [
        {"at": entry["at"], "revision": entry["revision"], "what": entry["outcome"], "text": entry.get("text", "")}
        for entry in state.history
    ]
    found += [
        {"at": each.at, "revision": each.episode.revision, "what": "healed", "text": said(each)}
        for each in state.news
        if each.event is Event.HEALED
    ]
    return [{**entry, "at": _iso(entry["at"])} for entry in sorted(found, key=lambda entry: entry["at"])]


def _proof(state: EnvironmentState) -> Mapping[str, Any] | None:
    """The newest proof that the record keeps; None where it keeps none."""
    kept = [(each.at, each.proof) for each in state.news if each.proof]
    if state.ending:
        kept.append((state.ending["at"], state.ending["proof"]))
    proofs = [(at, proof) for at, proof in kept if proof and "digest" in proof]
    return max(proofs, key=lambda pair: pair[0])[1] if proofs else None


# -- lines for a person ----------------------------------------------------------------------------------------------


def print_status(found: Mapping[str, Any], most: int) -> None:
    """The answer first, then the three axes, what differs and what happens next, the proof, and what happened last."""
    episode = found["episode"]
    since = f" for {lasted(episode['seconds'])}" if episode and episode["stage"] != Stage.CLOSING else ""
    print(coloured(f"{found['environment']}  {found['state']}{since}", COLOURS[Plumb(found["mark"])]))
    for axis in ("sync", "health", "operation"):
        cause = f" ({found['cause']})" if axis == "sync" and found["cause"] and found["sync"] != "in sync" else ""
        print_under(axis, f"{found[axis]}{cause}")
    for number, each in enumerate(found["held"]):
        print_under("" if number else "held", each["text"])
    if episode:
        _print_episode(episode)
    for number, each in enumerate(found["next"]):
        when = f" in {lasted(each['seconds'])} ({_clock(each['at'])})" if each["seconds"] else ""
        print_under(
            "" if number else "next", f"{each['what']}{when}{' ' + each['condition'] if each['condition'] else ''}"
        )
    for name, word in (("additions", "added"), ("lost", "lost")):
        for number, each in enumerate(found[name][:FIELDS]):
            print_under("" if number else word, each["text"])
        if len(found[name]) > FIELDS:
            least = "at least " if found["more_beside"] else ""
            print(f"  and {least}{len(found[name]) - FIELDS} more (-o json names {len(found[name])})")
    _print_objects(found, most)
    if found["proof"]:
        _print_proof(found["proof"])
    if found["operation"] == Phase.LEFT:
        print_under(
            "watched", "no: nobody looks at it any more; plumbline plan says whether it still is as it was applied"
        )
    elif not found["watched"]:
        print_under("watched", "no: it follows no branch; plumbline plan says whether it still is as it was applied")
    for number, entry in enumerate(found["timeline"][-LATEST:]):
        text = f"{_clock(entry['at'])}  {entry['what']:<10} {short(entry['revision'])}  {entry['text']}".rstrip()
        print_under("" if number else "timeline", text)


def _print_episode(episode: Mapping[str, Any]) -> None:
    if episode["author"] or episode["fields"]:
        print_under("author", f"{episode['author'] or 'not known'}, first seen {_clock(episode['since'])}")
    for each in episode["fields"][:FIELDS]:
        if each["path"] is None:
            print_under("differs", f"{each['object']} is gone, Git has it")
        else:
            print_under("differs", f"{each['object']} {each['path']} {each['cluster']}, Git says {each['git']}")
        operation = f" ({each['operation']})" if each["operation"] else ""
        at = f", last wrote at {each['at']}" if each["at"] else ""
        print_under("", f"by {each['manager']}{operation}{at}" if each["manager"] else "by whom and when is not known")
    left = len(episode["fields"][FIELDS:]) + episode["more"]
    if left:
        print(f"  and {left} more (-o json has the first {len(episode['fields'])})")
    if episode["heals"]:
        print_under("heals", str(episode["heals"]))


def _print_objects(found: Mapping[str, Any], most: int) -> None:
    """Which revisions, how many objects, which of them do not work and why."""
    for name in ("applied", "verified", "converged"):
        if found[name] is not None:
            print(f"  {name:<11} {found[name]['revision']}  {_clock(found[name]['at'])}")
    print(
        f"  objects     {found['objects']}" + (f", {len(found['unhealthy'])} not healthy" if found["unhealthy"] else "")
    )
    for each in found["unhealthy"][:most]:
        print_under(each["health"], f"{each['object']}: {each['reason']}")
    if len(found["unhealthy"]) > most:
        print(f"  and {len(found['unhealthy']) - most} more")
    if found["reason"] and found["reason"] not in [
        f"{each['object']}: {each['reason']}" for each in found["unhealthy"]
    ]:
        print_under("reason", found["reason"])
    if found["verdict"]:
        print_under("verdict", found["verdict"])


def _print_proof(proof: Mapping[str, Any]) -> None:
    health = ", ".join(f"{count} {word}" for word, count in sorted(proof.get("health", {}).items()))
    settle = f"; it stayed so for {proof['settle']:g} s" if proof.get("times", {}).get("converged") else ""
    print_under(
        "proof", f"{short(proof['revision'])}: every specified field of {proof['objects']} objects; {health}{settle}"
    )
    print_under("", f"digest {safe(str(proof['digest']))}")


def _clock(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S UTC")


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
