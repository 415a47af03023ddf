"""Job: which places of a policy's environments change for the image that it wants. Nothing is written anywhere.

It reads as its phases: gather (the branch's tip, what the environments read there, what the policy said last), judge
(`worker.planning.updating`), report. plumbline.yaml is the branch's own at its tip, never a proposal's.
"""

from __future__ import annotations

from typing import Any

from worker.adapters.history import recent_messages
from worker.domain.errors import DesiredStateError, PlumblineError, Refused, Unavailable
from worker.domain.image_policy import Tag
from worker.domain.image_section import ImagePolicy
from worker.domain.images import Image, ImageError, read_image
from worker.domain.policy_update import UpdateReport, UpdateRequest, last_word
from worker.domain.seals import Seals
from worker.naming import Place, at_tip, named, naming_files
from worker.planning.updating import tags_of, to_update
from worker.workbench import Workbench, shortage


def update(bench: Workbench, message: dict[str, Any]) -> None:
    """Says which files change, or why none does. Raises Unavailable (tried again)."""
    request = UpdateRequest.from_json(message)
    tip = ""
    try:
        place = at_tip(bench, request.repository, request.branch)
        tip = place.tip
        report = _judged(place, request, bench.seals)
    except Unavailable:
        raise
    except (PlumblineError, ImageError) as error:
        report = UpdateReport(request, tip, refusal=str(error))
    except (OSError, MemoryError) as error:
        raise shortage(error) from None
    bench.outbox.report(report)


def _judged(place: Place, request: UpdateRequest, seals: Seals) -> UpdateReport:
    policy = next((each for each in place.declaration.images if each.name == request.policy), None)
    wanted = read_image(request.image)
    if policy is None or policy.image.place != wanted.place or policy.policy.rank(_tag(wanted, request)) is None:
        return UpdateReport(request, place.tip, settled=f"{request.branch} has no such policy any more")
    if policy.pins_digest and not wanted.digest:
        raise Refused(
            f"the policy {policy.name} pins the digest, and nobody says which one {wanted} has",
            "Name its registry under `registries` in app.yaml, or announce it with its digest",
        )
    new = Image(
        policy.image.name, wanted.registry, wanted.repository, wanted.tag, wanted.digest if policy.pins_digest else ""
    )
    unread = _read(place, policy)
    updating = to_update(list(named(place)), policy, new)
    report = UpdateReport(
        request,
        place.tip,
        str(new),
        naming_files(place, updating.changed),
        tuple(place.environments),
        tags_of(updating.changed),
        policy.update_by,
        tuple(unread),
    )
    return _settled(place, policy, report, seals) or report


def _tag(image: Image, request: UpdateRequest) -> Tag:
    """The tag as the policy is to admit it; when it was pushed was judged by who asked."""
    return Tag(image.tag, image.digest, request.at)


def _read(place: Place, policy: ImagePolicy) -> list[str]:
    """Reads what the policy's environments do; says which of them cannot be read. Raises Refused where none can."""
    unread = []
    for name in policy.environments:
        try:
            environment = place.declaration.environment(name)
            if environment is not None:
                place.read(environment)
        except DesiredStateError as error:
            unread.append(f"{name} is left out: {error}")
    if not place.environments:
        reason = "; ".join(unread) or f"{place.branch} declares none of its environments for itself"
        raise Refused(
            f"the policy {policy.name} has no environment here: {reason}", "Look at `images` in plumbline.yaml"
        )
    return unread


def _settled(place: Place, policy: ImagePolicy, report: UpdateReport, seals: Seals) -> UpdateReport | None:
    """Where there is nothing to do: it is there, or the policy set it already and somebody took it back."""
    if not report.files:
        return UpdateReport(
            report.request, place.tip, settled=f"{policy.name} names {report.image} or a higher one already"
        )

    def seal_of(image: str) -> str:
        return seals.word(report.request.repository, policy.name, image)

    if last_word(recent_messages(place.checkout, place.tip), policy.name, seal_of) == report.image:
        why = (
            f"{policy.name} set {report.image} before, and somebody took it back: that stays until it wants another one"
        )
        return UpdateReport(report.request, place.tip, settled=why)
    return None
