"""Intake: redact, commit to the inbox, wake a distiller."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import structlog

from pipelines.stages.redact import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.model import Message, Owner, ReceiptId, Transcript
    from pipelines.ports import Accepted, Clock, Inbox, Waker

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ingest:
    """Accepts transcripts: when ``run`` returns, they are committed."""

    inbox: Inbox
    waker: Waker
    clock: Clock

    def run(self, transcripts: Sequence[Transcript]) -> list[Accepted]:
        """Accept a batch; one answer each, in order. Secrets never reach the inbox."""
        answers = self.inbox.accept([_redacted(item) for item in transcripts], self.clock.now())
        fresh = [
            answer.receipt
            for item, answer in zip(transcripts, answers, strict=True)
            if not answer.is_duplicate and answer.receipt == item.id
        ]
        self.waker.wake_distill(fresh)
        log.info("transcripts_accepted", fresh=len(fresh), duplicate=len(answers) - len(fresh))
        return answers

    def refuse(self, owner: Owner, payload: str, reason: str) -> ReceiptId:
        """File something unreadable as a dead letter, so that it can be seen and replayed."""
        receipt = self.inbox.bury(owner, redact(payload).text, reason, self.clock.now())
        log.warning("transcript_refused", receipt=str(receipt), reason=reason)
        return receipt


def _redacted(transcript: Transcript) -> Transcript:
    found: Counter[str] = Counter()
    messages = tuple(_redact_message(message, found) for message in transcript.messages)
    metadata = _redact_value(transcript.metadata, found)
    return replace(transcript, messages=messages, metadata=metadata, redactions=dict(found))


def _redact_value(value: Any, found: Counter[str]) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {key: _redact_value(item, found) for key, item in value.items()}
    if isinstance(value, list):
        return [_redact_value(item, found) for item in value]
    if not isinstance(value, str):
        return value
    result = redact(value)
    found.update(result.counts)
    return result.text


def _redact_message(message: Message, found: Counter[str]) -> Message:
    result = redact(message.content)
    found.update(result.counts)
    return replace(message, content=result.text)
