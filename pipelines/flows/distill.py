"""Distilling: a leased transcript becomes grounded facts, or waits, or is a dead letter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import (
    BadReply,
    DependencyUnavailable,
    LeaseLost,
    ModelRefused,
    StoreRefused,
)
from pipelines.outcome import Done, Outcome, Skipped, Snoozed
from pipelines.stages.fence import strip_fenced
from pipelines.stages.ground import ground

if TYPE_CHECKING:
    from pipelines.model import ReceiptId, Transcript
    from pipelines.ports import Clock, Distiller, Inbox, TranscriptClaim, Waker

log = structlog.get_logger(__name__)

# Given an error and the number of the attempt: when to try again, or None for a dead letter.
Judge = Callable[[Exception, int], timedelta | None]


@dataclass(frozen=True, slots=True)
class Distill:
    """Distills one transcript."""

    inbox: Inbox
    distiller: Distiller
    waker: Waker
    clock: Clock
    lease: timedelta
    max_attempts: int
    judge: Judge

    def run(self, receipt: ReceiptId) -> Outcome:
        """Distill if it is due; whatever happens, the row says what."""
        claim = self.inbox.claim_transcript(receipt, self.clock.now(), self.lease)
        if claim is None:
            return Skipped("not due, or held by another worker")
        if claim.attempt > self.max_attempts:
            return self._bury(claim, "attempts_exhausted", "its worker died or lost its lease")
        try:
            return self._distill(claim)
        except LeaseLost as error:
            log.warning("lease_lost", receipt=str(receipt))
            return Skipped(str(error))
        except (BadReply, DependencyUnavailable, ModelRefused, StoreRefused) as error:
            return self._give_back(claim, error)

    def _distill(self, claim: TranscriptClaim) -> Outcome:
        transcript = claim.transcript
        drafts = self.distiller.distill(
            without_recalled(transcript), lambda: self._keep_alive(claim)
        )
        facts, refusals = ground(drafts, transcript, self.distiller.version)
        self.inbox.commit_distilled(claim, facts, refusals, self.clock.now())
        self.waker.wake_consolidate([transcript.owner])
        counts = {"facts": len(facts), "refused": len(refusals)}
        log.info("transcript_distilled", receipt=str(transcript.id), **counts)
        return Done(counts)

    def _keep_alive(self, claim: TranscriptClaim) -> None:
        self.inbox.extend_lease(claim, self.clock.now() + self.lease)

    def _give_back(self, claim: TranscriptClaim, error: Exception) -> Outcome:
        delay = self.judge(error, claim.attempt)
        text = f"{type(error).__name__}: {error}"
        if delay is None:
            return self._bury(claim, type(error).__name__, text)
        self.inbox.postpone(claim, self.clock.now() + delay, text)
        log.warning("transcript_postponed", receipt=str(claim.transcript.id), error=text)
        return Snoozed(delay, text)

    def _bury(self, claim: TranscriptClaim, reason: str, error: str) -> Outcome:
        self.inbox.dead_letter(claim, reason, error, self.clock.now())
        self.waker.wake_consolidate([claim.transcript.owner])
        log.error("transcript_dead", receipt=str(claim.transcript.id), reason=reason)
        return Done({"dead": 1})


def without_recalled(transcript: Transcript) -> Transcript:
    """The transcript without what recall had put into its prompts: that is no evidence."""
    return replace(
        transcript,
        messages=tuple(
            replace(message, content=strip_fenced(message.content))
            for message in transcript.messages
        ),
    )
