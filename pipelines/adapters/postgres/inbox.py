"""The durable inbox: accepted transcripts, their leases, facts and final states."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.database import in_one_go
from pipelines.adapters.postgres.due import mark_due
from pipelines.adapters.postgres.inbox_rows import (
    ACCEPTED_COLUMNS,
    dead_row,
    fact_rows,
    transcript_row,
    unreadable_body,
)
from pipelines.adapters.postgres.leases import (
    lease_all,
    lease_one,
    leave_lease,
    load_texts,
    lock_short_waiting,
    update_held,
)
from pipelines.adapters.postgres.line import find_in_line, find_orphans, give_turns
from pipelines.adapters.postgres.old_sessions import find_hashes
from pipelines.adapters.postgres.parking import (
    count_parked,
    count_states,
    park_likes,
)
from pipelines.adapters.postgres.rates import hold_back
from pipelines.adapters.postgres.rowsets import as_document, insert_rows
from pipelines.adapters.postgres.status import read_status
from pipelines.adapters.postgres.tables import facts, transcripts
from pipelines.adapters.postgres.tombstones import find_erased, is_erased
from pipelines.model import (
    Lane,
    Owner,
    ReceiptId,
    Transcript,
    TranscriptState,
    receipt_id,
)
from pipelines.ports import Accepted

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from config.rates import RatePolicy
    from pipelines.adapters.postgres.database import Database
    from pipelines.model import Fact, Refusal
    from pipelines.ports import Place, Status, TranscriptClaim


class PostgresInbox:
    """``Inbox`` on PostgreSQL.

    Args:
        database: Where the transcripts are.
        backfill_wait: Backfill is first due so much later: until then it can be put in a batch.
        rates: How many of a tenant's are taken up in a minute; None is as many as come.
    """

    def __init__(
        self,
        database: Database,
        backfill_wait: timedelta = timedelta(),
        rates: RatePolicy | None = None,
    ) -> None:
        self._database = database
        self._backfill_wait = backfill_wait
        self._rates = rates

    def accept(self, batch: Sequence[Transcript], now: datetime) -> list[Accepted]:
        with self._database.transaction() as connection:
            erased = find_erased(connection, batch)
            kept = [item for item in batch if item.id not in erased]
            fresh, hashes = _store(connection, kept, now, self._backfill_wait)
            if self._rates is not None:
                hold_back(connection, _each(kept, fresh), self._rates, now)
            return [
                Accepted(item.id, is_duplicate=False, is_erased=True)
                if item.id in erased
                else _answer(connection, item, fresh, hashes, now)
                for item in batch
            ]

    def bury(
        self,
        owner: Owner,
        payload: str,
        reason: str,
        now: datetime,
        pushed_at: datetime | None = None,
    ) -> ReceiptId:
        digest = hashlib.sha256(payload.encode("utf-8", "replace")).hexdigest()
        receipt = receipt_id(owner, f"unreadable/{digest}")
        row = {
            **dead_row(owner, receipt, reason, now),
            "idempotency_key": f"unreadable/{digest}",
            "content_hash": digest,
            "body": unreadable_body(payload),
            # Replayed, it is as old as its entry: whoever was erased since stays erased.
            "received_at": pushed_at or now,
        }
        with self._database.transaction(owner.tenant_id) as connection:
            if pushed_at is None or not is_erased(connection, owner, pushed_at):
                connection.execute(upsert(transcripts).on_conflict_do_nothing(), row)
        return receipt

    def find_owner(self, receipt: ReceiptId) -> Owner | None:
        statement = select(transcripts.c.tenant_id, transcripts.c.user_id).where(
            transcripts.c.receipt == receipt
        )
        with self._database.transaction() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else Owner(*row)

    def find_in_line(
        self, lane: Lane, after_tenant: str, now: datetime, limit: int, *, with_suspects: bool
    ) -> list[Place]:
        with self._database.transaction() as connection:
            orphans = find_orphans(connection, lane, now, limit) if with_suspects else []
            return orphans or find_in_line(
                connection, lane, after_tenant, now, limit, with_suspects=with_suspects
            )

    def claim_transcript(
        self, receipt: ReceiptId, now: datetime, lease: timedelta
    ) -> TranscriptClaim | None:
        with self._database.transaction() as connection:
            return lease_one(connection, receipt, now, lease)

    def claim_together(
        self,
        receipt: ReceiptId,
        choose: Callable[[Transcript, Sequence[Transcript]], Collection[Transcript]],
        now: datetime,
        lease: timedelta,
        limit: int,
    ) -> list[TranscriptClaim]:
        with self._database.transaction() as connection:
            lead = lease_one(connection, receipt, now, lease)
            if lead is None or lead.is_alone:
                return [] if lead is None else [lead]
            waiting = lock_short_waiting(connection, lead.transcript, now, limit)
            chosen = {item.id for item in choose(lead.transcript, waiting)} if waiting else set()
            taken = [item.id for item in waiting if item.id in chosen]
            return [lead, *lease_all(connection, taken, now, lease)]

    def load_transcripts(self, owner: Owner, receipts: Collection[ReceiptId]) -> list[Transcript]:
        # The text of a generation's copy is the live tenant's.
        with self._database.transaction() as connection:
            return load_texts(connection, owner, receipts)

    def extend_lease(self, claim: TranscriptClaim, until: datetime) -> None:
        with self._database.transaction(claim.transcript.owner.tenant_id) as connection:
            update_held(connection, claim, lease_until=until)

    def commit_distilled(
        self,
        claim: TranscriptClaim,
        accepted: Sequence[Fact],
        refusals: Sequence[Refusal],
        now: datetime,
    ) -> None:
        rows = fact_rows(claim.transcript, accepted, refusals)
        with self._database.transaction(claim.transcript.owner.tenant_id) as connection:
            leave_lease(connection, claim, **_after_distilling(claim, accepted, now))
            with in_one_go(connection):
                if rows:
                    connection.execute(_INSERT_FACTS, as_document(rows))
                mark_due(connection, claim.transcript.owner, now)

    def postpone(
        self,
        claim: TranscriptClaim,
        due_at: datetime,
        error: str,
        *,
        is_alone: bool = False,
        is_counted: bool = True,
    ) -> None:
        with self._database.transaction(claim.transcript.owner.tenant_id) as connection:
            leave_lease(
                connection,
                claim,
                state=TranscriptState.QUEUED.value,
                attempts=transcripts.c.attempts - (0 if is_counted else 1),
                due_at=due_at,
                turn_at=None,
                last_error=error,
                alone=claim.is_alone or is_alone,
            )

    def park(
        self,
        claim: TranscriptClaim,
        due_at: datetime,
        reason: str,
        now: datetime,
        *,
        whole_tenant: bool,
    ) -> None:
        with self._database.transaction(claim.transcript.owner.tenant_id) as connection:
            leave_lease(
                connection,
                claim,
                state=TranscriptState.PARKED.value,
                attempts=transcripts.c.attempts - 1,
                due_at=due_at,
                turn_at=None,
                reason=reason,
            )
            park_likes(connection, claim.transcript, due_at, reason, now, whole_tenant=whole_tenant)

    def count_parked(self, tenant_id: str) -> dict[str, int]:
        with self._database.transaction(tenant_id) as connection:
            return count_parked(connection, tenant_id)

    def dead_letter(self, claim: TranscriptClaim, reason: str, error: str, now: datetime) -> None:
        with self._database.transaction(claim.transcript.owner.tenant_id) as connection:
            leave_lease(
                connection,
                claim,
                state=TranscriptState.DEAD.value,
                reason=reason,
                last_error=error,
                finished_at=now,
            )
            # Later sessions of this user may have waited for this one.
            mark_due(connection, claim.transcript.owner, now)

    def status(self, tenant_id: str, receipt: ReceiptId, user_id: str | None = None) -> Status:
        with self._database.transaction(tenant_id) as connection:
            return read_status(connection, tenant_id, receipt, user_id)

    def states(
        self, tenant_id: str, receipts: Collection[ReceiptId], user_id: str | None = None
    ) -> dict[str, int]:
        with self._database.transaction(tenant_id) as connection:
            found = count_states(connection, tenant_id, receipts, user_id)
        unknown = len(set(receipts)) - sum(found.values())
        return found | ({"unknown": unknown} if unknown else {})


def _store(
    connection: Connection, batch: Sequence[Transcript], now: datetime, backfill_wait: timedelta
) -> tuple[set[uuid.UUID], dict[Any, str]]:
    """Insert what is new; gives which that was, and the hash of what is stored of each.

    One that is stored already may be erased or dropped before it is looked at: then it is new.
    """
    fresh: set[uuid.UUID] = set()
    hashes: dict[Any, str] = {}
    left = list(batch)
    while left:
        fresh |= _insert_new(connection, left, now, backfill_wait)
        archived = _take_back_archived(connection, left, fresh)
        fresh -= archived.keys()
        hashes |= archived
        hashes |= _stored_hashes(connection, [item.id for item in left])
        left = [item for item in left if item.id not in hashes]
    return fresh, hashes


def _insert_new(
    connection: Connection, batch: Sequence[Transcript], now: datetime, backfill_wait: timedelta
) -> set[uuid.UUID]:
    rows = {item.id: transcript_row(item, now) for item in reversed(batch)}
    if not rows:
        return set()
    due_at = {Lane.INTERACTIVE.value: now, Lane.BACKFILL.value: now + backfill_wait}
    for row in rows.values():
        row["due_at"] = due_at[row["lane"]]
    give_turns(connection, [rows[key] for key in dict.fromkeys(item.id for item in batch)], now)
    # Sorted, so that two batches which share receipts lock them in the same order.
    ordered = [rows[key] for key in sorted(rows)]
    return set(connection.execute(_ACCEPT, as_document(ordered)).scalars())


def _take_back_archived(
    connection: Connection, batch: Sequence[Transcript], fresh: Collection[uuid.UUID]
) -> dict[Any, str]:
    """What was pushed, done and archived before is not new; gives the hashes of what it was.

    Looked for behind the insertion, which waits for whoever is archiving it.
    """
    archived = find_hashes(connection, [item.id for item in batch])
    again = [key for key in archived if key in fresh]
    if again:
        connection.execute(delete(transcripts).where(transcripts.c.receipt.in_(again)))
    return archived


def _each(batch: Sequence[Transcript], fresh: Collection[uuid.UUID]) -> list[Transcript]:
    """Each of the fresh ones once, in the order of the batch."""
    return list({item.id: item for item in batch if item.id in fresh}.values())


def _stored_hashes(connection: Connection, receipts: Sequence[ReceiptId]) -> dict[Any, str]:
    statement = select(transcripts.c.receipt, transcripts.c.content_hash).where(
        transcripts.c.receipt.in_(receipts)
    )
    return {row[0]: row[1] for row in connection.execute(statement)}


def _answer(
    connection: Connection,
    item: Transcript,
    fresh: set[uuid.UUID],
    hashes: Mapping[Any, str],
    now: datetime,
) -> Accepted:
    if hashes[item.id] != item.content_hash:
        return Accepted(_file_conflict(connection, item, now), is_duplicate=False)
    is_duplicate = item.id not in fresh
    fresh.discard(item.id)
    return Accepted(item.id, is_duplicate)


def _file_conflict(connection: Connection, item: Transcript, now: datetime) -> ReceiptId:
    key = f"{item.idempotency_key}/{item.content_hash}"
    receipt = receipt_id(item.owner, key)
    reason = (
        "idempotency_key: already used for a transcript with other content; "
        "push this one under a key of its own"
    )
    row = transcript_row(item, now) | {
        "receipt": receipt,
        "idempotency_key": key,
        "state": TranscriptState.DEAD.value,
        "reason": reason,
        "finished_at": now,
    }
    connection.execute(upsert(transcripts).on_conflict_do_nothing(), row)
    return receipt


def _after_distilling(
    claim: TranscriptClaim, accepted: Sequence[Fact], now: datetime
) -> dict[str, Any]:
    # The facts of a copy rest on its original: nothing of its own is left to be settled.
    if accepted and claim.transcript.copy_of is None:
        return {"state": TranscriptState.DISTILLED.value}
    return {"state": TranscriptState.DONE.value, "finished_at": now}


# ---- statements, made once: each batch and each transcript executes them -------------------------

_ACCEPT = (
    insert_rows(transcripts, *ACCEPTED_COLUMNS)
    .on_conflict_do_nothing()
    .returning(transcripts.c.receipt)
)
_INSERT_FACTS = insert_rows(facts, *facts.c.keys())
