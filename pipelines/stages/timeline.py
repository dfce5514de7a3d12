"""One slot over time: which value held when, from everything that was ever said about it.

The timeline is a function of the set of assertions alone. In whatever order sessions arrive,
the same intervals come out, so a late session is filed into the past and never retires newer
truth. Closed intervals stay: half-open [valid_from, valid_to), each linked to its successor.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from pipelines.model import Memory, MemoryId, MemoryState
from pipelines.stages.dedup import same_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from pipelines.model import Evidence


@dataclass(frozen=True, slots=True)
class _Assertion:
    evidence: Evidence
    source: Memory

    @property
    def order(self) -> tuple[datetime, str, int]:
        item = self.evidence
        return (item.event_at, str(item.transcript_id), item.message_index)


def arrange(known: Sequence[Memory], newcomer: Memory) -> list[Memory]:
    """Arrange the memories of one slot with a newcomer, oldest interval first.

    Args:
        known: The slot's memories in any state, as they are.
        newcomer: What a new fact states, as a memory of its own with its evidence.

    Returns:
        The slot's memories as they shall be. A known one keeps its id; the newcomer is among
        them only if it states a value that did not hold at that time already. An interval
        that the newcomer cuts in two continues as a new memory.
    """
    assertions = sorted(_assertions([*known, newcomer]), key=lambda item: item.order)
    keepers = _choose_keepers(_split_runs(assertions), {memory.id for memory in known})
    closed = [_close(memory, successor) for memory, successor in pairwise(keepers)]
    return [*closed, _reopen(keepers[-1])]


def _assertions(memories: Iterable[Memory]) -> list[_Assertion]:
    return [_Assertion(item, memory) for memory in memories for item in memory.evidence]


def _split_runs(assertions: Sequence[_Assertion]) -> list[list[_Assertion]]:
    runs: list[list[_Assertion]] = []
    for item in assertions:
        if runs and same_value(runs[-1][0].source.value, item.source.value):
            runs[-1].append(item)
        else:
            runs.append([item])
    return runs


def _choose_keepers(runs: Sequence[list[_Assertion]], known: set[MemoryId]) -> list[Memory]:
    taken: set[MemoryId] = set()
    keepers: list[Memory] = []
    for run in runs:
        keeper = _choose_keeper(run, known, taken)
        taken.add(keeper.id)
        keepers.append(_gather(keeper, run))
    return keepers


def _choose_keeper(run: list[_Assertion], known: set[MemoryId], taken: set[MemoryId]) -> Memory:
    free = [item.source for item in run if item.source.id not in taken]
    for memory in free:
        if memory.id in known:
            return memory
    if free:
        return free[0]
    # Every source kept an earlier interval: this one goes on as a memory of its own.
    first = run[0]
    cited = first.evidence
    name = f"continued/{cited.event_at.isoformat()}/{cited.transcript_id}/{cited.message_index}"
    split = MemoryId(uuid.uuid5(first.source.id, name))
    return replace(first.source, id=split, version=1, superseded_by=None)


def _gather(keeper: Memory, run: Sequence[_Assertion]) -> Memory:
    return replace(
        keeper,
        evidence=tuple(dict.fromkeys(item.evidence for item in run)),
        valid_from=run[0].evidence.event_at,
        confirmed_at=run[-1].evidence.event_at,
        importance=max(item.source.importance for item in run),
    )


def _close(memory: Memory, successor: Memory) -> Memory:
    return replace(
        memory,
        state=MemoryState.SUPERSEDED,
        valid_to=successor.valid_from,
        superseded_by=successor.id,
    )


def _reopen(memory: Memory) -> Memory:
    return replace(memory, state=MemoryState.ACTIVE, valid_to=None, superseded_by=None)
