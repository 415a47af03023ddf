"""Says a line in a chat or by mail: starts `bot.chat_sender`, and ends it when it takes too long."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from bot.outgoing import Unreachable
from worker.domain.alerting import Reach
from worker.domain.errors import Unavailable
from worker.domain.secret_text import SecretText

SECONDS: Final = 30.0
"""Of which apprise's own start takes a few on a busy machine, and each of its requests at most 8."""

ROOT: Final = Path(__file__).parents[1]
PASSED_ON: Final = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")


def say(url: SecretText, text: str, reach: Reach) -> None:
    """Says a text at one of apprise's addresses. Raises Unreachable where that cannot be, Unavailable where it did not work."""
    asked = {
        "url": url.opened(),
        "text": text,
        "private": reach.private,
        "networks": [str(each) for each in reach.networks],
    }
    environ = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    try:
        run = subprocess.run(
            [sys.executable, "-P", "-m", "bot.chat_sender"],
            input=json.dumps(asked).encode(),
            env={**environ, "PYTHONPATH": str(ROOT), "HOME": os.devnull},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"did not answer within {SECONDS:g} s") from None
    try:
        answer = json.loads(run.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise Unavailable(f"apprise ended with {run.returncode} and said nothing") from None
    if not answer["known"]:
        raise Unreachable("its address is none that apprise understands (https://github.com/caronc/apprise/wiki)")
    if answer["refused"]:
        raise Unreachable(
            f"nothing is sent there: {answer['refused']} (`allow-private` and `networks` in app.yaml open more)"
        )
    if not answer["said"]:
        raise Unavailable("apprise could not say it: the service refused it or did not answer")
