"""What a stage wants written; a flow commits it in one transaction.

Each change carries the memory as it shall be afterwards and the name of its event, so the store
needs no rule of its own: it writes the last state of each memory, one event per change, and checks
``read_versions``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.model import Evidence, FactId, FactOutcome, Memory, MemoryId, Scope


@dataclass(frozen=True, slots=True)
class Insert:
    """A new memory, with all its evidence."""

    event_name: ClassVar[str] = "memory_inserted"

    memory: Memory


@dataclass(frozen=True, slots=True)
class Reinforce:
    """The same thing was said again: evidence is added instead of a row."""

    event_name: ClassVar[str] = "memory_reinforced"

    memory: Memory
    added: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class Supersede:
    """A successor took the slot: the interval is closed and linked, never overwritten."""

    event_name: ClassVar[str] = "memory_superseded"

    memory: Memory
    added: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Refile:
    """A late arrival moved the memory's interval; ``released`` evidence went to another one.

    A memory that has none left is merged: another one says what it said.
    """

    event_name: ClassVar[str] = "memory_refiled"

    memory: Memory
    released: tuple[Evidence, ...] = ()
    added: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Promote:
    """The memory moved to a wider scope, for the reason that the policy gave."""

    event_name: ClassVar[str] = "memory_promoted"

    memory: Memory
    previous: Scope
    reason: str


@dataclass(frozen=True, slots=True)
class Demote:
    """The memory moved back to a narrower scope, because what carried it is gone."""

    event_name: ClassVar[str] = "memory_demoted"

    memory: Memory
    previous: Scope
    reason: str


@dataclass(frozen=True, slots=True)
class Restore:
    """What had been superseded or merged holds again: a person or an older session said so."""

    event_name: ClassVar[str] = "memory_restored"

    memory: Memory
    released: tuple[Evidence, ...] = ()
    added: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Recount:
    """Other users say a shared memory than before, but enough of them."""

    event_name: ClassVar[str] = "memory_recounted"

    memory: Memory
    released: tuple[Evidence, ...] = ()
    added: tuple[Evidence, ...] = ()


Change = Insert | Reinforce | Supersede | Refile | Restore | Recount | Promote | Demote


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of one fact, and in which memory it ended."""

    outcome: FactOutcome
    memory_id: MemoryId | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Changes in the order in which they were decided.

    Attributes:
        read_versions: The version of each changed memory as it was read; a memory that is
            not named here must not exist yet.
        settled: The fate of every fact that the plan consumed.
        opened: Memories whose facts wait for a judge, with what the open pairs of each weigh.
        reviewed: Memories that waited for one, and do not any more.
    """

    changes: tuple[Change, ...] = ()
    read_versions: Mapping[MemoryId, int] = field(default_factory=dict)
    settled: Mapping[FactId, Settlement] = field(default_factory=dict)
    opened: Mapping[MemoryId, int] = field(default_factory=dict)
    reviewed: frozenset[MemoryId] = frozenset()

    def final_states(self) -> dict[MemoryId, Memory]:
        """Each changed memory as it shall stand after the whole plan."""
        return {change.memory.id: change.memory for change in self.changes}

    def counts(self) -> dict[str, int]:
        """How many changes of each name and questions for a judge, for logs and receipts."""
        result: dict[str, int] = {"opened": len(self.opened)} if self.opened else {}
        for change in self.changes:
            name = type(change).__name__.lower()
            result[name] = result.get(name, 0) + 1
        return result
