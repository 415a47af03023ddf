"""Who waits for an answer at Redis lets go before Redis counts as away."""

from __future__ import annotations

from bot.app import ANSWERS_WITHIN
from bot.board import LONGEST_BLOCK
from bot.pushes import STREAM_BLOCK_MS


def test_a_wait_for_an_answer_ends_well_before_redis_counts_as_away() -> None:
    assert LONGEST_BLOCK <= ANSWERS_WITHIN / 2, "a prediction that takes longer would be told as a Redis that is away"
    assert STREAM_BLOCK_MS / 1000 <= ANSWERS_WITHIN / 2, "a push that waits would be told so too"
