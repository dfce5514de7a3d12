"""What must hold when everything has become final; each check gives what breaks it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from uuid import UUID

    from tests.chaos.truth import Reader, Row

_SHOWN = 5
_DEAD_SHARE = 0.01

_TWICE_SAID = """
SELECT user_id, subject, statement_key, count(*) AS number FROM memories
WHERE state = 'active'
GROUP BY tenant_id, user_id, subject, statement_key HAVING count(*) > 1
"""
_SLOT_TWICE = """
SELECT user_id, slot_subject, slot_attribute, count(*) AS number FROM memories
WHERE state = 'active' AND slot_attribute IS NOT NULL AND NOT ends
GROUP BY tenant_id, user_id, slot_subject, slot_attribute, coalesce(slot_member, '')
HAVING count(*) > 1
"""
_FACT_TWICE = """
SELECT receipt, statement, count(*) AS number FROM facts WHERE outcome <> 'refused'
GROUP BY receipt, statement, evidence HAVING count(*) > 1
"""
_FACT_REFUSED = """
SELECT receipt, ordinal, reason FROM facts
WHERE reason IN ('killed_its_worker', 'not_storable')
"""
_HOMELESS = """
SELECT facts.id, facts.outcome FROM facts LEFT JOIN memories ON memories.id = facts.memory_id
WHERE outcome IN ('inserted', 'reinforced')
AND (memories.id IS NULL OR memories.state = 'merged' OR memories.user_id <> facts.user_id)
"""
_EVIDENCE_ASTRAY = """
WITH said AS (
    SELECT DISTINCT facts.memory_id, facts.receipt,
           (item ->> 'message_index')::int AS message_index, item ->> 'quote' AS quote
    FROM facts CROSS JOIN jsonb_array_elements(facts.evidence) AS item
    WHERE outcome IN ('inserted', 'reinforced')
), kept AS (
    SELECT memory_id, receipt, message_index, quote FROM evidence
)
SELECT memory_id FROM ((TABLE said EXCEPT TABLE kept) UNION ALL (TABLE kept EXCEPT TABLE said))
"""
_UNQUOTED = """
SELECT evidence.memory_id FROM evidence JOIN transcripts USING (receipt)
WHERE strpos(body -> 'messages' -> message_index ->> 'content', quote) = 0
"""


def check_receipts(truth: Reader, receipts: Mapping[int, UUID]) -> tuple[list[str], Counter[str]]:
    """Every acknowledged receipt is done, or dead with a reason.

    Returns:
        What is wrong, and the dead by reason.
    """
    rows = truth.rows("SELECT receipt, state, reason, last_error FROM transcripts")
    found = {row["receipt"]: row for row in rows}
    lost = [f"session {number}" for number, key in receipts.items() if key not in found]
    foreign = [str(key) for key in found.keys() - set(receipts.values())]
    dead = Counter(
        f"{row['reason']} ({row['last_error'] or 'no error'})"
        for row in rows
        if row["state"] == "dead"
    )
    silent = [str(row["receipt"]) for row in rows if row["state"] == "dead" and not row["reason"]]
    problems = [
        *_list("acknowledged but lost", lost),
        *_list("never acknowledged, but there", foreign),
        *_list("dead without a reason", silent),
    ]
    return problems, dead


def check_dead(dead: Mapping[str, int], sessions: int) -> list[str]:
    """Blows at random make hardly any dead letter."""
    number = sum(dead.values())
    return [f"{number} dead letters of {sessions}"] if number > sessions * _DEAD_SHARE else []


def check_open(left: Mapping[str, int]) -> list[str]:
    """Nothing is on its road any more."""
    return [f"not final: {number} {name}" for name, number in left.items() if number]


def check_memories(truth: Reader) -> list[str]:
    """Nothing is known twice, and all that is known rests on what was said."""
    checks = {
        "said twice": _TWICE_SAID,
        "two values of one slot": _SLOT_TWICE,
        "fact stored twice": _FACT_TWICE,
        "fact given up": _FACT_REFUSED,
        "fact without its memory": _HOMELESS,
        "evidence that differs from the facts": _EVIDENCE_ASTRAY,
        "quote that stands in no message": _UNQUOTED,
    }
    return [
        line
        for name, query in checks.items()
        for line in _list(name, map(str, map(_shown, truth.rows(query))))
    ]


def check_index(truth: Reader, points: Iterable[Row]) -> list[str]:
    """The index holds the present state of each memory, and nothing else."""
    fields = ("tenant_id", "user_id", "scope", "version", "state")
    memories = truth.rows(
        "SELECT id AS memory_id, tenant_id, user_id, scope, version, state FROM memories"
        " WHERE state IN ('active', 'superseded')"
    )
    wanted = {row["memory_id"]: tuple(row[name] for name in fields) for row in memories}
    found = {row["memory_id"]: tuple(row[name] for name in fields) for row in points}
    stale = [key for key in wanted.keys() & found.keys() if wanted[key] != found[key]]
    return [
        *_list("not in the index", map(str, wanted.keys() - found.keys())),
        *_list("only in the index", map(str, found.keys() - wanted.keys())),
        *_list("stale in the index", map(str, stale)),
    ]


def _shown(row: Mapping[str, object]) -> str:
    return " ".join(f"{name}={value}" for name, value in row.items())


def _list(problem: str, items: Iterable[str]) -> Iterator[str]:
    """One line with the first few of them; none if there are none."""
    found = sorted(items)
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        yield f"{problem}: {len(found)}: {'; '.join(found[:_SHOWN])}{more}"
