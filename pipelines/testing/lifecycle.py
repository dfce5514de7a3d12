"""How memories are used, fade and go, over the memories of in-memory stores."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipelines.errors import InputError, NotFound
from pipelines.model import EVERYONE, SHADOW
from pipelines.ports import CountedUses, FadedPage, Survey
from pipelines.stages.decay import (
    BOUNDS,
    THE_WRITE,
    Faded,
    Use,
    half_life_of,
    has_faded,
    strength_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from config.decay import DecayPolicy
    from pipelines.model import Memory, MemoryId, Owner
    from pipelines.ports import HoldId, LegalHold
    from pipelines.testing.memories import InMemoryMemories


class InMemoryUseCounter:
    """``UseCounter`` over dictionaries."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._uses: Counter[MemoryId] = Counter()
        self._used_at: dict[MemoryId, datetime] = {}
        self._taken: CountedUses | None = None
        self._batches = 0

    def note(self, memories: Collection[MemoryId], now: datetime) -> None:
        with self._lock:
            self._uses.update(memories)
            self._used_at.update(dict.fromkeys(memories, now))

    def take(self) -> CountedUses | None:
        with self._lock:
            if self._taken is None and self._uses:
                self._batches += 1
                self._taken = CountedUses(str(self._batches), dict(self._uses), dict(self._used_at))
                self._uses.clear()
                self._used_at.clear()
            return self._taken

    def drop(self, batch: str) -> None:
        with self._lock:
            if self._taken is not None and self._taken.batch == batch:
                self._taken = None


class InMemoryHolds:
    """``HoldStore`` over a dictionary."""

    def __init__(self) -> None:
        self._holds: dict[HoldId, LegalHold] = {}

    def place(self, hold: LegalHold) -> LegalHold:
        for known in self._holds.values():
            is_same = (known.owner, known.reason) == (hold.owner, hold.reason)
            if is_same and known.released_at is None:
                return known
        self._holds[hold.id] = hold
        return hold

    def release(self, tenant_id: str, key: HoldId, by: str, now: datetime) -> LegalHold:
        found = self._holds.get(key)
        if found is None or found.owner.tenant_id != tenant_id:
            raise NotFound(f"no legal hold has the id {key}")
        if found.released_at is None:
            found = self._holds[key] = replace(found, released_at=now, released_by=by)
        return found

    def list_holds(
        self, tenant_id: str, limit: int, after: HoldId | None = None
    ) -> list[LegalHold]:
        mine = [hold for hold in self._holds.values() if hold.owner.tenant_id == tenant_id]
        mine.sort(key=lambda hold: hold.id)
        mine.sort(key=lambda hold: hold.placed_at, reverse=True)
        keys = [hold.id for hold in mine]
        start = 0 if after is None else keys.index(after) + 1 if after in keys else len(keys)
        return mine[start : start + limit]

    def is_held(self, owner: Owner) -> bool:
        """Whether a hold is on a user."""
        return any(
            hold.owner == owner.live and hold.released_at is None for hold in self._holds.values()
        )


class InMemoryPins:
    """``PinStore`` over the memories of in-memory stores."""

    def __init__(self, stores: InMemoryMemories, holds: InMemoryHolds | None = None) -> None:
        self._stores = stores
        self._holds = holds or InMemoryHolds()

    def pin(self, tenant_id: str, key: MemoryId, now: datetime, *, pinned: bool) -> None:
        memory = self._find(tenant_id, key)
        if memory is not None and memory.pinned is not pinned:
            evicted_at = None if pinned else memory.evicted_at
            changed = replace(memory, pinned=pinned, evicted_at=evicted_at)
            self._stores.put_memory(replace(changed, version=memory.version + 1), now)

    def bring_back(self, tenant_id: str, key: MemoryId, now: datetime) -> None:
        memory = self._find(tenant_id, key)
        if memory is not None and memory.evicted_at is not None:
            back = replace(memory, evicted_at=None, version=memory.version + 1)
            self._stores.put_memory(back, now)

    def forget(self, tenant_id: str, key: MemoryId, now: datetime) -> None:
        memory = self._find(tenant_id, key)
        if memory is None or self._stores.is_forgotten(memory):
            return
        if self._holds.is_held(memory.owner):
            raise InputError("memory", "is under a legal hold: nothing was forgotten")
        self._stores.forget(memory, now)

    def _find(self, tenant_id: str, key: MemoryId) -> Memory | None:
        found = self._stores.find(key)
        return found if found is not None and found.owner.tenant_id == tenant_id else None


@dataclass(frozen=True, slots=True)
class Touched:
    """A change beside a plan, as the log has it."""

    event_name: str
    memory: Memory


class InMemoryFading:
    """``FadingStore`` and ``UseStore``; the whole table is one part."""

    def __init__(self, stores: InMemoryMemories, holds: InMemoryHolds) -> None:
        self._stores = stores
        self._holds = holds
        self._uses: dict[MemoryId, tuple[int, datetime]] = {}
        self._batches: set[str] = set()
        self.touched: list[Touched] = []

    # ---- uses ---------------------------------------------------------------------------------

    def add_uses(self, counted: CountedUses, now: datetime) -> int:
        if counted.batch in self._batches:
            return 0
        self._batches.add(counted.batch)
        back = []
        for key, count in counted.uses.items():
            memory = self._stores.find(key)
            if memory is None:
                continue
            known, at = self._uses.get(key, (0, now))
            used_at = counted.used_at.get(key, now)
            self._uses[key] = (known + count, max(at, used_at) if known else used_at)
            is_back = memory.evicted_at is not None and not self._stores.is_forgotten(memory)
            back += [memory] if is_back else []
        self._touch(back, "memory_restored", lambda each: replace(each, evicted_at=None), now)
        return len(back)

    # ---- fading -------------------------------------------------------------------------------

    def find_faded(
        self, position: int, now: datetime, policy: DecayPolicy, tenant_id: str | None = None
    ) -> FadedPage:
        if position:
            return FadedPage((), None)
        found = [
            self._faded(memory, now, policy)
            for memory in self._live(tenant_id)
            if self._may_go(memory) and has_faded(self._strength(memory, now, policy), policy)
        ]
        return FadedPage(tuple(found), None)

    def find_faded_keys(
        self, position: int, now: datetime, policy: DecayPolicy
    ) -> tuple[list[MemoryId], int | None]:
        page = self.find_faded(position, now, policy)
        return [item.memory_id for item in page.faded], page.position

    def evict(self, keys: Sequence[MemoryId], now: datetime, policy: DecayPolicy) -> int:
        still = {item.memory_id for item in self.find_faded(0, now, policy).faded}
        going = [memory for memory in self._live(None) if memory.id in still.intersection(keys)]
        self._touch(going, "memory_evicted", lambda each: replace(each, evicted_at=now), now)
        return len(going)

    def survey(self, now: datetime, policy: DecayPolicy, tenant_id: str) -> Survey:
        strengths, faded, spared = Counter[float](), Counter[str](), 0
        for memory in self._live(tenant_id):
            found = self._strength(memory, now, policy)
            strengths[max(bound for bound in BOUNDS if bound <= found)] += 1
            if has_faded(found, policy) and self._may_go(memory):
                faded[memory.kind.value] += 1
            elif has_faded(found, policy):
                spared += 1
        evicted = [row for row in self._rows(tenant_id) if row.evicted_at is not None]
        return Survey(dict(strengths), dict(faded), spared, len(evicted))

    def find_purgeable(self, evicted_before: datetime, limit: int) -> list[MemoryId]:
        rows = self._rows(None)
        leant_on = {row.superseded_by for row in rows}
        found = [
            (row.evicted_at, row.id)
            for row in rows
            if row.evicted_at is not None
            and row.evicted_at < evicted_before
            and self._may_go(row)
            and row.id not in leant_on
        ]
        return [key for _, key in sorted(found)][:limit]

    def purge_memories(self, keys: Sequence[MemoryId], now: datetime) -> int:
        going = [
            row
            for row in self._rows(None)
            if row.id in keys and row.evicted_at is not None and self._may_go(row)
        ]
        self._touch(going, "memory_purged", lambda each: each, now)
        self._stores.delete_memories([row.id for row in going])
        return len(going)

    # ---- rows ---------------------------------------------------------------------------------

    def _rows(self, tenant_id: str | None) -> list[Memory]:
        return [
            memory
            for memory in self._stores.all_memories()
            if tenant_id in {None, memory.owner.tenant_id}
        ]

    def _live(self, tenant_id: str | None) -> list[Memory]:
        return [
            memory
            for memory in self._rows(tenant_id)
            if memory.evicted_at is None
            and memory.owner.user_id != EVERYONE
            and SHADOW not in memory.owner.tenant_id
        ]

    def _may_go(self, memory: Memory) -> bool:
        return not memory.pinned and not self._holds.is_held(memory.owner)

    def _use(self, memory: Memory) -> Use:
        written_at = max(at for change, at in self._stores.events if change.memory.id == memory.id)
        uses, used_at = self._uses.get(memory.id, (0, None))
        return Use(written_at, uses, used_at)

    def _strength(self, memory: Memory, now: datetime, policy: DecayPolicy) -> float:
        return strength_of(self._use(memory), memory.kind, memory.importance, now, policy)

    def _faded(self, memory: Memory, now: datetime, policy: DecayPolicy) -> Faded:
        use = self._use(memory)
        return Faded(
            memory_id=memory.id,
            owner=memory.owner,
            kind=memory.kind,
            statement=memory.statement,
            importance=memory.importance,
            strength=self._strength(memory, now, policy),
            idle=use.idle(now),
            uses=THE_WRITE + use.uses,
            half_life=half_life_of(memory.kind, memory.importance, policy),
        )

    def _touch(
        self,
        memories: Sequence[Memory],
        event_name: str,
        change: Callable[[Memory], Memory],
        now: datetime,
    ) -> None:
        for memory in memories:
            changed = replace(change(memory), version=memory.version + 1)
            self._stores.put_memory(changed, now)
            self.touched.append(Touched(event_name, changed))
