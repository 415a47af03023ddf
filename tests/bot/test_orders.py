"""What an order came to, said for whoever gave it: every environment by its name, and what is the same of all said once."""

from __future__ import annotations

import pytest

from bot.orders import answers_text

FROZEN = "frozen by ann since 2026-11-27 07:00 UTC: holidays (/thaw)"
SHOWN = "frozen by ann since 2026-11-27 07&#58;00 UTC: holidays (&#47;thaw)"
FREE, HELD = (
    "{} is not frozen any more; the newest commit is being converged",
    "{} is not frozen any more, but held by ann",
)


@pytest.mark.parametrize(
    ("said", "names_them", "text"),
    [
        ({"web": FROZEN}, False, f"F{SHOWN[1:]}."),
        ({"web": FREE.format("web")}, False, "Web is not frozen any more; the newest commit is being converged."),
        ({"web": FROZEN}, True, f"`web`: {SHOWN}."),
        ({"api": FROZEN, "web": FROZEN}, True, f"`api`, `web`: {SHOWN}."),
        ({"api": FREE.format("api"), "web": FREE.format("web")}, True,
         "`api`, `web`: not frozen any more; the newest commit is being converged."),
        ({"api": FREE.format("api"), "web": HELD.format("web")}, True,
         "\n- `api`: not frozen any more; the newest commit is being converged.\n- `web`: not frozen any more, but held by ann."),
        ({"api": "it is *gone*", "web": FROZEN}, True, f"\n- `api`: it is &#42;gone&#42;.\n- `web`: {SHOWN}."),
    ],
)  # fmt: skip
def test_each_environment_is_named_and_what_is_the_same_of_all_is_said_once(
    said: dict[str, str], names_them: bool, text: str
) -> None:
    assert answers_text(said, names_them=names_them) == text
