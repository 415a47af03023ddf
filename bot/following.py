"""Job: which policies of a repository want another image, by what was announced, asked of the worker.

The policies are those of plumbline.yaml at the tips of the branches that environments follow, never a proposal's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from bot.announcements import Announced
from bot.desk import Desk
from bot.forges.port import Forge
from bot.queue import FollowRequest
from worker.domain.declaration import FILE, read_declaration
from worker.domain.errors import DesiredStateError
from worker.domain.image_policy import Tag, chosen
from worker.domain.image_section import ImagePolicy
from worker.domain.images import Image
from worker.domain.installation import PLAIN, Repository
from worker.domain.policy_update import UpdateRequest

log = logging.getLogger("plumbline.following")


def follow(desk: Desk, message: dict[str, Any]) -> None:
    """Asks the worker what changes, for every policy that wants an image. Raises Unavailable (tried again)."""
    asked = FollowRequest.from_json(message)
    repository = desk.settings.installation.repository(asked.repository)
    if repository is None or repository.forge == PLAIN:
        return
    forge = desk.forge(repository)
    for branch, tip, policy in _policies(desk, repository, forge):
        if asked.place not in ("", policy.image.place):
            continue
        best = _best(desk, repository, forge, policy)
        if best is not None:
            _ask(desk, repository, branch, tip, policy, best)


def _policies(desk: Desk, repository: Repository, forge: Forge) -> Iterator[tuple[str, str, ImagePolicy]]:
    """The branch, its tip and a policy there, of each that the repository has."""
    for branch, tip in forge.tips().items():
        text = forge.file(tip, FILE) if repository.follows(branch) else None
        try:
            declared = read_declaration(text, desk.settings.installation, repository, branch) if text else None
        except DesiredStateError as error:
            log.warning("%s at %s: %s", repository.name, tip[:7], error)
            continue
        for policy in declared.images if declared else ():
            yield branch, tip, policy


def _best(desk: Desk, repository: Repository, forge: Forge, policy: ImagePolicy) -> Tag | None:
    """The tag that the policy wants of those that are known; none that was built of a policy's own commit."""
    known = list(desk.announcements.of(policy.image.place))
    while (best := chosen(policy.policy, [each.tag for each in known])) is not None:
        announced = next(each for each in known if each.tag == best)
        if not _is_our_own(desk, repository, forge, announced):
            return best
        known.remove(announced)
    return None


def _is_our_own(desk: Desk, repository: Repository, forge: Forge, announced: Announced) -> bool:
    """Whether it was built of a commit that a policy made: an update of it would be built again, and so for ever."""
    revision = announced.revision
    own = bool(revision) and (
        desk.announcements.is_own(repository.name, revision)
        or ((merged := forge.merged_as(revision)) is not None and merged.author.id == forge.me().id)
    )
    if own:
        log.info(
            "%s: %s was built of our own commit %s, and is left", repository.name, announced.tag.name, revision[:7]
        )
    return own


def _ask(desk: Desk, repository: Repository, branch: str, tip: str, policy: ImagePolicy, best: Tag) -> None:
    image = str(Image(policy.image.name, policy.image.registry, policy.image.repository, best.name, best.digest))
    last = desk.announcements.outcome(repository.name, branch, policy.name)
    if last is not None and (last.tip, last.image) == (tip, image):
        return
    desk.requests.update(UpdateRequest(repository.name, branch, policy.name, image, desk.requests.queue.now()))
