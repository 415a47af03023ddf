"""Alerts: which receivers are told of a report, and the job that tells one of them of one event."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from typing import Any, Final

from bot import chat, outgoing
from bot.deliveries import Undelivered
from bot.desk import Desk
from bot.events import PREFIX, alert_of
from bot.forges.gitlab_door import signing_key
from bot.outgoing import Unreachable
from bot.queue import SendRequest
from worker.domain.alerting import Receiver, WebAddress
from worker.domain.divergence import EpisodeReport
from worker.domain.errors import Unavailable
from worker.domain.hold_reminder import HoldReport
from worker.domain.reports import ConvergenceReport

WAITS: Final = (5.0, 30.0, 120.0, 600.0, 1800.0, 7200.0, 28800.0)
"""Seconds between tries, unless `Retry-After` asks for longer; after the eighth (some eleven hours) it is given up.

Fewer than the queue itself grants (`BACKOFF_SECONDS`), so that it is given up here, where it is said.
"""

log = logging.getLogger("plumbline.alerts")


def announce(desk: Desk, report: ConvergenceReport | EpisodeReport | HoldReport) -> None:
    """Puts what is to be said of a report where it lasts, for each receiver by itself. Raises Unavailable."""
    installation = desk.settings.installation
    alert = alert_of(report, installation.instance, installation.address)
    if alert is None:
        return
    receivers = installation.alerts.told(alert.repository, alert.environment, alert.alert_type, alert.severity)
    for name in receivers:
        desk.requests.send(SendRequest(name, alert.event, alert.text))


def send(desk: Desk, message: dict[str, Any]) -> None:
    """Job: tells one receiver of one event. Raises Unavailable where it is to be tried again."""
    request = SendRequest.from_json(message)
    receiver = desk.settings.installation.alerts.receiver(request.receiver)
    if receiver is None:
        log.warning("%s is not sent: app.yaml has no receiver %s any more", request.name, request.receiver)
        return
    if desk.deliveries.is_settled(receiver.name, request.name):
        return
    tries = desk.deliveries.tried(receiver.name, request.name)
    try:
        _tell(desk, receiver, request)
    except Unreachable as error:
        desk.deliveries.failed(receiver.name)
        _give_up(desk, request, tries, str(error))
    except Unavailable as error:
        desk.deliveries.failed(receiver.name)
        if tries > len(WAITS):
            _give_up(desk, request, tries, str(error))
            return
        wait = max(WAITS[tries - 1], error.retry_after or 0.0)
        raise Unavailable(f"{receiver.name} was not told of {request.name}: {error}", wait) from None
    else:
        desk.deliveries.delivered(receiver.name, request.name)
        log.info("told receiver=%s event=%s", receiver.name, request.name)


def signed(request: SendRequest, key: bytes, now: float) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a webhook: a CloudEvent as JSON, signed as Standard Webhooks has it. `now` is a Unix time."""
    body = json.dumps(request.event, ensure_ascii=False, separators=(",", ":")).encode()
    at = str(int(now))
    signature = hmac.new(key, b".".join((request.name.encode(), at.encode(), body)), hashlib.sha256).digest()
    return body, {
        "Content-Type": "application/cloudevents+json; charset=utf-8",
        "User-Agent": "Plumbline",
        "webhook-id": request.name,
        "webhook-timestamp": at,
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


def _tell(desk: Desk, receiver: Receiver, request: SendRequest) -> None:
    """Raises Unreachable and Unavailable."""
    secret = desk.settings.receiver_secrets[receiver.name]
    if receiver.apprise is not None:
        chat.say(secret, request.text, receiver.reach)
        return
    address = WebAddress.of(receiver.webhook)
    assert address is not None
    body, headers = signed(request, signing_key(secret.opened()), desk.requests.queue.now())
    answer = outgoing.post(address, body, headers, reach=receiver.reach)
    if not 200 <= answer.status < 300:
        redirects = 300 <= answer.status < 400
        why = "it redirects, which is not followed: give its new address" if redirects else "not 2xx"
        raise Unavailable(f"answered {answer.status}: {why}", answer.retry_after)


def _give_up(desk: Desk, request: SendRequest, tries: int, why: str) -> None:
    data = request.event["data"]
    found = Undelivered(
        request.receiver,
        request.name,
        str(request.event["type"]).removeprefix(PREFIX),
        data["repository"],
        data["environment"],
        desk.requests.queue.now(),
        tries,
        why,
        str(data["text"]),
    )
    desk.deliveries.given_up(found)
    log.error(
        "ALERT receiver=%s could not be told of %s (%s), tried %d times: %s",
        request.receiver, request.name, found.alert_type, tries, why,
    )  # fmt: skip
