"""The inbox in memory, under the same contract."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from operator import itemgetter
from typing import TYPE_CHECKING

from pipelines.errors import LeaseLost, NotFound
from pipelines.model import FactOutcome, Lane, ReceiptId, Transcript, TranscriptState, receipt_id
from pipelines.plan import Settlement
from pipelines.ports import Accepted, FactReport, Place, Status, TranscriptClaim
from pipelines.testing.tables import (
    WAITING_STATES,
    FactRow,
    InMemoryTables,
    OwnerRow,
    TranscriptRow,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime, timedelta

    from pipelines.model import Fact, Owner, Refusal


class InMemoryInbox(InMemoryTables):
    """``Inbox`` over shared rows."""

    __slots__ = ()

    def accept(self, transcripts: Sequence[Transcript], now: datetime) -> list[Accepted]:
        with self._lock:
            return [self._accept(item, now) for item in transcripts]

    def _accept(self, item: Transcript, now: datetime) -> Accepted:
        row = self._transcripts.get(item.id)
        if row is None:
            due_at = now + self.backfill_wait if item.lane is Lane.BACKFILL else now
            self._transcripts[item.id] = TranscriptRow(item, TranscriptState.QUEUED, due_at, now)
            self._line_up(now)
            return Accepted(item.id, is_duplicate=False)
        if row.transcript.content_hash == item.content_hash:
            return Accepted(item.id, is_duplicate=True)
        receipt = receipt_id(item.owner, f"{item.idempotency_key}/{item.content_hash}")
        self._bury_row(replace(item, id=receipt), "idempotency_key: used before", now)
        return Accepted(receipt, is_duplicate=False)

    def bury(
        self,
        owner: Owner,
        payload: str,
        reason: str,
        now: datetime,
        pushed_at: datetime | None = None,
    ) -> ReceiptId:
        digest = hashlib.sha256(payload.encode("utf-8", "replace")).hexdigest()
        key = f"unreadable/{digest}"
        receipt = receipt_id(owner, key)
        with self._lock:
            self._bury_row(
                Transcript(receipt, owner, "", now, (), key, digest),
                reason,
                now,
                payload,
                pushed_at,
            )
        return receipt

    def _bury_row(
        self,
        item: Transcript,
        reason: str,
        now: datetime,
        payload: str | None = None,
        pushed_at: datetime | None = None,
    ) -> None:
        row = TranscriptRow(
            item, TranscriptState.DEAD, now, pushed_at or now, reason=reason, finished_at=now
        )
        row.payload = payload
        self._transcripts.setdefault(item.id, row)

    def find_owner(self, receipt: ReceiptId) -> Owner | None:
        with self._lock:
            row = self._transcripts.get(receipt)
        return None if row is None else row.transcript.owner

    def find_in_line(
        self, lane: Lane, after_tenant: str, now: datetime, limit: int, *, with_suspects: bool
    ) -> list[Place]:
        with self._lock:
            rows = [row for row in self._transcripts.values() if row.transcript.lane is lane]
        free = [row for row in rows if row.is_claimable(now)]
        orphans = [row for row in free if row.state is TranscriptState.DISTILLING]
        if orphans and with_suspects:
            return [_place(row) for row in orphans[:limit]]
        lines: dict[str, list[tuple[datetime, TranscriptRow]]] = {}
        for row in free:
            is_in_line = row.state in WAITING_STATES and row.turn_at is not None
            if is_in_line and (with_suspects or not row.deaths):
                owner = row.transcript.owner
                lines.setdefault(owner.tenant_id, []).append((row.turn_at or now, row))
        behind = [tenant for tenant in lines if tenant > after_tenant]
        served = sorted(tenant for tenant in lines if tenant >= min(behind or lines))
        line = [each for tenant in served for each in sorted(lines[tenant], key=itemgetter(0))]
        return [_place(row) for _, row in line[:limit]]

    def claim_transcript(
        self, receipt: ReceiptId, now: datetime, lease: timedelta
    ) -> TranscriptClaim | None:
        with self._lock:
            row = self._transcripts.get(receipt)
            if row is None or not row.is_claimable(now):
                return None
            return row.lease(now + lease)

    def claim_together(
        self,
        receipt: ReceiptId,
        choose: Callable[[Transcript, Sequence[Transcript]], Collection[Transcript]],
        now: datetime,
        lease: timedelta,
        limit: int,
    ) -> list[TranscriptClaim]:
        with self._lock:
            lead = self.claim_transcript(receipt, now, lease)
            if lead is None or lead.is_alone:
                return [] if lead is None else [lead]
            rows = [row for row in self._transcripts.values() if _may_join(row, lead, now)]
            rows.sort(key=lambda row: (row.transcript.ended_at, row.transcript.id))
            shown = [row.transcript for row in rows[:limit]]
            chosen = {item.id for item in choose(lead.transcript, shown)}
            company = [row for row in rows if row.transcript.id in chosen]
            return [lead, *(row.lease(now + lease) for row in company)]

    def load_transcripts(self, owner: Owner, receipts: Collection[ReceiptId]) -> list[Transcript]:
        with self._lock:
            rows = [self._transcripts[key] for key in set(receipts) if key in self._transcripts]
        found = [row.transcript for row in rows if row.transcript.messages]
        return [item for item in found if item.owner == owner]

    def extend_lease(self, claim: TranscriptClaim, until: datetime) -> None:
        with self._lock:
            self._held(claim).lease_until = until

    def commit_distilled(
        self,
        claim: TranscriptClaim,
        facts: Sequence[Fact],
        refusals: Sequence[Refusal],
        now: datetime,
    ) -> None:
        with self._lock:
            row = self._leave_lease(claim)
            is_open = bool(facts) and claim.transcript.copy_of is None
            row.state = TranscriptState.DISTILLED if is_open else TranscriptState.DONE
            row.finished_at = None if is_open else now
            for fact in facts:
                self._facts[fact.id] = FactRow(fact, Settlement(FactOutcome.PENDING))
            self._refusals[claim.transcript.id] = [
                FactReport(
                    item.draft.statement,
                    item.draft.kind.value,
                    FactOutcome.REFUSED.value,
                    item.reason,
                    None,
                )
                for item in refusals
            ]
            self._mark_due(claim.transcript.owner, now)

    def postpone(
        self,
        claim: TranscriptClaim,
        due_at: datetime,
        error: str,
        *,
        is_alone: bool = False,
        is_counted: bool = True,
    ) -> None:
        with self._lock:
            row = self._leave_lease(claim)
            row.wait(TranscriptState.QUEUED, due_at)
            row.last_error = error
            row.is_alone |= is_alone
            row.attempts -= not is_counted

    def park(
        self,
        claim: TranscriptClaim,
        due_at: datetime,
        reason: str,
        now: datetime,
        *,
        whole_tenant: bool,
    ) -> None:
        owner, size = claim.transcript.owner, _size(claim.transcript)
        with self._lock:
            this = self._leave_lease(claim)
            this.attempts -= 1
            likes = [
                row
                for row in self._transcripts.values()
                if row.transcript.owner.tenant_id == owner.tenant_id
                and (whole_tenant or row.transcript.owner == owner)
                and row.state in WAITING_STATES
                and row.due_at <= now
                and _size(row.transcript) >= size
            ]
            for row in (this, *likes):
                row.wait(TranscriptState.PARKED, due_at)
                row.reason = reason

    def count_parked(self, tenant_id: str) -> dict[str, int]:
        result: dict[str, int] = {}
        with self._lock:
            for row in self._transcripts.values():
                owner = row.transcript.owner
                if row.state is TranscriptState.PARKED and owner.tenant_id == tenant_id:
                    result[owner.user_id] = result.get(owner.user_id, 0) + 1
        return result

    def dead_letter(self, claim: TranscriptClaim, reason: str, error: str, now: datetime) -> None:
        with self._lock:
            row = self._leave_lease(claim)
            row.state, row.finished_at = TranscriptState.DEAD, now
            row.reason, row.last_error = reason, error
            self._mark_due(claim.transcript.owner, now)

    def status(self, tenant_id: str, receipt: ReceiptId, user_id: str | None = None) -> Status:
        with self._lock:
            row = self._transcripts.get(receipt)
            if row is None or not _is_of(row, tenant_id, user_id):
                raise NotFound(f"no transcript has the receipt {receipt}")
            reports = self._reports(receipt)
            counts: dict[str, int] = {}
            for report in reports:
                counts[report.outcome] = counts.get(report.outcome, 0) + 1
            return Status(
                receipt=receipt,
                session_id=row.transcript.session_id,
                state=row.state,
                attempts=row.attempts,
                counts=counts,
                redactions=row.transcript.redactions,
                reason=row.reason,
                last_error=self._held_up_by(row) or row.last_error,
                received_at=row.received_at,
                finished_at=row.finished_at,
                facts=tuple(reports),
                due_at=row.due_at if row.state in WAITING_STATES else None,
            )

    def _held_up_by(self, row: TranscriptRow) -> str | None:
        if row.state is not TranscriptState.DISTILLED:
            return None
        return self._owners.get(row.transcript.owner, OwnerRow()).last_error

    def states(
        self, tenant_id: str, receipts: Collection[ReceiptId], user_id: str | None = None
    ) -> dict[str, int]:
        result: dict[str, int] = {}
        with self._lock:
            for receipt in set(receipts):
                row = self._transcripts.get(receipt)
                is_known = row is not None and _is_of(row, tenant_id, user_id)
                name = row.shown_state if row is not None and is_known else "unknown"
                result[name] = result.get(name, 0) + 1
        return result

    def _leave_lease(self, claim: TranscriptClaim) -> TranscriptRow:
        row = self._held(claim)
        row.lease_until = None
        return row

    def _held(self, claim: TranscriptClaim) -> TranscriptRow:
        row = self._transcripts[claim.transcript.id]
        if row.fence != claim.fence or row.state is not TranscriptState.DISTILLING:
            raise LeaseLost(f"transcript {claim.transcript.id}: fence has moved on")
        return row

    def _reports(self, receipt: ReceiptId) -> list[FactReport]:
        rows = [row for row in self._facts.values() if row.fact.transcript_id == receipt]
        rows.sort(key=lambda row: row.fact.ordinal)
        return [row.report() for row in rows] + self._refusals.get(receipt, [])


def _may_join(row: TranscriptRow, lead: TranscriptClaim, now: datetime) -> bool:
    is_other = row.transcript.id != lead.transcript.id
    is_waiting = row.state in WAITING_STATES and not row.is_alone and row.is_claimable(now)
    is_like = row.transcript.lane is lead.transcript.lane
    return is_other and is_waiting and is_like and row.transcript.owner == lead.transcript.owner


def _place(row: TranscriptRow) -> Place:
    return Place(row.transcript.id, row.transcript.owner)


def _is_of(row: TranscriptRow, tenant_id: str, user_id: str | None) -> bool:
    owner = row.transcript.owner
    return owner.tenant_id == tenant_id and user_id in {None, owner.user_id}


def _size(transcript: Transcript) -> int:
    return sum(len(message.content) for message in transcript.messages)
