"""The `alerts` of app.yaml: receivers and routes, read strictly."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from worker.domain.alerting import Alerts, AlertType, Receiver, Route, Severity, WebAddress
from worker.domain.reach_section import read_reach
from worker.domain.schema import Section
from worker.domain.secret_section import no_doubles, secret_at

NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
"""It is part of a queue's name, and a label of the figures."""


def read_alerts(top: Section) -> Alerts:
    """What the section says; nobody is told anything where it is absent. Mistakes are noted."""
    section = top.section("alerts")
    if section is None:
        return Alerts()
    receivers = tuple(_receiver(below) for below in section.sections("receivers"))
    names = [each.name for each in receivers]
    no_doubles(section, "receivers", names)
    routes = tuple(_route(below, names) for below in section.sections("routes"))
    section.end()
    return Alerts(receivers, routes)


def _receiver(section: Section) -> Receiver:
    name = section.text("name", required=True)
    if name and not NAME.fullmatch(name):
        section.problem("name", f"`name`: {name!r} is no name of a receiver", "use up to 40 of a-z, 0-9 and -")
    receiver = Receiver(
        name=name,
        webhook=section.text("webhook"),
        secret=secret_at(section, "secret"),
        apprise=secret_at(section, "apprise"),
        reach=read_reach(section),
    )
    if section.has("webhook") == section.has("apprise"):
        section.problem(
            "name", "give exactly one of `webhook` and `apprise`", "an address, or one of apprise's as a secret"
        )
    if section.has("webhook"):
        _check_webhook(section, receiver)
    elif section.has("secret"):
        section.problem("secret", "`secret`: only webhooks are signed", "remove it")
    section.end()
    return receiver


def _check_webhook(section: Section, receiver: Receiver) -> None:
    if not section.has("secret"):
        section.problem("webhook", "`secret` is missing", "write secret: {file: PATH}; messages are signed with it")
    address = WebAddress.of(receiver.webhook)
    if address is None:
        section.problem(
            "webhook",
            "`webhook`: is no web address that messages may be sent to",
            "write it like https://alerts.example.org/plumbline, without a user, a password or a fragment",
        )
    elif not address.is_encrypted and not receiver.reach.is_inward:
        section.problem(
            "webhook", "`webhook`: is not https", "only a receiver with allow-private or networks may have http"
        )


def _route(section: Section, names: Sequence[str]) -> Route:
    default = Route(())
    receivers, types = section.texts("receivers"), section.narrowing("types", "all of them")
    if not receivers:
        section.problem("receivers", "`receivers` is missing", "name at least one of `alerts.receivers`")
    for name in receivers or ():
        if name not in names:
            section.problem(
                "receivers", f"`receivers`: {name!r} is none of `alerts.receivers`", "declare it there first"
            )
    known = [str(each) for each in AlertType]
    for name in types or ():
        if name not in known:
            section.problem("types", f"`types`: {name!r} is none of {', '.join(known)}")
    severity = section.text("severity", str(default.severity), choices=[str(each) for each in Severity])
    route = Route(
        receivers or (),
        section.narrowing("repositories", "all of them") or default.repositories,
        section.narrowing("environments", "all of them") or default.environments,
        tuple(AlertType(name) for name in types if name in known) if types else default.types,
        Severity(severity),
    )
    section.end()
    return route
