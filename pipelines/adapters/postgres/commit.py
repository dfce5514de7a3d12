"""Committing a plan: memories, evidence, events, outbox and settlements in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ARRAY,
    UUID,
    Connection,
    any_,
    bindparam,
    delete,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import Insert as PgInsert
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.arrays import is_found, is_named
from pipelines.adapters.postgres.database import in_one_go
from pipelines.adapters.postgres.events import event_rows
from pipelines.adapters.postgres.rows import evidence_row, memory_row, quote_key
from pipelines.adapters.postgres.rowsets import as_document, insert_rows
from pipelines.adapters.postgres.tables import (
    events,
    evidence,
    facts,
    memories,
    outbox,
    owners,
    reviews,
    transcripts,
)
from pipelines.adapters.postgres.use_rows import add_uses
from pipelines.errors import LeaseLost, VersionConflict
from pipelines.model import FactOutcome, Memory, MemoryId, TranscriptState
from pipelines.plan import (
    Demote,
    Insert,
    Promote,
    Recount,
    Refile,
    Reinforce,
    Restore,
    Supersede,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Update

    from pipelines.model import Evidence, FactId, Owner
    from pipelines.plan import Change, Plan, Settlement
    from pipelines.ports import OwnerClaim


def write_plan(connection: Connection, claim: OwnerClaim, plan: Plan, now: datetime) -> None:
    """Write all that a plan wants.

    Raises:
        LeaseLost: The fence has moved on.
        VersionConflict: A memory changed since it was read.
    """
    check_claim(connection, claim)
    _write_memories(connection, plan, now)
    words = _release_evidence(connection, plan)
    with in_one_go(connection):
        _write_evidence(connection, plan, words)
        _count_corroboration(connection, plan, now)
        _write_events(connection, plan, now)
        _fill_outbox(connection, plan, now)
        _settle_facts(connection, plan.settled)
        _note_reviews(connection, claim.owner, plan, now)
        _finish_transcripts(connection, list(plan.settled), now)


def check_claim(connection: Connection, claim: OwnerClaim) -> None:
    """Make sure that a user is still leased to whoever writes.

    Raises:
        LeaseLost: The fence has moved on.
    """
    # Locked until the commit: facts that arrive meanwhile mark the user due after it.
    values = {"of_tenant": claim.owner.tenant_id, "of_user": claim.owner.user_id}
    fence = connection.execute(_LOCK_OWNER, values).scalar_one_or_none()
    if fence != claim.fence:
        raise LeaseLost(f"user lease: fence {claim.fence} has moved on to {fence}")


def _write_memories(connection: Connection, plan: Plan, now: datetime) -> None:
    states = plan.final_states()
    fresh = [
        memory_row(memory, now) for key, memory in states.items() if key not in plan.read_versions
    ]
    if fresh:
        written = connection.execute(_INSERT_MEMORIES, as_document(fresh)).scalars().all()
        if len(written) != len(fresh):
            raise VersionConflict("a memory that should be new exists already")
    for key, version in plan.read_versions.items():
        if key in states:
            _update_memory(connection, states[key], version, now)


def _update_memory(connection: Connection, memory: Memory, version: int, now: datetime) -> None:
    row = memory_row(memory, now)
    read = {
        "read_id": row.pop("id"),
        "read_version": version,
        "of_tenant": memory.owner.tenant_id,
        "of_user": memory.owner.user_id,
    }
    if connection.execute(_UPDATE_MEMORY, row | read).rowcount != 1:
        raise VersionConflict(f"memory {memory.id}: version {version} has moved on")


def _release_evidence(connection: Connection, plan: Plan) -> dict[tuple[Any, ...], str]:
    """Delete what moves; gives the words that it was found by, to be taken along."""
    words: dict[tuple[Any, ...], str] = {}
    for change in plan.changes:
        if isinstance(change, Refile | Restore | Recount) and change.released:
            words |= _delete_evidence(connection, change.memory.id, change.released)
    return words


def _write_evidence(
    connection: Connection, plan: Plan, words: Mapping[tuple[Any, ...], str]
) -> None:
    rows = [
        evidence_row(change.memory.id, item) | {"words": words.get(_key_of(item))}
        for change in plan.changes
        for item in _added_evidence(change)
    ]
    if rows:
        connection.execute(_INSERT_EVIDENCE, as_document(rows))


def _count_corroboration(connection: Connection, plan: Plan, now: datetime) -> None:
    """A memory that was said again was used."""
    said_again = {change.memory.id for change in plan.changes if isinstance(change, Reinforce)}
    if keys := sorted(said_again):
        add_uses(connection, keys, [1] * len(keys), [now] * len(keys))


def _added_evidence(change: Change) -> tuple[Evidence, ...]:
    match change:
        case Insert():
            return change.memory.evidence
        case Reinforce() | Refile() | Restore() | Recount() | Supersede():
            return change.added
        case Promote() | Demote():
            return ()


def _delete_evidence(
    connection: Connection, memory_id: MemoryId, released: Sequence[Evidence]
) -> dict[tuple[Any, ...], str]:
    """Delete evidence; gives the words of each piece that has lost its transcript's text."""
    key = (evidence.c.receipt, evidence.c.message_index, evidence.c.quote_key)
    statement = (
        delete(evidence)
        .where(evidence.c.memory_id == memory_id, tuple_(*key).in_(map(_key_of, released)))
        .returning(*key, evidence.c.words)
    )
    rows = connection.execute(statement)
    return {tuple(row[:3]): row.words for row in rows if row.words is not None}


def _key_of(item: Evidence) -> tuple[Any, ...]:
    return (item.transcript_id, item.message_index, quote_key(item))


def _write_events(connection: Connection, plan: Plan, now: datetime) -> None:
    rows = event_rows(plan, now)
    if rows:
        connection.execute(_INSERT_EVENTS, as_document(rows))


def _fill_outbox(connection: Connection, plan: Plan, now: datetime) -> None:
    rows = [
        {
            "memory_id": memory.id,
            "tenant_id": memory.owner.tenant_id,
            "user_id": memory.owner.user_id,
            "enqueued_at": now,
            "due_at": now,
        }
        for memory in sorted(plan.final_states().values(), key=lambda memory: memory.id)
    ]
    if rows:
        connection.execute(_FILL_OUTBOX, as_document(rows))


def waits_anew(statement: PgInsert) -> dict[str, Any]:
    """What a further change makes of a row of the outbox; whoever projects it holds it still."""
    return {
        "enqueued_at": statement.excluded.enqueued_at,
        "due_at": statement.excluded.due_at,
        "change": outbox.c.change + 1,
        "attempts": 0,
        "last_error": None,
    }


def _note_reviews(connection: Connection, owner: Owner, plan: Plan, now: datetime) -> None:
    if plan.reviewed:
        connection.execute(
            delete(reviews).where(
                reviews.c.tenant_id == owner.tenant_id,
                reviews.c.user_id == owner.user_id,
                reviews.c.memory_id.in_(plan.reviewed),
            )
        )
    rows = [
        {
            "tenant_id": owner.tenant_id,
            "user_id": owner.user_id,
            "memory_id": key,
            "weight": weight,
            "since": now,
        }
        for key, weight in plan.opened.items()
    ]
    if rows:
        statement = upsert(reviews)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[reviews.c.tenant_id, reviews.c.user_id, reviews.c.memory_id],
                set_={"weight": reviews.c.weight + statement.excluded.weight},
            ),
            rows,
        )


def _settle_facts(connection: Connection, settled: Mapping[FactId, Settlement]) -> None:
    if settled:
        values = {
            "settled": list(settled),
            "outcomes": [settlement.outcome.value for settlement in settled.values()],
            "reasons": [settlement.reason for settlement in settled.values()],
            "became": [settlement.memory_id for settlement in settled.values()],
        }
        connection.execute(_SETTLE_FACTS, values)


def _finish_transcripts(connection: Connection, settled: Sequence[FactId], now: datetime) -> None:
    if settled:
        connection.execute(_FINISH, {"settled": list(settled), "finished_at": now})


# ---- statements, made once: each plan executes them ----------------------------------------------


def _make_fill_outbox() -> PgInsert:
    statement = insert_rows(outbox, "memory_id", "tenant_id", "user_id", "enqueued_at", "due_at")
    return statement.on_conflict_do_update(
        index_elements=[outbox.c.memory_id], set_=waits_anew(statement)
    )


def _make_finish() -> Update:
    settled = facts.c.id == any_(bindparam("settled", type_=ARRAY(UUID)))
    # Not EXISTS, which is a join, too.
    still_pending = (
        select(facts.c.id)
        .where(
            facts.c.receipt == transcripts.c.receipt,
            # A generation beside the live one has facts of the same transcript.
            facts.c.tenant_id == transcripts.c.tenant_id,
            is_named(facts.c.outcome, FactOutcome.PENDING.value),
        )
        .limit(1)
        .scalar_subquery()
    )
    return (
        update(transcripts)
        .where(
            is_found(transcripts.c.receipt, select(facts.c.receipt).where(settled)),
            is_named(transcripts.c.state, TranscriptState.DISTILLED.value),
            still_pending.is_(None),
        )
        .values(state=TranscriptState.DONE.value)
    )


_LOCK_OWNER = (
    select(owners.c.fence)
    .where(owners.c.tenant_id == bindparam("of_tenant"), owners.c.user_id == bindparam("of_user"))
    .with_for_update()
)
_INSERT_MEMORIES = (
    insert_rows(memories, *memories.c.keys()).on_conflict_do_nothing().returning(memories.c.id)
)
_UPDATE_MEMORY = update(memories).where(
    memories.c.id == bindparam("read_id"),
    memories.c.version == bindparam("read_version"),
    memories.c.tenant_id == bindparam("of_tenant"),
    memories.c.user_id == bindparam("of_user"),
)
_INSERT_EVIDENCE = insert_rows(evidence, *evidence.c.keys()).on_conflict_do_nothing()
_INSERT_EVENTS = insert_rows(
    events, "tenant_id", "user_id", "memory_id", "name", "schema_version", "body", "at"
)
_FILL_OUTBOX = _make_fill_outbox()
# Each value stands where the fact stands. A join could read all facts: docs/decisions/0035.
_SETTLE_FACTS = text(
    """
    UPDATE facts SET
        outcome = (CAST(:outcomes AS text[]))[array_position(CAST(:settled AS uuid[]), id)],
        reason = (CAST(:reasons AS text[]))[array_position(CAST(:settled AS uuid[]), id)],
        memory_id = (CAST(:became AS uuid[]))[array_position(CAST(:settled AS uuid[]), id)]
    WHERE id = ANY (CAST(:settled AS uuid[]))
    """
)
_FINISH = _make_finish()
