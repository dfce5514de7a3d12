"""Processes that share the users among them, as worker processes do."""

from __future__ import annotations

import multiprocessing
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.logs import configure_logs
from tests.year.household import Day, Household, Plan
from tests.year.life import lives_of
from tests.year.world import Place, open_world

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from multiprocessing.connection import Connection as Pipe

    from tests.year.life import Life


@dataclass(frozen=True, slots=True)
class Crew:
    """All households, side by side."""

    pipes: Sequence[Pipe]

    def live(self, day: int, now: datetime) -> Day:
        """A day of everybody."""
        for pipe in self.pipes:
            pipe.send((day, now))
        everybody = Day()
        for pipe in self.pipes:
            spent: Day = pipe.recv()
            everybody.sessions += spent.sessions
            everybody.recalls += spent.recalls
            everybody.told.update(spent.told)
        return everybody


@contextmanager
def open_crew(place: Place, plan: Plan, processes: int, days: int = 0) -> Iterator[Crew]:
    """So many processes, ended by an empty message; so many days they have lived before."""
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pipes = []
        for number in range(processes):
            ours, theirs = context.Pipe()
            share = (place, plan, lives_of(plan)[number::processes], days, theirs)
            process = context.Process(target=_work, args=share, daemon=True)
            process.start()
            theirs.close()
            stack.callback(process.join)
            stack.callback(ours.send, None)
            pipes.append(ours)
        yield Crew(pipes)


def _work(place: Place, plan: Plan, lives: Sequence[Life], days: int, pipe: Pipe) -> None:
    configure_logs("error", "console")
    with open_world(place) as world:
        household = Household(world, lives, plan)
        household.pass_over(days)
        while (asked := pipe.recv()) is not None:
            pipe.send(household.live(*asked))
