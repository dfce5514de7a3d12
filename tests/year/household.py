"""The days of some users: what they tell, and what they are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pipelines.model import MemoryId
    from tests.year.life import Life
    from tests.year.world import World


@dataclass(frozen=True, slots=True)
class Plan:
    """How long a year is, and for how many.

    Attributes:
        sessions: Of each user, a day; less than one is one in so many days.
        recalls: Share of sessions before which the agent recalls.
        every: Days between measurements.
        nights: Days between nights, in which the jobs run.
    """

    users: int = 200
    days: int = 365
    sessions: float = 2.0
    recalls: float = 0.5
    every: int = 30
    nights: int = 1
    seed: int = 1


@dataclass(slots=True)
class Day:
    """What a day was.

    Attributes:
        told: When each memory was told last.
    """

    sessions: int = 0
    recalls: int = 0
    told: dict[MemoryId, datetime] = field(default_factory=dict)


class Household:
    """Some of the users, one after another."""

    def __init__(self, world: World, lives: Sequence[Life], plan: Plan) -> None:
        self.world, self.lives, self.plan = world, lives, plan

    def pass_over(self, days: int) -> None:
        """The first days, which they have lived before: only their dice roll again."""
        for day in range(days):
            for life in self.lives:
                self._speak(life, self._how_many(life, day), self.world.clock.now())

    def live(self, day: int, now: datetime) -> Day:
        """Their sessions of a day."""
        self.world.clock.advance(now - self.world.clock.now())
        spent = Day()
        for life in self.lives:
            if sessions := self._how_many(life, day):
                self._spend(life, sessions, spent)
        return spent

    def _how_many(self, life: Life, day: int) -> int:
        if self.plan.sessions >= 1:
            return round(self.plan.sessions)
        gap = round(1 / self.plan.sessions)
        return int((day + life.number) % gap == 0)

    def _spend(self, life: Life, sessions: int, spent: Day) -> None:
        now = self.world.clock.now()
        questions, pushed = self._speak(life, sessions, now)
        for question in questions:
            told = self.world.recall(life.user_id, question)
            spent.told.update(dict.fromkeys(told, now))
            spent.recalls += 1
        self.world.push(pushed)
        spent.sessions += sessions

    def _speak(
        self, life: Life, sessions: int, now: datetime
    ) -> tuple[list[str], list[dict[str, Any]]]:
        """What is asked before the sessions, and what is said in them."""
        questions = [
            life.question()
            for _ in range(sessions)
            if life.lived and life.dice.random() < self.plan.recalls
        ]
        return questions, [life.session(now - timedelta(hours=4)) for _ in range(sessions)]
