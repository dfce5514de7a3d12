"""Model replies, kept before they are parsed, so that a crash never pays twice."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.tables import replies
from pipelines.ports import ChatReply

if TYPE_CHECKING:
    from pipelines.adapters.postgres.database import Database
    from pipelines.ports import PaidFor


class PostgresReplies:
    """``ReplyStore`` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find_reply(self, request_hash: str) -> ChatReply | None:
        statement = select(replies).where(replies.c.request_hash == request_hash)
        with self._database.transaction() as connection:
            row = connection.execute(statement).one_or_none()
        if row is None:
            return None
        return ChatReply(row.text, row.model, row.prompt_tokens, row.completion_tokens)

    def keep_reply(self, request_hash: str, reply: ChatReply, paid_for: PaidFor) -> None:
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
        with self._database.transaction() as connection:
            connection.execute(upsert(replies).on_conflict_do_nothing(), row)
