"""Model replies, kept before they are parsed, so that a crash never pays twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import ARRAY, UUID, Connection, any_, bindparam, select
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.ledger import end_hold
from pipelines.adapters.postgres.tables import replies, transcripts
from pipelines.model import Owner, ReceiptId
from pipelines.ports import ChatReply, Purpose

if TYPE_CHECKING:
    from collections.abc import Collection

    from pipelines.adapters.postgres.database import Database
    from pipelines.adapters.postgres.ledger import PostgresLedger
    from pipelines.ports import Hold, PaidFor


# Made once: each call executes them.
_LOCK_SERVED = (
    select(transcripts.c.receipt)
    .where(transcripts.c.receipt == any_(bindparam("receipts", type_=ARRAY(UUID))))
    .order_by(transcripts.c.receipt)
    .with_for_update(read=True, key_share=True)
)
_INSERT_FIRST = upsert(replies).on_conflict_do_nothing().returning(replies.c.request_hash)


class PostgresReplies:
    """``ReplyStore`` on PostgreSQL; the ledger is in the same database."""

    def __init__(self, database: Database, ledger: PostgresLedger) -> None:
        self._database = database
        self.ledger = ledger

    def find_reply(self, request_hash: str) -> ChatReply | None:
        statement = select(replies).where(replies.c.request_hash == request_hash)
        with self._database.transaction() as connection:
            row = connection.execute(statement).one_or_none()
        if row is None:
            return None
        return ChatReply(row.text, row.model, row.prompt_tokens, row.completion_tokens)

    def find_companies(
        self, owner: Owner, receipts: Collection[ReceiptId]
    ) -> dict[ReceiptId, tuple[ReceiptId, ...]]:
        statement = (
            select(replies.c.receipts)
            .where(
                replies.c.receipts.overlap(list(receipts)),
                replies.c.tenant_id == owner.tenant_id,
                replies.c.user_id == owner.user_id,
                replies.c.purpose == Purpose.DISTILL.value,
            )
            .order_by(replies.c.created_at.desc())
        )
        with self._database.transaction(owner.tenant_id) as connection:
            paid = [tuple(map(ReceiptId, row)) for row in connection.execute(statement).scalars()]
        # The first request that names a transcript is written last.
        named = {receipt: company for company in paid for receipt in company}
        return {receipt: named[receipt] for receipt in receipts if receipt in named}

    def keep_reply(
        self, request_hash: str, reply: ChatReply, paid_for: PaidFor, hold: Hold
    ) -> None:
        # What is paid for can be copies of transcripts, under an owner that nobody can name.
        with self._database.transaction() as connection:
            if not is_kept(connection, paid_for):
                nobody = replace(paid_for, owner=Owner.everyone(paid_for.owner.tenant_id))
                self.ledger.book_reply(connection, hold, reply, nobody)
            elif insert_reply(connection, request_hash, reply, paid_for):
                self.ledger.book_reply(connection, hold, reply, paid_for)
            end_hold(connection, hold)


def is_kept(connection: Connection, paid_for: PaidFor) -> bool:
    """Whether the transcripts that it serves are all there; none is erased before the commit.

    Of a reply to the text of erased ones only its cost is kept, on nobody's name.
    """
    receipts = set(paid_for.receipts)
    if not receipts:
        return True
    found = connection.execute(_LOCK_SERVED, {"receipts": list(receipts)})
    return len(found.scalars().all()) == len(receipts)


def insert_reply(
    connection: Connection, request_hash: str, reply: ChatReply, paid_for: PaidFor
) -> bool:
    """Store the first reply to a request; False if there is one already."""
    row = {
        "request_hash": request_hash,
        "tenant_id": paid_for.owner.tenant_id,
        "user_id": paid_for.owner.user_id,
        "purpose": paid_for.purpose.value,
        "receipts": list(paid_for.receipts),
        "model": reply.model,
        # PostgreSQL cannot hold NUL; a reply with one is no JSON anyway.
        "text": reply.text.replace("\x00", "\\u0000"),
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "created_at": datetime.now(UTC),
    }
    return connection.execute(_INSERT_FIRST, row).one_or_none() is not None
