"""Building the index anew beside the live one, and putting it in its place."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import NotFound
from pipelines.flows.compare import compare_page
from pipelines.ports import TOKEN_LENGTH, Difference, Rebuild, Standing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from config.operation import ReconcilePolicy
    from pipelines.flows.compare import Found, Page
    from pipelines.flows.project import Project
    from pipelines.model import MemoryId
    from pipelines.ports import Clock, IndexTruth, RebuildableIndex, RebuildStore, RebuildTurn

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reindex:
    """A rebuild is a comparison with an index that is empty at first.

    What is missing in it goes through the outbox as any change does, and as long as a rebuild is
    under way, whoever projects writes into both indexes. So nothing that is written meanwhile
    can be lost, and whoever dies leaves nothing that has to be undone.

    Attributes:
        index: The bare one, whose writes go nowhere else.
    """

    truth: IndexTruth
    index: RebuildableIndex
    rebuilds: RebuildStore
    project: Project
    clock: Clock
    policy: ReconcilePolicy

    def start(self) -> Rebuild:
        """Begin a rebuild, or find the one under way."""
        present = self.rebuilds.find()
        if present is not None and present.is_under_way:
            return present
        token = uuid.uuid4().hex[:TOKEN_LENGTH]
        # First the place, then the word: whoever hears of it finds it.
        self.index.make_successor(token)
        begun = self.rebuilds.begin(Rebuild(token, self.clock.now(), self.truth.count()))
        self.index.drop_leftovers(begun.token)
        if begun.token == token:
            log.info("rebuild_started", token=token, memories=begun.expected)
        return begun

    def proceed(self, turn: timedelta) -> Rebuild:
        """Bring the rebuild on until it is over, the turn is, or others must work first.

        Args:
            turn: Nothing further is begun after this.

        Returns:
            How far it is, also where somebody else brings it on.

        Raises:
            NotFound: There never was one.
        """
        deadline = self.clock.now() + turn
        with self.rebuilds.turn() as held:
            if held is not None:
                self._drive(held, deadline)
        found = self.rebuilds.find()
        if found is None:
            raise NotFound("the index was never built anew here")
        if held is not None and not found.is_under_way:
            self.index.drop_leftovers(None)
        return found

    def cancel(self) -> Rebuild:
        """Give the rebuild up, if one is under way; the live index is as it was.

        Raises:
            NotFound: There never was one.
        """
        with self.rebuilds.turn(is_patient=True) as held:
            if held is not None:
                held.exclude_writers()
                held.save(replace(held.rebuild, standing=Standing.CANCELLED))
        found = self.rebuilds.find()
        if found is None:
            raise NotFound("the index was never built anew here")
        if held is not None:
            self.index.drop_leftovers(None)
            log.info("rebuild_cancelled", token=found.token)
        return found

    def _drive(self, held: RebuildTurn, deadline: datetime) -> None:
        token = held.rebuild.token
        if self.index.is_switched(token):  # and whoever did it died before it was written down
            self._end(held)
        elif self.index.make_successor(token):
            held.save(replace(held.rebuild, after=None, compared=0, is_complete=False))
        elif held.rebuild.is_complete:
            held.exclude_writers()
            self.index.switch(token)
            self._end(held)
        else:
            self._fill(held, deadline)

    def _fill(self, held: RebuildTurn, deadline: datetime) -> None:
        while not held.rebuild.is_complete and self.clock.now() < deadline:
            page = self._complete_page(held.rebuild)
            if page is None:
                return
            held.save(
                replace(
                    held.rebuild,
                    after=page.end,
                    compared=held.rebuild.compared + page.compared,
                    is_complete=page.end is None,
                )
            )

    def _complete_page(self, rebuild: Rebuild) -> Page | None:
        """The next page once the new index lacks nothing of it; None where others hold it up."""
        page, lacking = self._compare(rebuild.token, rebuild.after)
        while lacking:
            owners = {item.memory_id: item.owner for item in lacking}
            self.truth.enqueue(owners, self.clock.now())
            self.project.run()
            before = len(lacking)
            page, lacking = self._compare(rebuild.token, rebuild.after)
            if len(lacking) >= before:
                return None
        return page

    def _compare(self, token: str, after: MemoryId | None) -> tuple[Page, Sequence[Found]]:
        """A page, and what the new index lacks of it."""
        successor = self.index.successor(token)
        page = compare_page(self.truth, successor, after, self.policy.batch)
        waiting = self.truth.find_waiting([item.memory_id for item in page.found])
        lacking = [item for item in page.found if item.memory_id not in waiting]
        # What waits comes into both by itself; only what can be found until then must not be
        # missed. What an index refuses would hold up the rebuild for ever.
        awaited = [
            item
            for item in page.found
            if item.kind is Difference.MISSING and waiting.get(item.memory_id) is False
        ]
        return page, [*lacking, *self._select_live(awaited, after)]

    def _select_live(self, awaited: Sequence[Found], after: MemoryId | None) -> list[Found]:
        if not awaited:
            return []
        points = self.index.scan(after, self.policy.batch)
        present = {point.memory_id for point in points}
        is_all = len(points) < self.policy.batch
        return [
            item
            for item in awaited
            if item.memory_id in present or not (is_all or item.memory_id < points[-1].memory_id)
        ]

    def _end(self, held: RebuildTurn) -> None:
        held.save(replace(held.rebuild, standing=Standing.SWITCHED))
        log.info("index_rebuilt", token=held.rebuild.token, memories=held.rebuild.compared)
