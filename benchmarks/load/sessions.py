"""Sessions to push: a little that each of many users tells an agent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from benchmarks.load.vocabulary import say

if TYPE_CHECKING:
    from collections.abc import Iterator

START = datetime(2026, 1, 5, 9, tzinfo=UTC)


def make_sessions(users: int, rounds: range, seed: int = 1) -> Iterator[dict[str, Any]]:
    """One session of each user in each round, some 1.2 kB each.

    Args:
        users: How many.
        rounds: Numbers of the rounds; each is a day.
        seed: The same one tells the same.
    """
    for number in rounds:
        for user in range(users):
            yield make_session(f"user-{user}", number, Random(f"{seed}/{user}/{number}"))


def make_session(user_id: str, number: int, dice: Random) -> dict[str, Any]:
    """What a user says and is answered, four times."""
    started = START + timedelta(days=number)
    messages = []
    for turn in range(4):
        at = (started + timedelta(minutes=turn)).isoformat()
        messages.append({"role": "user", "content": say(dice), "created_at": at})
        reply = "I see. Thank you for telling me about it; I will keep it in mind for next time."
        messages.append({"role": "assistant", "content": reply, "created_at": at})
    return {
        "schema_version": 1,
        "user_id": user_id,
        "session_id": f"{user_id}-{number}",
        "started_at": started.isoformat(),
        "messages": messages,
    }
