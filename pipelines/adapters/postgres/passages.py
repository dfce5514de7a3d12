"""The passages that memories come from, read from the transcripts while those are kept.

Nothing of a passage is stored a second time. A transcript that an erasure takes away takes its
passages along; one whose text retention takes away leaves their words, in no order: what a memory
is found by does not change, and nobody can read what was said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, select, text, update

from pipelines.adapters.lexical import select_words
from pipelines.adapters.postgres.arrays import is_among
from pipelines.adapters.postgres.rows import read_evidence, read_message
from pipelines.adapters.postgres.tables import evidence
from pipelines.stages.passage import places_around, read_passages, select_newest

if TYPE_CHECKING:
    import uuid
    from collections.abc import Collection, Sequence

    from sqlalchemy import ColumnElement, Connection

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
_KEEP_WORDS = (
    update(evidence)
    .where(*(column == bindparam(f"at_{column.name}") for column in evidence.primary_key))
    .values(words=bindparam("bag"))
)


def load_passages(
    connection: Connection, ids: Collection[uuid.UUID], policy: PassagePolicy
) -> dict[uuid.UUID, str]:
    """The passage of each memory that has evidence in a transcript."""
    cited = _load_evidence(connection, evidence.c.memory_id.in_(ids))
    newest = {key: _newest(rows, policy) for key, rows in cited.items()}
    told = {key: [row.item for row in rows if row.words is None] for key, rows in newest.items()}
    places = {place for items in told.values() for place in places_around(items, policy)}
    messages = _load_messages(connection, places)
    passages = {}
    for key, rows in newest.items():
        kept = [row.words for row in rows if row.words is not None]
        passages[key] = " ".join([*kept, read_passages(told[key], messages, policy)]).strip()
    return passages


def keep_words(
    connection: Connection, receipts: Collection[uuid.UUID], policy: PassagePolicy
) -> None:
    """Keep the words of all passages in these transcripts, whose text is about to go."""
    cited = _load_evidence(
        connection, and_(is_among(evidence.c.receipt, receipts), evidence.c.words.is_(None))
    )
    rows = [row for part in cited.values() for row in part]
    messages = _load_messages(
        connection, {place for row in rows for place in places_around([row.item], policy)}
    )
    values = [
        row.key | {"bag": _bag_of_words(read_passages([row.item], messages, policy))}
        for row in rows
    ]
    if values:
        connection.execute(_KEEP_WORDS, values)


def _bag_of_words(passage: str) -> str:
    return " ".join(sorted(select_words(passage)))


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of evidence; ``words`` are what is left of its passage when the text is gone."""

    item: Evidence
    words: str | None
    key: dict[str, Any]


def _load_evidence(
    connection: Connection, condition: ColumnElement[bool]
) -> dict[uuid.UUID, list[_Row]]:
    found: dict[uuid.UUID, list[_Row]] = {}
    for row in connection.execute(select(evidence).where(condition)).mappings():
        key = {f"at_{column.name}": row[column.name] for column in evidence.primary_key}
        found.setdefault(row["memory_id"], []).append(_Row(read_evidence(row), row["words"], key))
    return found


def _newest(rows: Sequence[_Row], policy: PassagePolicy) -> list[_Row]:
    chosen = set(select_newest([row.item for row in rows], policy))
    return [row for row in rows if row.item in chosen]


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
