"""Carrying what is known of a user to another place, and taking it in there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pipelines.model import MemoryId, Owner, ReceiptId
    from pipelines.stages.carrying import Arrived, CarriedSession
    from pipelines.stages.merging.relate import Relation

FactPlace = tuple["ReceiptId", int]
"""A fact by its transcript and its ordinal there."""


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What taking in came to.

    Attributes:
        sessions: That were not known.
        facts: That were not known; they wait to be consolidated.
        known: Facts that were known, and stay as they are.
        open: Facts of sessions that are known here and not distilled: they will be by themselves.
    """

    sessions: int = 0
    facts: int = 0
    known: int = 0
    open: int = 0


@dataclass(frozen=True, slots=True)
class CarriedVerdict:
    """What a judge or a person said of two statements, by the key of their pair."""

    pair_key: str
    relation: Relation
    judged_by: str


@dataclass(frozen=True, slots=True)
class Mark:
    """How long the memory of a fact was told where it comes from."""

    pinned: bool = False
    is_evicted: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of facts that were taken in.

    Attributes:
        waiting: Facts that are not consolidated yet; nothing was marked while there are any.
        memories: Where each of the facts ended.
    """

    waiting: int
    memories: Mapping[FactPlace, MemoryId]
    pinned: int = 0
    evicted: int = 0


class ExchangeStore(Protocol):
    """Sessions with the facts that are kept of them."""

    def read_sessions(
        self, tenant_id: str, user_id: str | None, after: ReceiptId | None, limit: int
    ) -> tuple[list[CarriedSession], ReceiptId | None]:
        """Sessions with kept facts, in the order of their receipts after ``after``.

        Returns:
            They, and the ``after`` of the next page; None after the last one.
        """
        ...

    def read_verdicts(self, owner: Owner, after: str, limit: int) -> list[CarriedVerdict]:
        """What a judge or a person said of pairs, in the order of their keys after ``after``."""
        ...

    def take_in(
        self, owner: Owner, arrived: Sequence[Arrived], now: datetime, *, dry_run: bool
    ) -> TakenIn:
        """Store what is not known yet; the facts wait to be consolidated.

        Raises:
            ErasedMeanwhile: The owner, or one of the sessions, was erased since ``now``.
            InputError: What is known here of a session contradicts what is said to stand in it.
        """
        ...

    def settle(self, owner: Owner, marks: Mapping[FactPlace, Mark], now: datetime) -> Settled:
        """Pin and evict the memories in which the facts ended, once all are consolidated.

        A memory is evicted if nothing but facts of evicted ones went into it. What a person has
        unpinned or brought back here stays so.
        """
        ...
