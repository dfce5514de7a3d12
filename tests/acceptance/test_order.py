"""One user, one order: whatever arrives when, on whichever worker, the same memories remain."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pipelines.model import MemoryState, TranscriptState
from pipelines.stages.dedup import statement_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.model import Memory
    from tests.acceptance.deployment import Deployment

SESSIONS = 64
# A long campaign sets more; each run is the same story in another order.
RUNS = int(os.environ.get("MEMSTILL_ORDER_RUNS", "2"))
WORKERS = 3
FIRST = datetime(2026, 1, 5, 9, tzinfo=UTC)

CITIES = ("Berlin", "Lisbon", "Vienna", "Oslo")
# The same said in other words, some of them near each other and not to all.
WORDINGS = (
    "I love hiking in the mountains.",
    "I really love hiking in the mountains!",
    "I love to hike in the mountains.",
    "I do love hiking up in the mountains.",
)
FOODS = ("ramen", "falafel", "pierogi", "gnocchi", "injera")


def said(number: int) -> list[str]:
    """What one session says: moves, repeated words, news of its own, and ends."""
    lines = [f"I prefer tea number {number} on Mondays."]
    if number % 6 == 0:
        lines.append(f"I live in {CITIES[number // 6 % len(CITIES)]} now.")
    if number % 3 == 0:
        lines.append(WORDINGS[number // 3 % len(WORDINGS)])
    if number % 5 == 0:
        lines.append(f"My favourite food is {FOODS[number // 5 % len(FOODS)]}.")
    if number % 7 == 0:
        lines.append(f"My budget is {100 + number % 4} EUR.")
    return lines


def sessions(user: str) -> list[dict[str, Any]]:
    return [
        {
            "schema_version": 1,
            "user_id": user,
            "session_id": f"s{number}",
            "started_at": (FIRST + timedelta(days=number)).isoformat(),
            "messages": [{"role": "user", "content": line} for line in said(number)],
        }
        for number in range(SESSIONS)
    ]


def outline(memories: Sequence[Memory]) -> set[object]:
    """All that is known, without ids."""
    return {
        (
            memory.statement,
            memory.state,
            memory.scope,
            memory.valid_from,
            memory.valid_to,
            memory.confirmed_at,
            frozenset((item.session_id, item.message_id, item.quote) for item in memory.evidence),
        )
        for memory in memories
        if memory.state is not MemoryState.MERGED
    }


def one_after_another(deployment: Deployment, user: str) -> set[object]:
    """The measure: the sessions in event order, each finished before the next is pushed."""
    with deployment.client() as client:
        for pushed in sessions(user):
            deployment.wait_final(client.enqueue(pushed))
    return outline(deployment.memories(user))


def all_at_once(deployment: Deployment, user: str, seed: int) -> list[Memory]:
    """The same sessions in a shuffled order, as fast as they can be pushed."""
    shuffled = random.Random(seed).sample(sessions(user), SESSIONS)
    with deployment.client() as client:
        receipts = [client.enqueue(pushed) for pushed in shuffled]
    statuses = deployment.wait_final(*receipts)
    assert {TranscriptState.DONE} == {status.state for status in statuses}
    return deployment.memories(user)


def test_sessions_of_one_user_that_finish_at_once_leave_what_event_order_would_leave(
    deployment: Deployment,
) -> None:
    """64 sessions on 3 workers in any order: the same memories each time, nothing said twice."""
    for _ in range(WORKERS):
        deployment.start_worker()
    deployment.start_beat()
    expected = one_after_another(deployment, "in-order")

    for seed in range(RUNS):
        memories = all_at_once(deployment, f"shuffled-{seed}", seed)
        assert expected == outline(memories), f"seed {seed}"
        current = [
            (memory.subject, statement_key(memory.statement))
            for memory in memories
            if memory.state is MemoryState.ACTIVE
        ]
        assert len(current) == len(set(current)), f"seed {seed}"
