"""Taking in what was known of a user elsewhere: its facts, consolidated as all others are."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import InputError
from pipelines.model import receipt_id
from pipelines.stages.carrying import arrive, key_under

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from config.policy import PersonalDataPolicy
    from pipelines.model import MemoryId, Owner
    from pipelines.ports import (
        CarriedVerdict,
        Clock,
        ExchangeStore,
        Mark,
        TakenIn,
        VerdictStore,
        Waker,
    )
    from pipelines.stages.carrying import Arrived, CarriedSession

log = structlog.get_logger(__name__)

FactName = tuple["Owner", str, int]
"""A fact as it is called where it comes from: whose, the session's key, and its ordinal."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What was taken in; ``redacted`` texts were stored without what had to be taken out."""

    taken: TakenIn
    redacted: int


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of what was taken in; ``memories`` says where each fact ended."""

    waiting: int
    pinned: int
    evicted: int
    memories: Mapping[FactName, MemoryId]


@dataclass(frozen=True, slots=True)
class Import:
    """Takes in sessions of one user; repeating it changes nothing."""

    store: ExchangeStore
    verdicts: VerdictStore
    waker: Waker
    clock: Clock
    personal_data: PersonalDataPolicy

    def run(
        self,
        owner: Owner,
        sessions: Sequence[CarriedSession],
        verdicts: Sequence[CarriedVerdict] = (),
        *,
        dry_run: bool = False,
    ) -> Imported:
        """Store what is not known, and have it consolidated with all that is.

        Raises:
            InputError: Something in it cannot be taken in; nothing was stored.
            ErasedMeanwhile: Whom it belongs to was erased since; no session was stored.
        """
        now = self.clock.now()
        arrived = [self._arrive(session, at, owner) for at, session in enumerate(sessions)]
        if not dry_run:
            # They decide how the facts are put together.
            self._keep(owner, verdicts)
        taken = self.store.take_in(owner, arrived, now, dry_run=dry_run)
        if taken.facts and not dry_run:
            self.waker.wake_consolidate([owner])
            log.info("sessions_imported", sessions=taken.sessions, facts=taken.facts)
        return Imported(taken, sum(item.redacted for item in arrived))

    def settle(self, owner: Owner, marks: Mapping[FactName, Mark]) -> Placed:
        """Pin and evict what was so where it comes from, once all of it is consolidated."""
        names = {
            (receipt_id(owner, key_under(owner, source, key)), ordinal): (source, key, ordinal)
            for source, key, ordinal in marks
        }
        placed = {place: marks[name] for place, name in names.items()}
        found = self.store.settle(owner, placed, self.clock.now())
        if found.pinned or found.evicted:
            self.waker.wake_index()
        homes = {names[place]: memory for place, memory in found.memories.items()}
        return Placed(found.waiting, found.pinned, found.evicted, homes)

    def _arrive(self, session: CarriedSession, at: int, owner: Owner) -> Arrived:
        try:
            return arrive(session, owner, self.personal_data)
        except InputError as error:
            raise InputError(f"sessions[{at}].{error.field}", error.reason) from None

    def _keep(self, owner: Owner, verdicts: Sequence[CarriedVerdict]) -> None:
        """What was said of a pair here stays as it is."""
        known = self.verdicts.find_verdicts(owner, [item.pair_key for item in verdicts])
        by_judge: defaultdict[str, dict[str, CarriedVerdict]] = defaultdict(dict)
        for item in verdicts:
            if item.pair_key not in known:
                by_judge[item.judged_by][item.pair_key] = item
        for judge, items in by_judge.items():
            found = {key: item.relation for key, item in items.items()}
            self.verdicts.keep_verdicts(owner, found, judge, self.clock.now())
