"""An outage is said once, then now and then with how long it lasts, and once when it is over."""

from __future__ import annotations

from worker.outage import AGAIN_SECONDS, Outage


def test_an_outage_is_said_once_and_then_seldom_and_its_end_once() -> None:
    now = 100.0
    outage = Outage("Redis", "there:1", lambda: now)
    assert outage.back() == "", "nothing was away"
    said = []
    for tick in range(int(AGAIN_SECONDS) * 2 * 10 + 1):
        now = 100.0 + tick / 10
        said.append(outage.away("refused"))
    assert [line for line in said if line] == [
        "Redis is away (there:1), trying again: refused",
        "Redis is away (there:1) for 30 s, trying again: refused",
        "Redis is away (there:1) for 60 s, trying again: refused",
    ]
    assert outage.lasts
    assert [outage.back(), outage.back()] == ["Redis is back (there:1) after 60 s", ""]
    assert outage.away("reset") == "Redis is away (there:1), trying again: reset", "the next one is another"
