"""Job: which policies of a repository want another image, by what was announced and what registries list; the worker is asked.

The policies are those of plumbline.yaml at the tips of the branches that environments follow, never a proposal's.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from bot.built_images import Announced, Outcome
from bot.desk import Desk
from bot.forges.plain_git import PlainGit
from bot.forges.port import Forge, State, Tree
from bot.policy_statuses import put_policy_status
from bot.queue import FollowRequest
from bot.registries import RegistryAway, Speaker
from worker.domain.declaration import FILE, read_declaration
from worker.domain.errors import DesiredStateError, PlumblineError, Refused
from worker.domain.image_policy import Pinned, Tag, chosen
from worker.domain.image_section import ImagePolicy
from worker.domain.images import Image
from worker.domain.installation import PLAIN, Repository
from worker.domain.policy_update import UpdateRequest, is_of_a_policy

Asked = TypeVar("Asked")
IsOurs = Callable[[str], bool]
"""Whether a commit is one that a policy made, or its merge, as Git or the forge has it."""

log = logging.getLogger("plumbline.following")


def follow(desk: Desk, message: dict[str, Any]) -> None:
    """Asks the worker what changes, for every policy that wants an image. Raises Unavailable (tried again)."""
    asked = FollowRequest.from_json(message)
    repository = desk.settings.installation.repository(asked.repository)
    if repository is None:
        return
    try:
        tree, is_ours = _place(desk, repository)
    except Refused as error:
        log.error("%s: its policies of images are not looked at: %s", repository.name, error)
        return
    for branch, tip, policy in _policies(desk, repository, tree):
        if asked.place not in ("", policy.image.place):
            continue
        try:
            best = _best(desk, repository, is_ours, policy)
        except Refused as error:
            _refused(desk, repository, branch, tip, policy, str(error))
            continue
        if best is not None:
            _ask(desk, repository, branch, tip, policy, best)


def keep_following(desk: Desk, stop: threading.Event) -> None:
    """Has registries asked again and again until `stop`, by whichever process comes first."""
    installation = desk.settings.installation
    seconds = min((each.poll_seconds for each in installation.registries), default=0.0)
    repositories = [each.name for each in installation.repositories]
    while seconds and repositories and not stop.is_set():
        for name in repositories:
            try:
                if desk.sightings.takes_turn(f":images:{name}", seconds):
                    desk.requests.follow(FollowRequest(name))
            except PlumblineError as error:
                log.warning("cannot have the registries asked for %s, trying again: %s", name, error)
        stop.wait(min(seconds, 30.0) / 4)


def _place(desk: Desk, repository: Repository) -> tuple[Tree, IsOurs]:
    """Where the repository's branches are read, and who tells the commits of its policies. Raises Refused."""
    if repository.forge == PLAIN:
        git, seal_of = desk.plain_git(repository), partial(desk.seals.word, repository.name)
        return git, lambda revision: _is_sealed(git, revision, seal_of)
    forge = desk.forge(repository)
    return forge, lambda revision: _is_merged_by_us(forge, revision)


def _is_sealed(git: PlainGit, revision: str, seal_of: Callable[[str, str], str]) -> bool:
    """Whether the commit, or what it merged into its branch, has the trailer that only the bot can write."""
    parents, message = git.commit_text(revision)
    return any(is_of_a_policy(each, seal_of) for each in (message, *(git.commit_text(one)[1] for one in parents[1:])))


def _is_merged_by_us(forge: Forge, revision: str) -> bool:
    merged = forge.merged_as(revision)
    return merged is not None and merged.author.id == forge.me().id


def _policies(desk: Desk, repository: Repository, tree: Tree) -> Iterator[tuple[str, str, ImagePolicy]]:
    """The branch, its tip and a policy there, of each that the repository has."""
    for branch, tip in tree.tips().items():
        text = tree.file(tip, FILE) if repository.follows(branch) else None
        try:
            declared = read_declaration(text, desk.settings.installation, repository, branch) if text else None
        except DesiredStateError as error:
            log.warning("%s at %s: %s", repository.name, tip[:7], error)
            continue
        for policy in declared.images if declared else ():
            yield branch, tip, policy


def _best(desk: Desk, repository: Repository, is_ours: IsOurs, policy: ImagePolicy) -> Tag | None:
    """The tag that the policy wants of those that are known; none that was built of a policy's own commit.

    Raises Refused where the image's registry does not give what is needed.
    """
    image = policy.image
    speaker = desk.registry(image.registry)
    known = list(desk.built_images.of(image.place))
    if speaker is not None:
        listed = _asked(desk, image.registry, lambda: _listed(desk, speaker, policy, known))
        if listed is None:
            return None
        known = listed
    while (best := chosen(policy.policy, [each.tag for each in known])) is not None:
        announced = next(each for each in known if each.tag == best)
        if not _is_our_own(desk, repository, is_ours, announced):
            break
        known.remove(announced)
    if best is None or speaker is None or not policy.pins_digest or isinstance(policy.policy, Pinned):
        return best
    found = best.name
    digest = _asked(desk, image.registry, lambda: speaker.digest(image.repository, found))
    return None if digest is None else replace(best, digest=digest)


def _listed(desk: Desk, speaker: Speaker, policy: ImagePolicy, announced: Sequence[Announced]) -> list[Announced]:
    """The registry's own tags; what was announced says only when one came, and of which commit."""
    image = policy.image
    if isinstance(policy.policy, Pinned):
        tag = policy.policy.tag
        return [Announced(Tag(tag, speaker.digest(image.repository, tag)))]
    tags = speaker.tags(image.repository)
    desk.built_images.first_seen(image.place, tags, desk.requests.queue.now())
    said = {each.tag.name: each for each in (*announced, *desk.built_images.of(image.place))}
    return [
        Announced(Tag(name, pushed=said[name].tag.pushed), said[name].revision)
        if name in said
        else Announced(Tag(name))
        for name in tags
    ]


def _asked(desk: Desk, host: str, ask: Callable[[], Asked]) -> Asked | None:
    """What a registry answers; None while it is away, which is said, and it is left alone for longer each time."""
    now = desk.requests.queue.now()
    if desk.built_images.rests_until(host) > now:
        return None
    try:
        found = ask()
    except RegistryAway as error:
        seconds = desk.built_images.note_away(host, now, error.retry_after)
        log.warning("%s: asked again in %.0f s", error, seconds)
        return None
    desk.built_images.note_back(host)
    return found


def _is_our_own(desk: Desk, repository: Repository, is_ours: IsOurs, announced: Announced) -> bool:
    """Whether it was built of a commit that a policy made: an update of it would be built again, and so for ever."""
    revision = announced.revision
    own = bool(revision) and (desk.built_images.is_own(repository.name, revision) or is_ours(revision))
    if own:
        log.info(
            "%s: %s was built of our own commit %s, and is left", repository.name, announced.tag.name, revision[:7]
        )
    return own


def _ask(desk: Desk, repository: Repository, branch: str, tip: str, policy: ImagePolicy, best: Tag) -> None:
    image = str(Image(policy.image.name, policy.image.registry, policy.image.repository, best.name, best.digest))
    last = desk.built_images.outcome(repository.name, branch, policy.name)
    if last is not None and (last.tip, last.image) == (tip, image):
        return
    desk.requests.update(UpdateRequest(repository.name, branch, policy.name, image, desk.requests.queue.now()))


def _refused(desk: Desk, repository: Repository, branch: str, tip: str, policy: ImagePolicy, why: str) -> None:
    """Says on the branch's tip why nothing is known of an image; a later look takes it back."""
    log.warning("%s %s policy %s: %s", repository.name, branch, policy.name, why)
    now = desk.requests.queue.now()
    put_policy_status(desk, repository, tip, policy.name, State.FAILURE, why)
    desk.built_images.note_outcome(repository.name, branch, policy.name, Outcome(tip, "", now, is_refused=True))
