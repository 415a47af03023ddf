"""Comments as commands, on every forge: received, answered once, refused with what is needed; talk is left alone."""

from __future__ import annotations

from bot.forges.port import Permission
from tests.journeys.shop import Shop, manifest


def test_commands_are_answered_once_and_talk_never(shop: Shop) -> None:
    shop.begin()
    proposal = shop.propose(manifest("flags", a="2"))
    shop.predicted(proposal)
    number = proposal.number
    for talk in ("/usr/bin is full", "/lgtm", "> /help", "```\n/help\n```"):
        shop.rig.say(number, talk)
    edited = shop.rig.say(number, "well")
    shop.all_is_done()  # Gitea tells times by the second, so that one edited within its first looks new
    shop.rig.edit_comment(number, edited, "/help")
    shop.all_is_done()
    assert shop.answers(number) == []

    comment = shop.rig.say(number, "/help")
    shop.all_is_done()
    (text,) = shop.answers(number)
    assert "/rollback" in text or "/status" in text
    assert [name for _, name in shop.rig.reactions(number, comment)] == ["eyes"]
    shop.tell_again("/help")
    shop.all_is_done()
    assert shop.answers(number) == [text]

    shop.rig.say(number, "/stauts")
    shop.all_is_done()
    assert "Did you mean" in shop.answers(number)[-1]

    shop.rig.permit("rita", Permission.READ)
    shop.rig.say(number, "/plan", login="rita")
    shop.all_is_done()
    assert "needs `write` permission" in shop.answers(number)[-1]
    assert len(shop.answers(number)) == 3
