"""The checks of a campaign find what they are for, on the real schema."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from tests.chaos.checks import check_index, check_memories, check_receipts
from tests.chaos.recalling import Recalls, check_recalls

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2025, 3, 3, 9, tzinfo=UTC)
RECEIPT, FACT, MEMORY, OTHER = (uuid.UUID(int=number) for number in range(1, 5))
OWNER = {"tenant_id": "default", "user_id": "anna"}
SAID = "I live in Oslo these days."
CITED = {
    "session_id": "s1", "message_id": "0", "message_index": 0, "role": "user",
    "speaker": "User", "quote": SAID, "said_at": NOW.isoformat(), "event_at": NOW.isoformat(),
}  # fmt: skip


class Desk:
    """A database with one transcript, its fact and its memory."""

    def __init__(self, connection: psycopg.Connection[dict[str, Any]]) -> None:
        self._connection = connection
        self.put("transcripts", receipt=RECEIPT, session_id="s1", idempotency_key="k",
                 content_hash="h", body={"messages": [{"content": SAID}]}, time_zone="UTC",
                 started_at=NOW, ended_at=NOW, state="done", due_at=NOW,
                 received_at=NOW)  # fmt: skip
        self.put_memory(MEMORY)
        self.put("facts", id=FACT, receipt=RECEIPT, session_id="s1", ordinal=0, statement=SAID,
                 subject="User", kind="profile", importance=0.5, event_at=NOW, evidence=[CITED],
                 distilled_by="m", outcome="inserted", memory_id=MEMORY)  # fmt: skip
        self.put_evidence(quote=SAID)

    def rows(self, query: str) -> list[dict[str, Any]]:
        return self._connection.execute(query.encode()).fetchall()

    def put_memory(self, key: uuid.UUID, **changes: object) -> None:
        row = {"id": key, "scope": "user", "session_id": "s1", "statement": SAID,
               "statement_key": "i live in oslo", "subject": "User", "kind": "profile",
               "importance": 0.5, "state": "active", "valid_from": NOW, "confirmed_at": NOW,
               "version": 1, "distilled_by": "m", "embedding": b"", "updated_at": NOW}  # fmt: skip
        self.put("memories", **(row | changes))

    def put_evidence(self, **changes: str) -> None:
        row = {"memory_id": MEMORY, "receipt": RECEIPT, "quote_key": changes["quote"]}
        owner = dict.fromkeys(OWNER)
        self.put("evidence", **(row | CITED | changes), **owner)

    def put(self, table: str, **row: object) -> None:
        whole = {name: value for name, value in (OWNER | row).items() if value is not None}
        values = [Jsonb(item) if isinstance(item, dict | list) else item for item in whole.values()]
        names = sql.SQL(", ").join(map(sql.Identifier, whole))
        places = sql.SQL(", ").join(sql.Placeholder() * len(whole))
        into = sql.SQL("INSERT INTO {} ({}) VALUES ({})")
        self._connection.execute(into.format(sql.Identifier(table), names, places), values)


@pytest.fixture
def desk(database_url: str) -> Iterator[Desk]:
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as connection:
        yield Desk(connection)


def test_checks_find_nothing_when_all_is_well(desk: Desk) -> None:
    """One transcript, one fact, one memory, one point: no problem."""
    point = {**OWNER, "memory_id": MEMORY, "scope": "user", "version": 1, "state": "active"}

    assert ([], {}) == check_receipts(desk, {0: RECEIPT})
    assert [] == check_memories(desk)
    assert [] == check_index(desk, [point])


def test_check_of_memories_finds_what_is_twice_or_unfounded(desk: Desk) -> None:
    """Said twice, two values of a slot, evidence that no fact has, a quote that nobody said."""
    slot = {"slot_subject": "User", "slot_attribute": "home city"}
    desk.put_memory(OTHER)
    desk.put_memory(uuid.uuid4(), statement_key="a", **slot)
    desk.put_memory(uuid.uuid4(), statement_key="b", **slot)
    desk.put_evidence(quote="I live in Rome.")
    given_up = "UPDATE facts SET outcome = 'refused', reason = 'killed_its_worker' RETURNING id"
    desk.rows(given_up)

    problems = [line.partition(":")[0] for line in check_memories(desk)]

    assert [
        "said twice",
        "two values of one slot",
        "fact given up",
        "evidence that differs from the facts",
        "quote that stands in no message",
    ] == problems


def test_check_of_receipts_finds_what_is_lost_or_silent(desk: Desk) -> None:
    """An acknowledged receipt that is not there, one that nobody got, a death without a reason."""
    desk.rows("UPDATE transcripts SET state = 'dead' RETURNING receipt")
    problems, dead = check_receipts(desk, {7: OTHER})

    assert ["acknowledged but lost: 1: session 7"] == problems[:1]
    assert 3 == len(problems)
    assert 1 == sum(dead.values())


def test_check_of_recalls_finds_what_was_told_to_the_wrong_user(desk: Desk) -> None:
    """A memory of another user, and one that nobody has, are named; an own one is not."""
    told = Recalls(told={("anna", MEMORY), ("bela", MEMORY), ("anna", OTHER)})

    assert 2 == len(check_recalls(told, desk))
    assert [] == check_recalls(Recalls(told={("anna", MEMORY)}), desk)


def test_check_of_the_index_finds_missing_stale_and_foreign_points(desk: Desk) -> None:
    """Each way in which a point can differ is named."""
    point = {**OWNER, "memory_id": MEMORY, "scope": "user", "version": 1, "state": "active"}

    assert ["not in the index"] == [line.partition(":")[0] for line in check_index(desk, [])]
    for changed in ({"version": 2}, {"user_id": "bela"}, {"state": "superseded"}):
        (stale,) = check_index(desk, [point | changed])
        assert stale.startswith("stale in the index: 1")
    (foreign,) = check_index(desk, [point, point | {"memory_id": OTHER}])
    assert foreign.startswith("only in the index: 1")
