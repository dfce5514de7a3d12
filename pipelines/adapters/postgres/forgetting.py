"""Removing a subject from every table, within one transaction.

First whatever could still be written is locked and its leases are made void, then it is deleted:
whoever commits at this moment is waited for and deleted, too; whoever comes later is refused.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
    delete,
    func,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.affected import find_affected
from pipelines.adapters.postgres.arrays import is_among, is_any
from pipelines.adapters.postgres.commit import waits_anew
from pipelines.adapters.postgres.erased_events import clean_events, erase_events, find_purged
from pipelines.adapters.postgres.log_snapshots import clean_snapshot
from pipelines.adapters.postgres.past_receipts import list_past
from pipelines.adapters.postgres.tables import (
    api_keys,
    batch_items,
    budget_warnings,
    checkpoints,
    event_snapshots,
    events,
    evidence,
    facts,
    generation_users,
    generations,
    holds,
    ledger,
    legal_holds,
    memories,
    memory_uses,
    old_receipts,
    outbox,
    owners,
    procedure_outcomes,
    procedure_readings,
    procedures,
    profile_entries,
    replies,
    reviews,
    transcripts,
    user_profiles,
    verdicts,
)
from pipelines.adapters.postgres.unreadable import delete_unreadable
from pipelines.model import EVERYONE, FactOutcome, MemoryId, Owner, ReceiptId
from pipelines.ports import OwnerClaim, Subject
from pipelines.stages.generation import GenerationId, Side, shadow_owner

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime, timedelta

# In the order in which rows that refer to others go first.
_OF_OWNER = (
    api_keys,
    # The released ones: a user who is held is not erased.
    legal_holds,
    # Its trigger takes the entries along, and has their points removed.
    user_profiles,
    profile_entries,
    memory_uses,
    checkpoints,
    memories,
    # Whoever learns from a memory holds it, and is waited for.
    procedure_outcomes,
    procedure_readings,
    procedures,
    events,
    event_snapshots,
    old_receipts,
    facts,
    replies,
    reviews,
    verdicts,
    batch_items,
    holds,
    budget_warnings,
    transcripts,
)


def list_owners(connection: Connection, live: Owner) -> list[Owner]:
    """The live owner, and the sides of their tenant's generation."""
    found = connection.execute(
        select(generations.c.id).where(generations.c.tenant_id == live.tenant_id)
    ).scalars()
    sides = [shadow_owner(live, GenerationId(key), side) for key in found for side in Side]
    return [live, *sides]


@dataclass(slots=True)
class Gone:
    """What a subject had.

    Attributes:
        removed: Rows by table.
        memory_ids: Memories removed; those of an erased session's user may be there again when
            their other facts were consolidated anew, which ``claims`` are for.
        is_shared: Memories of everyone rested on it.
    """

    removed: Counter[str] = field(default_factory=Counter)
    receipts: list[ReceiptId] = field(default_factory=list)
    memory_ids: list[MemoryId] = field(default_factory=list)
    claims: list[OwnerClaim] = field(default_factory=list)
    is_shared: bool = False


def forget_user(connection: Connection, live: Owner, now: datetime) -> Gone:
    """Delete all that there is of a user."""
    whose = list_owners(connection, live)
    _lock_moves(connection, live)
    _void_leases(connection, whose)
    receipts = [
        *_lock_transcripts(connection, is_any(transcripts, whose)),
        *list_past(connection, whose, None),
    ]
    ids = _list_memories(connection, is_any(memories, whose))
    gone = Gone(receipts=receipts, memory_ids=ids)
    _leave_everyones(connection, live.tenant_id, gone)
    gone.removed["replies"] += _delete_replies(connection, receipts)
    _have_removed(connection, live, ids, now)
    gone.removed["evidence"] += _count(connection, evidence, is_among(evidence.c.memory_id, ids))
    for table in _OF_OWNER:
        gone.removed[table.name] += _delete(connection, table, is_any(table, whose))
    gone.removed["transcripts"] += delete_unreadable(connection, Subject(live))
    gone.removed["ledger"] += _anonymise_ledger(connection, whose)
    connection.execute(
        delete(generation_users).where(
            generation_users.c.user_id == live.user_id, _is_of_tenant(live.tenant_id)
        )
    )
    return gone


def forget_session(
    connection: Connection, subject: Subject, now: datetime, lease: timedelta
) -> Gone:
    """Delete one session of a user, and every memory that would be another one without it.

    The facts of other sessions that those memories rested on wait to be consolidated anew, under
    leases that are given to the caller.
    """
    live = subject.owner
    whose = list_owners(connection, live)
    _lock_moves(connection, live)
    fences = _void_leases(connection, whose, now + lease)
    mine = and_(is_any(transcripts, [live]), transcripts.c.session_id == subject.session_id)
    there = _lock_transcripts(connection, mine)
    originals = list({*there, *list_past(connection, whose, subject.session_id)})
    copies = _lock_transcripts(connection, is_among(transcripts.c.copy_of, originals))
    gone = Gone(receipts=[*originals, *copies])
    for owner in whose:
        affected = find_affected(connection, owner, originals)
        _forget_facts(connection, owner, originals, affected, gone)
        _forget_memories(connection, owner, affected, gone, now)
        _forget_past(connection, owner, gone, now)
        if affected and owner in fences:
            # It counts nothing of what became due: the user is due again when it is given back.
            gone.claims.append(OwnerClaim(owner, fences[owner], 1, generation=-1))
    _give_back(connection, fences.keys() - {claim.owner for claim in gone.claims})
    _leave_everyones(connection, live.tenant_id, gone)
    gone.removed["replies"] += _delete_replies(connection, gone.receipts)
    for table, condition in (
        (batch_items, batch_items.c.receipts.overlap(gone.receipts)),
        (transcripts, is_among(transcripts.c.receipt, gone.receipts)),
        (old_receipts, _is_of_session(subject)),
    ):
        gone.removed[table.name] += _delete(connection, table, condition)
    gone.removed["transcripts"] += delete_unreadable(connection, subject)
    # A thread that has the session's name is the session's.
    of_thread = and_(is_any(checkpoints, [live]), checkpoints.c.thread_id == subject.session_id)
    gone.removed[checkpoints.name] += _delete(connection, checkpoints, of_thread)
    return gone


def _is_of_session(subject: Subject) -> ColumnElement[bool]:
    return and_(
        is_any(old_receipts, [subject.owner]), old_receipts.c.session_id == subject.session_id
    )


def _forget_facts(
    connection: Connection,
    owner: Owner,
    receipts: Sequence[ReceiptId],
    affected: Sequence[MemoryId],
    gone: Gone,
) -> None:
    """The session's go; the others of the memories that it had a part in are open again."""
    of_session = and_(is_any(facts, [owner]), is_among(facts.c.receipt, receipts))
    gone.removed["facts"] += _delete(connection, facts, of_session)
    connection.execute(
        update(facts)
        .where(is_any(facts, [owner]), is_among(facts.c.memory_id, affected))
        .values(outcome=FactOutcome.PENDING.value, reason=None, memory_id=None)
    )


def _forget_memories(
    connection: Connection, owner: Owner, affected: Sequence[MemoryId], gone: Gone, now: datetime
) -> None:
    gone.memory_ids += affected
    gone.removed["events"] += erase_events(connection, affected, now)
    _have_removed(connection, owner, affected, now)
    gone.removed["evidence"] += _count(
        connection, evidence, is_among(evidence.c.memory_id, affected)
    )
    for table, key in (
        (reviews, reviews.c.memory_id),
        (memories, memories.c.id),
        (procedure_outcomes, procedure_outcomes.c.memory_id),
        (procedure_readings, procedure_readings.c.memory_id),
        (procedures, procedures.c.memory_id),
    ):
        gone.removed[table.name] += _delete(connection, table, is_among(key, affected))


def _forget_past(connection: Connection, owner: Owner, gone: Gone, now: datetime) -> None:
    """What only the log tells: memories that were purged, and evidence that was released."""
    purged = find_purged(connection, owner, gone.receipts)
    gone.memory_ids += purged
    gone.removed["events"] += erase_events(connection, purged, now)
    gone.removed["events"] += clean_events(connection, owner, gone.receipts)
    gone.removed["event_snapshots"] += clean_snapshot(
        connection, owner, gone.memory_ids, gone.receipts, now
    )


def forget_name(connection: Connection, owner: Owner) -> None:
    """Delete what a user leaves of whom nothing is known: leases, holds, accounts."""
    _anonymise_ledger(connection, [owner])
    for table in (holds, budget_warnings, verdicts, replies, owners):
        _delete(connection, table, is_any(table, [owner]))


# ---- locks ------------------------------------------------------------------------------------


def _lock_moves(connection: Connection, live: Owner) -> None:
    """No generation moves the user meanwhile."""
    connection.execute(
        select(generation_users.c.step)
        .where(generation_users.c.user_id == live.user_id, _is_of_tenant(live.tenant_id))
        .with_for_update()
    )


def _void_leases(
    connection: Connection, whose: Sequence[Owner], until: datetime | None = None
) -> dict[Owner, int]:
    statement = (
        update(owners)
        .where(is_any(owners, whose))
        .values(fence=owners.c.fence + 1, lease_until=until)
        .returning(owners.c.tenant_id, owners.c.user_id, owners.c.fence)
    )
    return {Owner(row[0], row[1]): row[2] for row in connection.execute(statement)}


def _give_back(connection: Connection, whose: Collection[Owner]) -> None:
    connection.execute(update(owners).where(is_any(owners, whose)).values(lease_until=None))


def _lock_transcripts(connection: Connection, condition: ColumnElement[bool]) -> list[ReceiptId]:
    statement = (
        select(transcripts.c.receipt)
        .where(condition)
        .order_by(transcripts.c.receipt)
        .with_for_update()
    )
    return [ReceiptId(key) for key in connection.execute(statement).scalars()]


def _list_memories(connection: Connection, condition: ColumnElement[bool]) -> list[MemoryId]:
    found = connection.execute(select(memories.c.id).where(condition)).scalars()
    return [MemoryId(key) for key in found]


# ---- removing ---------------------------------------------------------------------------------


def _have_removed(
    connection: Connection, owner: Owner, ids: Collection[MemoryId], now: datetime
) -> None:
    """The index shall forget them; where it cannot be told at once, the outbox tells it."""
    source = select(
        memories.c.id, literal(owner.tenant_id), literal(owner.user_id), literal(now), literal(now)
    ).where(is_among(memories.c.id, ids))
    columns = ["memory_id", "tenant_id", "user_id", "enqueued_at", "due_at"]
    statement = upsert(outbox).from_select(columns, source.order_by(memories.c.id))
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[outbox.c.memory_id], set_=waits_anew(statement)
        )
    )


def _leave_everyones(connection: Connection, tenant_id: str, gone: Gone) -> None:
    """Take the subject out of memories of everyone, their history and their proposals.

    Whoever is about to share what the subject said has read it before, and is refused.
    """
    _void_leases(connection, [Owner.everyone(tenant_id)])
    everyones = select(memories.c.id).where(
        memories.c.tenant_id == tenant_id, memories.c.user_id == EVERYONE
    )
    cited = and_(is_among(evidence.c.receipt, gone.receipts), evidence.c.memory_id.in_(everyones))
    gone.removed["evidence"] += _delete(connection, evidence, cited)
    everyone = Owner.everyone(tenant_id)
    gone.removed["events"] += clean_events(connection, everyone, gone.receipts)
    values = {"tenant": tenant_id, "ids": gone.memory_ids}
    gone.is_shared = connection.execute(_CLEAN_PROPOSALS, values).rowcount > 0


_CLEAN_PROPOSALS = text(
    """
    UPDATE proposals SET memory_ids = ARRAY(
        SELECT item FROM unnest(memory_ids) AS item WHERE NOT (item = ANY (CAST(:ids AS uuid[])))
    )
    WHERE tenant_id = :tenant AND memory_ids && CAST(:ids AS uuid[])
    """
)


def _delete_replies(connection: Connection, receipts: Sequence[ReceiptId]) -> int:
    if not receipts:
        return 0
    return _delete(connection, replies, replies.c.receipts.overlap(list(receipts)))


def _anonymise_ledger(connection: Connection, whose: Sequence[Owner]) -> int:
    """What was spent stays on the tenant's account, on nobody's name."""
    connection.execute(
        _ADD_TO_EVERYONE,
        {"tenants": [owner.tenant_id for owner in whose], "user": whose[0].user_id},
    )
    return _delete(connection, ledger, is_any(ledger, whose))


_ADD_TO_EVERYONE = text(
    """
    INSERT INTO ledger AS sums (tenant_id, user_id, day, model, purpose, calls, unpriced_calls,
        estimated_calls, prompt_tokens, completion_tokens, micros)
    SELECT tenant_id, '', day, model, purpose, calls, unpriced_calls, estimated_calls,
        prompt_tokens, completion_tokens, micros
    FROM ledger WHERE tenant_id = ANY (CAST(:tenants AS text[])) AND user_id = :user
    ON CONFLICT (tenant_id, user_id, day, model, purpose) DO UPDATE SET
        calls = sums.calls + excluded.calls,
        unpriced_calls = sums.unpriced_calls + excluded.unpriced_calls,
        estimated_calls = sums.estimated_calls + excluded.estimated_calls,
        prompt_tokens = sums.prompt_tokens + excluded.prompt_tokens,
        completion_tokens = sums.completion_tokens + excluded.completion_tokens,
        micros = sums.micros + excluded.micros
    """
)


def _is_of_tenant(tenant_id: str) -> ColumnElement[bool]:
    mine = select(generations.c.id).where(generations.c.tenant_id == tenant_id)
    return generation_users.c.generation.in_(mine)


def _delete(connection: Connection, table: Table, condition: ColumnElement[bool]) -> int:
    return connection.execute(delete(table).where(condition)).rowcount


def _count(connection: Connection, table: Table, condition: ColumnElement[bool]) -> int:
    statement: Any = select(func.count()).select_from(table).where(condition)
    return int(connection.execute(statement).scalar_one())
