"""What the worker made of a person's order: written down for whoever reads the audit trail."""

from __future__ import annotations

import logging

from worker.domain.orders import OrderReport

log = logging.getLogger("plumbline.orders")


def deliver(report: OrderReport) -> None:
    """Puts what an order came to into the audit trail, a line for each environment."""
    for each in report.answers:
        log.info(
            "order=%s repository=%s environment=%s by=%s: %s, %s",
            report.verb, report.repository, each.environment, report.by, each.done, each.text,
        )  # fmt: skip
