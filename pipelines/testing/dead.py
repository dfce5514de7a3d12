"""Dead letters in memory, under the same contract; without generations."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipelines.errors import NotFound
from pipelines.model import ReceiptId, TranscriptState
from pipelines.ports import DeadFilter, DeadLetter, StoredReply
from pipelines.testing.models import InMemoryReplies
from pipelines.testing.tables import OPEN_STATES, WAITING_STATES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pipelines.ports.dead import Cursor
    from pipelines.testing.stores import InMemoryStores
    from pipelines.testing.tables import TranscriptRow

_ON_THE_ROAD = OPEN_STATES | WAITING_STATES


@dataclass(frozen=True, slots=True)
class InMemoryDeadLetters:
    """``DeadLetters`` over the rows of other stores."""

    stores: InMemoryStores
    replies: InMemoryReplies = field(default_factory=InMemoryReplies)

    def list_dead(
        self,
        tenant_id: str,
        wanted: DeadFilter,
        after: Cursor | None,
        limit: int,
        *,
        oldest_first: bool = False,
    ) -> list[DeadLetter]:
        letters = [
            _read_letter(row)
            for row in self.stores.rows()
            if row.state is TranscriptState.DEAD and row.transcript.owner.tenant_id == tenant_id
        ]
        fit = [] if wanted.is_shadow else [it for it in letters if _fits(it, wanted)]
        fit.sort(key=lambda letter: letter.cursor, reverse=not oldest_first)
        if after is not None:
            fit = [it for it in fit if (it.cursor > after if oldest_first else it.cursor < after)]
        return fit[:limit]

    def load_dead(self, tenant_id: str, receipt: ReceiptId) -> DeadLetter:
        found = self.list_dead(tenant_id, DeadFilter((receipt,), is_shadow=None), None, 1)
        if not found:
            raise NotFound(f"no dead letter has the receipt {receipt}")
        return found[0]

    def load_payload(self, letter: DeadLetter) -> str | None:
        return self.stores.row(letter.receipt).payload

    def list_replies(self, letter: DeadLetter) -> list[StoredReply]:
        return [
            StoredReply(
                paid.purpose.value, reply.model, reply.text, datetime.now(UTC), paid.receipts
            )
            for key, reply in self.replies.replies.items()
            if letter.receipt in (paid := self.replies.paid_for[key]).receipts
        ]

    def requeue(
        self, letters: Sequence[DeadLetter], now: datetime, *, is_fresh: bool, is_dry: bool = False
    ) -> set[ReceiptId]:
        rows = [row for row in self._dead(letters) if row.payload is None]
        receipts = {row.transcript.id for row in rows}
        if is_fresh and not is_dry:
            self._forget(receipts, keep_awaited=True)
        for row in [] if is_dry else rows:
            row.wait(TranscriptState.QUEUED, now)
            row.attempts, row.deaths, row.reason, row.finished_at = 0, 0, None, None
        self.stores.line_up(now, len(rows))
        return receipts

    def drop(self, letters: Sequence[DeadLetter], *, is_dry: bool = False) -> set[ReceiptId]:
        receipts = {row.transcript.id for row in self._dead(letters)}
        if not is_dry:
            self._forget(receipts, keep_awaited=False)
            for receipt in receipts:
                self.stores.delete_row(receipt)
        return receipts

    def correct(self, letter: DeadLetter, reason: str) -> None:
        for row in self._dead([letter]):
            row.reason = reason

    def _dead(self, letters: Sequence[DeadLetter]) -> list[TranscriptRow]:
        named = {letter.receipt for letter in letters}
        rows = [row for row in self.stores.rows() if row.transcript.id in named]
        return [row for row in rows if row.state is TranscriptState.DEAD]

    def _forget(self, receipts: Collection[ReceiptId], *, keep_awaited: bool) -> None:
        awaited = {row.transcript.id for row in self.stores.rows() if row.state in _ON_THE_ROAD}
        for key, paid in tuple(self.replies.paid_for.items()):
            others = set(paid.receipts) - set(receipts)
            is_kept = keep_awaited and others & awaited
            if len(others) < len(paid.receipts) and not is_kept:
                del self.replies.replies[key], self.replies.paid_for[key]


def _fits(letter: DeadLetter, wanted: DeadFilter) -> bool:
    return all(
        (
            wanted.receipts is None or letter.receipt in wanted.receipts,
            (wanted.reason or "").lower() in letter.reason.lower(),
            wanted.error is None or wanted.error.lower() in (letter.last_error or "").lower(),
            wanted.user_id in {None, letter.owner.user_id},
            wanted.session_id in {None, letter.session_id},
            wanted.since is None or letter.died_at >= wanted.since,
            wanted.until is None or letter.died_at <= wanted.until,
        )
    )


def _read_letter(row: TranscriptRow) -> DeadLetter:
    item = row.transcript
    return DeadLetter(
        receipt=item.id,
        owner=item.owner,
        session_id=item.session_id,
        lane=item.lane,
        reason=row.reason or "",
        last_error=row.last_error,
        attempts=row.attempts,
        deaths=row.deaths,
        received_at=row.received_at,
        died_at=row.finished_at or row.received_at,
        is_readable=row.payload is None,
        copy_of=item.copy_of,
    )
