"""What is shown of the answer to a ticket, in its time and after it."""

from __future__ import annotations

import pytest

from bot.tickets import ANSWERED_SECONDS, Asked, CommandOutcome, Said, in_time

AT = 1_000_000.0
ASKED = Asked("token:ci", "shop", "production", "/retry production", AT)
LATE = AT + ANSWERED_SECONDS + 1


@pytest.mark.parametrize(
    ("said", "now"),
    [
        (Said("", CommandOutcome.WAITING), AT + ANSWERED_SECONDS),
        (Said("`a`: held.", CommandOutcome.WAITING), AT),
        (Said("`a`: held.", CommandOutcome.DONE), LATE),
        (Said("No.", CommandOutcome.REFUSED), LATE),
    ],
)
def test_an_answer_in_its_time_or_whole_is_shown_as_it_is(said: Said, now: float) -> None:
    assert in_time(said, ASKED, now) is said


@pytest.mark.parametrize(
    ("text", "begins"),
    [("", "There is no answer after 30 minutes"), ("`a`: held.", "`a`: held.\n\nNot all of it has an answer after 30 minutes")],
)  # fmt: skip
def test_what_has_no_whole_answer_after_its_time_is_not_known_to_be_done_or_refused(text: str, begins: str) -> None:
    found = in_time(Said(text, CommandOutcome.WAITING), ASKED, LATE)
    assert found.outcome is CommandOutcome.UNANSWERED
    assert found.text.startswith(begins)
    assert "whether it was carried out is not known" in found.text
