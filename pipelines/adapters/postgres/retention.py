"""What is deleted when its time is over, in bounded transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import any_, delete, exists, func, literal, select, text, update
from sqlalchemy.dialects.postgresql import JSONB

from pipelines.adapters.postgres.arrays import is_among
from pipelines.adapters.postgres.legal_holds import is_free
from pipelines.adapters.postgres.passages import keep_words
from pipelines.adapters.postgres.tables import (
    batch_items,
    batches,
    facts,
    old_receipts,
    replies,
    transcripts,
)
from pipelines.model import FactOutcome, TranscriptState
from pipelines.ports import BatchState

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Select, Table

    from config.retrieval import PassagePolicy
    from pipelines.adapters.postgres.database import Database

_DONE = TranscriptState.DONE.value
# By its receipt alone an erasure finds what is everyone's and cites a session.
_IS_NOT_EVERYONES = text(
    """
    old_receipts.receipt NOT IN (
        SELECT CAST(item ->> 'receipt' AS uuid)
        FROM owners JOIN events USING (tenant_id, user_id)
        CROSS JOIN LATERAL jsonb_array_elements(
            coalesce(body -> 'added', '[]') || coalesce(body -> 'released', '[]')
        ) AS item
        WHERE owners.user_id = ''
    )
    """
)


class PostgresRetention:
    """``RetentionStore`` on PostgreSQL."""

    def __init__(self, database: Database, passages: PassagePolicy) -> None:
        self._database = database
        self._passages = passages

    def strip_transcripts(self, before: datetime, limit: int) -> int:
        has_text = transcripts.c.body.has_key("messages")
        done = _expired(transcripts, transcripts.c.receipt).where(
            transcripts.c.state == _DONE,
            transcripts.c.finished_at < before,
            has_text,
            # A generation distills it again at this moment.
            ~_has_copy(transcripts.c.receipt, done=False),
        )
        with self._database.transaction() as connection:
            receipts = _lock(connection, done, limit)
            keep_words(connection, receipts, self._passages)
            connection.execute(
                update(transcripts)
                .where(is_among(transcripts.c.receipt, receipts))
                .values(body=_without_text())
            )
        return len(receipts)

    def delete_replies(self, before: datetime, limit: int) -> int:
        is_used = exists().where(
            transcripts.c.receipt == any_(replies.c.receipts),
            transcripts.c.state != _DONE,
        )
        expired = _expired(replies, replies.c.request_hash).where(
            replies.c.created_at < before, ~is_used
        )
        with self._database.transaction() as connection:
            keys = _lock(connection, expired, limit)
            connection.execute(delete(replies).where(replies.c.request_hash.in_(keys)))
        return len(keys)

    def delete_dead(self, before: datetime, limit: int) -> int:
        expired = _expired(transcripts, transcripts.c.receipt).where(
            transcripts.c.state == TranscriptState.DEAD.value,
            transcripts.c.finished_at < before,
            ~exists().where(facts.c.receipt == transcripts.c.receipt),
            ~_has_copy(transcripts.c.receipt),
        )
        with self._database.transaction() as connection:
            receipts = _lock(connection, expired, limit)
            connection.execute(delete(transcripts).where(is_among(transcripts.c.receipt, receipts)))
        return len(receipts)

    def delete_refused(self, before: datetime, limit: int) -> int:
        is_over = exists().where(
            transcripts.c.receipt == facts.c.receipt,
            transcripts.c.state == _DONE,
            transcripts.c.finished_at < before,
        )
        expired = _expired(facts, facts.c.id).where(
            facts.c.outcome == FactOutcome.REFUSED.value, is_over
        )
        with self._database.transaction() as connection:
            keys = _lock(connection, expired, limit)
            connection.execute(delete(facts).where(is_among(facts.c.id, keys)))
        return len(keys)

    def delete_receipts(self, before: datetime, limit: int) -> int:
        expired = _expired(old_receipts, old_receipts.c.receipt).where(
            old_receipts.c.archived_at < before, _IS_NOT_EVERYONES
        )
        with self._database.transaction() as connection:
            keys = _lock(connection, expired, limit)
            connection.execute(delete(old_receipts).where(is_among(old_receipts.c.receipt, keys)))
        return len(keys)

    def delete_batches(self, before: datetime, limit: int) -> int:
        expired = (
            select(batches.c.id)
            .where(batches.c.state == BatchState.ENDED.value, batches.c.ended_at < before)
            .order_by(batches.c.id)
        )
        with self._database.transaction() as connection:
            keys = _lock(connection, expired, limit)
            for table, column in ((batch_items, batch_items.c.batch), (batches, batches.c.id)):
                connection.execute(delete(table).where(is_among(column, keys)))
        return len(keys)


def _expired(table: Table, key: ColumnElement[Any]) -> Select[Any]:
    return select(key).where(is_free(table)).order_by(key)


def _lock(connection: Connection, statement: Select[Any], limit: int) -> list[Any]:
    locked = statement.limit(limit).with_for_update(skip_locked=True)
    return list(connection.execute(locked).scalars())


def _has_copy(receipt: ColumnElement[Any], *, done: bool = True) -> ColumnElement[bool]:
    """Whether it is being distilled again, or, with ``done``, ever was and can be switched to."""
    copy = transcripts.alias()
    conditions = [copy.c.copy_of == receipt] + ([] if done else [copy.c.state != _DONE])
    return exists().where(*conditions)


def _without_text() -> ColumnElement[Any]:
    """The body as it was, without messages and metadata; what was redacted is still counted."""
    redactions = transcripts.c.body["redactions"]
    return func.jsonb_build_object(
        literal("schema_version"),
        transcripts.c.body["schema_version"],
        literal("redactions"),
        redactions,
        type_=JSONB,
    )
