"""PostgreSQL: the truth. Inbox, memories, outbox, replies, and what is due."""

from pipelines.adapters.postgres.database import Database
from pipelines.adapters.postgres.inbox import PostgresInbox
from pipelines.adapters.postgres.installation import check_embedder
from pipelines.adapters.postgres.memories import PostgresMemoryStore
from pipelines.adapters.postgres.outbox import PostgresOutbox
from pipelines.adapters.postgres.replies import PostgresReplies
from pipelines.adapters.postgres.work import PostgresWorkTable

__all__ = [
    "Database",
    "PostgresInbox",
    "PostgresMemoryStore",
    "PostgresOutbox",
    "PostgresReplies",
    "PostgresWorkTable",
    "check_embedder",
]
