"""Intake: clean, commit to the inbox, wake a distiller."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from config.policy import PersonalDataPolicy
from pipelines.flows.turns import WOKEN_AT_ONCE
from pipelines.model import Lane, Owner
from pipelines.stages.redaction.clean import clean_payload, clean_transcript
from pipelines.stages.redaction.redact import redact, redact_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pipelines.model import ReceiptId, Transcript
    from pipelines.ports import Accepted, Clock, Inbox, Waker

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ingest:
    """Accepts transcripts: when ``run`` returns, they are committed.

    Neither secrets nor what the tenant's policy masks or drops ever reaches the inbox.
    """

    inbox: Inbox
    waker: Waker
    clock: Clock
    personal_data: PersonalDataPolicy = field(default_factory=PersonalDataPolicy)
    wakes_backfill: bool = True

    def run(self, transcripts: Sequence[Transcript]) -> list[Accepted]:
        """Accept a batch; one answer each, in order."""
        cleaned = [clean_transcript(item, self.personal_data) for item in transcripts]
        answers = self.inbox.accept(cleaned, self.clock.now())
        fresh = [
            item
            for item, answer in zip(transcripts, answers, strict=True)
            if not (answer.is_duplicate or answer.is_erased) and answer.receipt == item.id
        ]
        self._wake(fresh)
        log.info("transcripts_accepted", fresh=len(fresh), duplicate=len(answers) - len(fresh))
        return answers

    def _wake(self, fresh: Sequence[Transcript]) -> None:
        """Wake a few, who see how many stand in line.

        Without wake-ups of its own, backfill waits for a batch, or for the sweep in the end.
        """
        live = [item.id for item in fresh if item.lane is Lane.INTERACTIVE]
        self.waker.wake_distill(live[:WOKEN_AT_ONCE])
        backfill = [item.id for item in fresh if item.lane is Lane.BACKFILL]
        if self.wakes_backfill and backfill:
            self.waker.wake_distill(backfill[:WOKEN_AT_ONCE], Lane.BACKFILL)

    def refuse(
        self, owner: Owner, payload: str, reason: str, pushed_at: datetime | None = None
    ) -> ReceiptId:
        """File something unreadable as a dead letter, so that it can be seen and replayed."""
        kept = clean_payload(payload, reason, owner.tenant_id, self.personal_data)
        named = Owner(*map(_redact_name, owner.names))
        receipt = self.inbox.bury(named, kept.payload, kept.reason, self.clock.now(), pushed_at)
        log.warning("transcript_refused", receipt=str(receipt), reason=kept.reason)
        return receipt


def _redact_name(name: str) -> str:
    """What nobody has checked can be anything, as long as it is more than one word."""
    return (redact_id if name.isalnum() else redact)(name).text
