"""Which memories would be others if a session had never been."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, CompoundSelect, Connection, and_, or_, select, tuple_

from pipelines.adapters.postgres.arrays import is_among
from pipelines.adapters.postgres.tables import evidence, facts, memories
from pipelines.model import FactId, MemoryId, memory_id

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from pipelines.model import Owner, ReceiptId


def find_affected(
    connection: Connection, owner: Owner, receipts: Sequence[ReceiptId]
) -> list[MemoryId]:
    """The owner's memories in whose making the facts of these transcripts had a part.

    Those that they rest on, what superseded those or was superseded by them, all of the same
    slots, and what was merged into any: what is put together anew from the other facts of all
    these is what it would be without the session.
    """
    mine = _is_of(owner)
    found = _list(connection, mine, memories.c.id.in_(_resting_on(owner, receipts)))
    size = -1
    while size < len(found):
        size = len(found)
        found |= _list(connection, mine, _is_linked(found))
        found |= _list(connection, mine, _shares_slot(found))
        found |= _list(
            connection, mine, is_among(memories.c.id, _once_of(connection, owner, found))
        )
    merged = _once_of(connection, owner, found, receipts)
    found |= _list(connection, mine, is_among(memories.c.id, merged))
    return sorted(found)


def _resting_on(owner: Owner, receipts: Sequence[ReceiptId]) -> CompoundSelect[Any]:
    settled = select(facts.c.memory_id).where(
        facts.c.tenant_id == owner.tenant_id,
        facts.c.user_id == owner.user_id,
        is_among(facts.c.receipt, receipts),
        facts.c.memory_id.is_not(None),
    )
    cited = select(evidence.c.memory_id).where(is_among(evidence.c.receipt, receipts))
    return settled.union(cited)


def _is_linked(ids: Collection[MemoryId]) -> ColumnElement[bool]:
    successors = select(memories.c.superseded_by).where(
        is_among(memories.c.id, ids), memories.c.superseded_by.is_not(None)
    )
    return or_(is_among(memories.c.superseded_by, ids), memories.c.id.in_(successors))


def _shares_slot(ids: Collection[MemoryId]) -> ColumnElement[bool]:
    slots = select(memories.c.slot_subject, memories.c.slot_attribute).where(
        is_among(memories.c.id, ids), memories.c.slot_attribute.is_not(None)
    )
    return and_(
        memories.c.slot_attribute.is_not(None),
        tuple_(memories.c.slot_subject, memories.c.slot_attribute).in_(slots),
    )


def _once_of(
    connection: Connection,
    owner: Owner,
    ids: Collection[MemoryId],
    receipts: Sequence[ReceiptId] = (),
) -> list[MemoryId]:
    """The memories that the facts of these once had to themselves."""
    statement = select(facts.c.id).where(
        facts.c.tenant_id == owner.tenant_id,
        facts.c.user_id == owner.user_id,
        or_(is_among(facts.c.memory_id, ids), is_among(facts.c.receipt, receipts)),
    )
    found: list[UUID] = list(connection.execute(statement).scalars())
    return [memory_id(FactId(key)) for key in found]


def _is_of(owner: Owner) -> ColumnElement[bool]:
    return and_(memories.c.tenant_id == owner.tenant_id, memories.c.user_id == owner.user_id)


def _list(connection: Connection, *conditions: ColumnElement[bool]) -> set[MemoryId]:
    found = connection.execute(select(memories.c.id).where(*conditions)).scalars()
    return {MemoryId(key) for key in found}
