"""What must be true of the rows, whatever was pushed and whatever broke on the way."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

if TYPE_CHECKING:
    import uuid
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from sqlalchemy import Connection

    from pipelines.adapters.postgres import Database

# Never true of any row, at any moment; each with what it means.
_NEVER = {
    "a dead letter without a reason": (
        "SELECT receipt FROM transcripts WHERE state = 'dead' AND coalesce(reason, '') = ''"
    ),
    "a finished transcript without its time": (
        "SELECT receipt FROM transcripts WHERE state IN ('done', 'dead') AND finished_at IS NULL"
    ),
    "a done transcript with facts that wait": (
        "SELECT receipt FROM transcripts t WHERE state = 'done' AND copy_of IS NULL AND EXISTS ("
        " SELECT FROM facts f WHERE f.receipt = t.receipt AND f.outcome = 'pending'"
        " AND f.tenant_id = t.tenant_id)"
    ),
    "facts of a transcript that was not distilled": (
        "SELECT receipt FROM transcripts t WHERE state IN ('queued', 'distilling') AND EXISTS ("
        " SELECT FROM facts f WHERE f.receipt = t.receipt)"
    ),
    "a kept fact without its memory": (
        "SELECT f.id FROM facts f LEFT JOIN memories m ON m.id = f.memory_id"
        " WHERE f.outcome IN ('inserted', 'reinforced') AND m.id IS NULL"
    ),
    "a fact in a memory of somebody else": (
        "SELECT f.id FROM facts f JOIN memories m ON m.id = f.memory_id"
        " WHERE (f.tenant_id, f.user_id) <> (m.tenant_id, m.user_id)"
    ),
    "a memory without evidence": (
        "SELECT id FROM memories m WHERE state <> 'merged' AND scope <> 'global'"
        " AND NOT EXISTS (SELECT FROM evidence e WHERE e.memory_id = m.id)"
    ),
    "a memory that rests on a transcript of somebody else": (
        "SELECT m.id FROM memories m JOIN evidence e ON e.memory_id = m.id"
        " JOIN transcripts t ON t.receipt = e.receipt WHERE m.scope <> 'global'"
        " AND (t.tenant_id, t.user_id) <> (m.tenant_id, m.user_id)"
    ),
    "a memory that is succeeded by nothing": (
        "SELECT m.id FROM memories m LEFT JOIN memories s ON s.id = m.superseded_by"
        " WHERE m.superseded_by IS NOT NULL AND s.id IS NULL"
    ),
    "a memory without the event of its latest version": (
        "SELECT id FROM memories m WHERE NOT EXISTS (SELECT FROM events e"
        " WHERE e.memory_id = m.id AND (e.body->'memory'->>'version')::int = m.version)"
    ),
}
# Not true once there is nothing left to do.
_NOT_SETTLED = {
    "a transcript that is not finished": (
        "SELECT receipt FROM transcripts WHERE state NOT IN ('done', 'dead')"
    ),
    "a lease that is left": (
        "SELECT receipt::text FROM transcripts WHERE lease_until IS NOT NULL UNION ALL"
        " SELECT user_id FROM owners WHERE lease_until IS NOT NULL"
    ),
    "a fact that waits": "SELECT id FROM facts WHERE outcome = 'pending'",
    "a user who waits": "SELECT user_id FROM owners WHERE due_at <= now()",
    "a memory that the index has not": "SELECT memory_id FROM outbox",
}
_SHOWN = 3


def find_broken(database: Database, *, is_settled: bool) -> list[str]:
    """Rows of which something is true that must not be, each as one sentence."""
    rules = _NEVER | (_NOT_SETTLED if is_settled else {})
    with database.transaction() as connection:
        return [
            f"{what}: {', '.join(map(str, found[:_SHOWN]))} ({len(found)} in all)"
            for what, rule in rules.items()
            if (found := connection.execute(text(rule)).scalars().all())
        ]


def find_misquoted(database: Database, receipts: Collection[uuid.UUID] | None = None) -> list[str]:
    """Evidence whose quote does not stand in the message that it cites."""
    with database.transaction() as connection:
        wanted = _cited(connection) if receipts is None else receipts
        return [
            f"a quote that its message does not hold: {receipt}, message {index}"
            for receipt in wanted
            for index in _misquoted(connection, receipt)
        ]


def _cited(connection: Connection) -> Sequence[uuid.UUID]:
    return connection.execute(text("SELECT DISTINCT receipt FROM evidence")).scalars().all()


def _misquoted(connection: Connection, receipt: uuid.UUID) -> Iterator[int]:
    quotes = _quotes(connection, receipt)
    if not quotes:
        return
    body = connection.execute(
        text("SELECT body FROM transcripts WHERE receipt = :receipt"), {"receipt": receipt}
    ).scalar_one()
    for index, said in quotes.items():
        content = body["messages"][index]["content"]
        if not all(quote in content for quote in said):
            yield index


def _quotes(connection: Connection, receipt: uuid.UUID) -> dict[int, set[str]]:
    found: Iterable[Any] = connection.execute(
        text("SELECT message_index, quote FROM evidence WHERE receipt = :receipt"),
        {"receipt": receipt},
    )
    quotes: dict[int, set[str]] = defaultdict(set)
    for index, quote in found:
        quotes[index].add(quote)
    return quotes
