"""What the doors for deliveries work with, and the patience of those who ask Redis there."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence

from bot.built_images import BuiltImages
from bot.metrics import Metrics
from bot.queue import FollowRequest, Requests
from bot.settings import Settings
from bot.sightings import Sightings
from worker.domain.errors import Unavailable
from worker.domain.images import Image


class Patience:
    """Who may ask Redis: everybody while it answers; once it did not, one at a time, and all others hear so at once.

    Without it every delivery would hold a thread for as long as an answer may take, and soon there were none.
    """

    def __init__(self) -> None:
        self._is_away = False
        self._trial = threading.Lock()

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Around what is asked of Redis. Raises Unavailable where it did not answer before and somebody tries just now."""
        is_trial = self._is_away
        if is_trial and not self._trial.acquire(blocking=False):
            raise Unavailable("Redis does not answer")
        try:
            yield
            self._is_away = False
        except Unavailable:
            self._is_away = True
            raise
        finally:
            if is_trial:
                self._trial.release()


class Entrance:
    """What a door works with: settings, queue, what was seen before, and its counters."""

    def __init__(
        self,
        settings: Settings,
        requests: Requests,
        sightings: Sightings,
        built_images: BuiltImages,
        metrics: Metrics,
    ) -> None:
        self.settings = settings
        self.requests = requests
        self.sightings = sightings
        self.built_images = built_images
        self.metrics = metrics
        self.patience = Patience()

    def announce(self, images: Sequence[Image], revision: str) -> None:
        """Keeps images (each with a tag) that were built, and has every repository looked at that may follow them."""
        self.built_images.note(images, revision, self.requests.queue.now())
        for place in dict.fromkeys(each.place for each in images):
            for repository in self.settings.installation.repositories:
                self.requests.follow(FollowRequest(repository.name, place))
