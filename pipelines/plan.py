"""What a stage wants written; a flow commits it in one transaction.

Each change carries the memory as it shall be afterwards, so the store needs no rule of its own:
it writes the last state of each memory, one event per change, and checks ``read_versions``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.model import Evidence, FactId, FactOutcome, Memory, MemoryId, Scope


@dataclass(frozen=True, slots=True)
class Insert:
    """A new memory, with all its evidence."""

    memory: Memory


@dataclass(frozen=True, slots=True)
class Reinforce:
    """The same thing was said again: evidence is added instead of a row."""

    memory: Memory
    added: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class Supersede:
    """A successor took the slot: the interval is closed and linked, never overwritten."""

    memory: Memory


@dataclass(frozen=True, slots=True)
class Refile:
    """A late arrival moved the memory's interval; ``released`` evidence went to another one."""

    memory: Memory
    released: tuple[Evidence, ...] = ()
    added: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Promote:
    """The memory moved to a wider scope, for the reason that the policy gave."""

    memory: Memory
    previous: Scope
    reason: str


Change = Insert | Reinforce | Supersede | Refile | Promote


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
    """

    changes: tuple[Change, ...] = ()
    read_versions: Mapping[MemoryId, int] = field(default_factory=dict)
    settled: Mapping[FactId, Settlement] = field(default_factory=dict)

    def final_states(self) -> dict[MemoryId, Memory]:
        """Each changed memory as it shall stand after the whole plan."""
        return {change.memory.id: change.memory for change in self.changes}

    def counts(self) -> dict[str, int]:
        """How many changes of each name, for logs and receipts."""
        result: dict[str, int] = {}
        for change in self.changes:
            name = type(change).__name__.lower()
            result[name] = result.get(name, 0) + 1
        return result
