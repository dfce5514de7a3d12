"""The passages that memories come from, read from the transcripts while those are kept.

Nothing of a passage is stored a second time: a transcript that retention or an erasure takes away
takes its passages along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, text

from pipelines.adapters.postgres.rows import read_evidence, read_message
from pipelines.adapters.postgres.tables import evidence
from pipelines.stages.passage import places_around, read_passages

if TYPE_CHECKING:
    import uuid
    from collections.abc import Collection

    from sqlalchemy import Connection

    from config.retrieval import PassagePolicy
    from pipelines.model import Evidence, Message
    from pipelines.stages.passage import Place

# A transcript is unpacked once, however many of its messages are wanted.
_MESSAGES = text(
    """
    WITH asked AS MATERIALIZED (
        SELECT receipt, place
        FROM unnest(CAST(:receipts AS uuid[]), CAST(:places AS integer[])) AS pairs (receipt, place)
    )
    SELECT asked.receipt, asked.place, message.item
    FROM (SELECT DISTINCT receipt FROM asked) AS wanted
    JOIN transcripts ON transcripts.receipt = wanted.receipt
    CROSS JOIN LATERAL jsonb_array_elements(transcripts.body -> 'messages')
        WITH ORDINALITY AS message (item, position)
    JOIN asked ON asked.receipt = wanted.receipt AND asked.place = message.position - 1
    """
)


def load_passages(
    connection: Connection, ids: Collection[uuid.UUID], policy: PassagePolicy
) -> dict[uuid.UUID, str]:
    """The passage of each memory that has evidence in a transcript."""
    cited = _load_evidence(connection, ids)
    places = {place for items in cited.values() for place in places_around(items, policy)}
    messages = _load_messages(connection, places)
    return {key: read_passages(items, messages, policy) for key, items in cited.items()}


def _load_evidence(
    connection: Connection, ids: Collection[uuid.UUID]
) -> dict[uuid.UUID, list[Evidence]]:
    found: dict[uuid.UUID, list[Evidence]] = {}
    statement = select(evidence).where(evidence.c.memory_id.in_(ids))
    for row in connection.execute(statement).mappings():
        found.setdefault(row["memory_id"], []).append(read_evidence(row))
    return found


def _load_messages(connection: Connection, places: Collection[Place]) -> dict[Place, Message]:
    if not places:
        return {}
    ordered = sorted(places)
    values = {
        "receipts": [receipt for receipt, _ in ordered],
        "places": [index for _, index in ordered],
    }
    rows = connection.execute(_MESSAGES, values)
    return {(row.receipt, row.place): read_message(row.place, row.item) for row in rows}
