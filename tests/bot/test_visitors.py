"""Sessions in Redis: what was kept of a visitor is found again, also what an earlier version kept."""

from __future__ import annotations

import json

import redis

from bot.forges.port import Permission
from bot.visitors import Visitor, Visitors


def test_a_session_of_before_accounts_were_kept_goes_on_and_commands_as_nobody(empty_redis: str) -> None:
    with redis.Redis.from_url(empty_redis) as connection:
        visitors = Visitors(connection)
        visitor = Visitor("forge:github", "ada", {"shop": Permission.READ, "till": None}, "7")
        session = visitors.admit(visitor, 60)
        assert visitors.known(session) == visitor
        (key,) = connection.keys()
        kept = json.loads(connection.get(key))
        del kept["account"]
        connection.set(key, json.dumps(kept))
        assert visitors.known(session) == Visitor(
            "forge:github", "ada", {"shop": Permission.READ, "till": None}, account=""
        )
        assert visitors.known("another") is None
