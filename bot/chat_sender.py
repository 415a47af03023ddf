"""`python -m bot.chat_sender`: says one line through apprise, in a process of its own.

A hundred services' plugins are other people's code: here they start no programs, and connect to no address that the receiver
may not have, whatever they resolve or are redirected to. Reads one JSON object from stdin, writes one to stdout.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import resource
import sys
from typing import TYPE_CHECKING, Any, Final

from worker.domain.alerting import Reach, networks_of

if TYPE_CHECKING:
    from apprise import Apprise

TITLE: Final = "Plumbline"

MEMORY: Final = 512 << 20
"""Bytes that it may have (where the system can hold it to that): plugins read whatever a receiver answers, to its end."""

STARTS: Final = frozenset(
    {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty"}
)
TALKS: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})


class Fence:
    """Refuses, wherever Python is about to: an address that is not allowed, a program. `why` is what it refused first."""

    def __init__(self, reach: Reach) -> None:
        self.why = ""
        self._reach = reach

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """An audit hook (PEP 578)."""
        if event in STARTS:
            self._refuse("apprise wants to start a program, which it may not")
        if event in TALKS:
            self._judge(arguments[1])

    def _judge(self, address: Any) -> None:
        if not isinstance(address, tuple) or not isinstance(address[0], str):
            self._refuse("apprise wants to connect to something on this machine")
        try:
            found = ipaddress.ip_address(address[0].partition("%")[0])
        except ValueError:
            self._refuse("apprise wants to connect to a name that was not looked up")
        if why := self._reach.refusal(found):
            self._refuse(why)

    def _refuse(self, why: str) -> None:
        self.why = self.why or why
        raise PermissionError(why)


def main() -> int:
    """Says it; 0 whatever comes of it, for that is in the answer."""
    asked = json.load(sys.stdin)
    logging.disable(logging.CRITICAL)
    import apprise

    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    fence = Fence(Reach(asked["private"], networks_of(asked["networks"])))
    speaker = apprise.Apprise(asset=apprise.AppriseAsset(app_id=TITLE, async_mode=False, plugin_paths=[]))
    is_known = bool(speaker.add(asked["url"]))
    sys.addaudithook(fence)
    is_said = is_known and _says(speaker, asked["text"])
    print(json.dumps({"known": is_known, "said": is_said, "refused": fence.why}))  # noqa: T201
    return 0


def _says(speaker: Apprise, text: str) -> bool:
    from apprise import NotifyFormat

    try:
        return bool(speaker.notify(body=text, body_format=NotifyFormat.TEXT))
    except MemoryError:
        return False


if __name__ == "__main__":
    sys.exit(main())
