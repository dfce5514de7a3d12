"""Agents that wake up: what they are told of a user, while everything is killed."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from memstill_client import MemstillError, Unavailable

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence
    from uuid import UUID

    from memstill_client import Memstill
    from tests.chaos.stack import Stack
    from tests.chaos.truth import Reader

_PAUSE_SECONDS = 0.15
_QUERIES = (
    "Where does the user live?",
    "What is the monthly budget?",
    "Which tickets were closed?",
    "How should answers look?",
)
_OWNERS = "SELECT id, user_id, state FROM memories"


@dataclass(slots=True)
class Recalls:
    """What was asked and answered.

    Attributes:
        asked: Recalls that were answered, and those that nobody answered.
        told: Every memory that was told about a user.
    """

    asked: Counter[str] = field(default_factory=Counter)
    told: set[tuple[str, UUID]] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


class Recaller:
    """A thread that asks for one user after another."""

    def __init__(self, stack: Stack, users: Sequence[str], dice: random.Random) -> None:
        self.recalls = Recalls()
        self._stack = stack
        self._users = users
        self._dice = dice
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recaller", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def close(self) -> None:
        """Ask no more."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        with self._stack.client("http") as client:
            while not self._closing.wait(_PAUSE_SECONDS):
                self._ask(client, self._dice.choice(self._users))

    def _ask(self, client: Memstill, user: str) -> None:
        try:
            found = client.recall(self._dice.choice(_QUERIES), user)
        except Unavailable:
            self.recalls.asked["unanswered"] += 1
        except MemstillError as refusal:
            self.recalls.problems.append(f"a recall was refused: {refusal}")
        else:
            self.recalls.asked["answered"] += 1
            self.recalls.told.update((user, memory.id) for memory in found.memories)


def check_recalls(recalls: Recalls, truth: Reader) -> list[str]:
    """Nobody was ever told what is another user's, or nobody's."""
    owners = {row["id"]: row["user_id"] for row in truth.rows(_OWNERS)}
    foreign = [f"{user} {key}" for user, key in recalls.told if owners.get(key) != user]
    return [f"told to another user: {line}" for line in sorted(foreign)]


def check_last_recall(client: Memstill, users: Sequence[str], truth: Reader) -> list[str]:
    """When all is final, recall answers for everyone, with what is current and their own."""
    rows = truth.rows(_OWNERS)
    current = {(row["user_id"], row["id"]) for row in rows if row["state"] == "active"}
    knowing = {user for user, _ in current}
    problems = []
    for user in users:
        found = client.recall(_QUERIES[0], user).memories
        problems += [
            f"recalled but not current: {user} {memory.id}"
            for memory in found
            if (user, memory.id) not in current
        ]
        if user in knowing and not found:
            problems.append(f"nothing is recalled for {user}")
    return problems
