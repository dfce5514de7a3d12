"""Stores that count what they have committed, and tell the trace whose work was taken up.

A write that is refused counts nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.adapters.postgres import (
    PostgresInbox,
    PostgresMemoryStore,
    PostgresOutbox,
    find_traces,
    find_traces_of_memories,
)
from workers.metrics import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime, timedelta

    from config.rates import RatePolicy
    from config.retrieval import PassagePolicy
    from pipelines.adapters.postgres import Database
    from pipelines.model import Fact, Owner, ReceiptId, Refusal, Transcript
    from pipelines.plan import Plan
    from pipelines.ports import Accepted, OwnerClaim, Projection, TranscriptClaim
    from workers.tracing import Tracer


class MeteredInbox(PostgresInbox):
    """``Inbox`` that counts what becomes of transcripts and facts."""

    def __init__(
        self, database: Database, backfill_wait: timedelta, rates: RatePolicy | None, tracer: Tracer
    ) -> None:
        super().__init__(database, backfill_wait, rates)
        self._tracer = tracer

    def accept(self, batch: Sequence[Transcript], now: datetime) -> list[Accepted]:
        own = self._tracer.take_up((item.traceparent for item in batch), is_first=True)
        if own is not None:
            batch = [replace(item, traceparent=item.traceparent or own) for item in batch]
        answers = super().accept(batch, now)
        for item, answer in zip(batch, answers, strict=True):
            if answer.receipt == item.id:
                catalogue.note_accepted(answer)
            else:
                catalogue.note_dead("idempotency_conflict")
        return answers

    def bury(
        self,
        owner: Owner,
        payload: str,
        reason: str,
        now: datetime,
        pushed_at: datetime | None = None,
    ) -> ReceiptId:
        receipt = super().bury(owner, payload, reason, now, pushed_at)
        catalogue.note_dead("unreadable")
        return receipt

    def claim_transcript(
        self, receipt: ReceiptId, now: datetime, lease: timedelta
    ) -> TranscriptClaim | None:
        claim = super().claim_transcript(receipt, now, lease)
        if claim is not None:
            self._note_claims([claim])
        return claim

    def claim_together(
        self,
        receipt: ReceiptId,
        choose: Callable[[Transcript, Sequence[Transcript]], Collection[Transcript]],
        now: datetime,
        lease: timedelta,
        limit: int,
    ) -> list[TranscriptClaim]:
        claims = super().claim_together(receipt, choose, now, lease, limit)
        self._note_claims(claims)
        return claims

    def commit_distilled(
        self,
        claim: TranscriptClaim,
        accepted: Sequence[Fact],
        refusals: Sequence[Refusal],
        now: datetime,
    ) -> None:
        super().commit_distilled(claim, accepted, refusals, now)
        catalogue.note_distilled(len(accepted), refusals)

    def postpone(
        self,
        claim: TranscriptClaim,
        due_at: datetime,
        error: str,
        *,
        is_alone: bool = False,
        is_counted: bool = True,
    ) -> None:
        super().postpone(claim, due_at, error, is_alone=is_alone, is_counted=is_counted)
        catalogue.note_transcript("postponed")

    def park(
        self,
        claim: TranscriptClaim,
        due_at: datetime,
        reason: str,
        now: datetime,
        *,
        whole_tenant: bool,
    ) -> None:
        super().park(claim, due_at, reason, now, whole_tenant=whole_tenant)
        catalogue.note_transcript("parked")

    def dead_letter(self, claim: TranscriptClaim, reason: str, error: str, now: datetime) -> None:
        super().dead_letter(claim, reason, error, now)
        catalogue.note_dead(reason)

    def _note_claims(self, claims: Sequence[TranscriptClaim]) -> None:
        self._tracer.take_up(claim.transcript.traceparent for claim in claims)
        if deaths := sum(claim.deaths > 0 for claim in claims):
            catalogue.note_recovery(catalogue.Recovery.LEASE, deaths)


class MeteredMemoryStore(PostgresMemoryStore):
    """``MemoryStore`` that counts what becomes of memories."""

    def __init__(self, database: Database, tracer: Tracer) -> None:
        super().__init__(database)
        self._tracer = tracer

    def claim_owner(self, owner: Owner, now: datetime, lease: timedelta) -> OwnerClaim | None:
        claim = super().claim_owner(owner, now, lease)
        if claim is not None and claim.deaths:
            catalogue.note_recovery(catalogue.Recovery.LEASE)
        return claim

    def pending_facts(self, owner: Owner, limit: int) -> list[Fact]:
        facts = super().pending_facts(owner, limit)
        if self._tracer.is_on and facts:
            receipts = {fact.transcript_id for fact in facts}
            self._tracer.take_up(find_traces(self._database, receipts))
        return facts

    def commit_plan(self, claim: OwnerClaim, plan: Plan, now: datetime) -> None:
        super().commit_plan(claim, plan, now)
        catalogue.note_plan(plan)


class TracedOutbox(PostgresOutbox):
    """``Outbox`` that tells the trace whose memories are taken up."""

    def __init__(self, database: Database, passages: PassagePolicy, tracer: Tracer) -> None:
        super().__init__(database, passages)
        self._tracer = tracer

    def take(self, limit: int, now: datetime, lease: timedelta) -> Projection:
        taken = super().take(limit, now, lease)
        if self._tracer.is_on and taken.tickets:
            memories = [ticket.memory_id for ticket in taken.tickets]
            self._tracer.take_up(find_traces_of_memories(self._database, memories))
        return taken
