"""What has expired is deleted, and nothing that anybody still needs."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, select, text, update

from config.retrieval import PassagePolicy
from pipelines.adapters.lexical import document_vector
from pipelines.adapters.postgres import (
    Database,
    PostgresDeadLetters,
    PostgresInbox,
    PostgresMemoryStore,
    PostgresOutbox,
)
from pipelines.adapters.postgres.arrays import is_among
from pipelines.adapters.postgres.decay import PostgresFading
from pipelines.adapters.postgres.legal_holds import PostgresHolds
from pipelines.adapters.postgres.retention import PostgresRetention
from pipelines.adapters.postgres.tables import batches, evidence, facts, replies, transcripts
from pipelines.model import FactOutcome, MemoryId, MemoryState, TranscriptState
from pipelines.plan import Insert, Plan, Refile, Settlement
from pipelines.ports import HoldId, LegalHold
from tests.builders import ALICE, START, day, make_evidence, make_fact, make_memory, make_transcript

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.model import Memory, ReceiptId, Transcript

LEASE = timedelta(minutes=5)
PASSAGES = PassagePolicy()
SAID = ("Shall we go on with the travel plans?", "I live in Bern. I like trains, night trains!")


class World:
    """A session that was done long ago, with one memory of it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.retention = PostgresRetention(database, PASSAGES)
        self.inbox, self.store = PostgresInbox(database), PostgresMemoryStore(database)

    def finish(self, session: str = "s1") -> tuple[Transcript, Memory]:
        transcript = make_transcript(*SAID, session=session, key=session)
        cited = make_evidence("I like trains", receipt=transcript.id, session=session, index=1)
        fact = make_fact(f"User likes trains {session}.", session=session, evidence=(cited,))
        self.inbox.accept([transcript], START)
        claim = self.inbox.claim_transcript(transcript.id, START, LEASE)
        assert claim is not None
        self.inbox.commit_distilled(claim, [fact], [], START)
        memory = make_memory(fact)
        owner = self.store.claim_owner(ALICE, START, LEASE)
        assert owner is not None
        settled = {fact.id: Settlement(FactOutcome.INSERTED, memory.id)}
        self.store.commit_plan(owner, Plan((Insert(memory),), {}, settled), START)
        self.store.release_owner(owner, None, START)
        return transcript, memory

    def has_text(self, receipt: ReceiptId) -> bool:
        return "messages" in self.body(receipt)

    def body(self, receipt: ReceiptId) -> dict[str, object]:
        with self.database.transaction() as connection:
            found: dict[str, object] = connection.execute(
                text("SELECT body FROM transcripts WHERE receipt = :key"), {"key": receipt}
            ).scalar_one()
        return found

    def count(self, table: str) -> int:
        with self.database.transaction() as connection:
            return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())

    def indexed_text(self) -> str:
        """What the index is told of the only memory."""
        outbox = PostgresOutbox(self.database, PASSAGES)
        outbox.refill(START)
        projection = outbox.take(9, day(99), LEASE)
        outbox.tick_off(projection)
        (point,) = projection.upserts
        return point.text

    def hold(self) -> LegalHold:
        hold = LegalHold(HoldId(uuid.uuid4()), ALICE, "case 7", START, "counsel")
        return PostgresHolds(self.database).place(hold)


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    database = Database(database_url)
    yield World(database)
    database.close()


def test_text_of_a_session_goes_and_its_memory_is_found_by_the_same_words(world: World) -> None:
    """Nobody can read any more what was said, but for what is quoted."""
    transcript, memory = world.finish()
    before = world.indexed_text()
    assert "night trains" in before

    assert 0 == world.retention.strip_transcripts(START, 10)
    assert 1 == world.retention.strip_transcripts(day(1), 10)
    assert 0 == world.retention.strip_transcripts(day(1), 10)

    after = world.indexed_text()
    assert {"schema_version": 1, "redactions": {}} == world.body(transcript.id)
    assert document_vector(before) == document_vector(after)
    assert "live bern" not in after.casefold()
    assert memory.evidence == world.store.find_memory("acme", memory.id).evidence


def test_what_cites_a_session_is_found_without_reading_all_evidence(world: World) -> None:
    """Each batch of texts looks for it, with the sessions locked."""
    world.finish()
    fill = """
        INSERT INTO evidence (memory_id, receipt, message_index, quote_key, message_id,
            session_id, role, speaker, quote, said_at, event_at)
        SELECT id, gen_random_uuid(), 0, 'k', 'm', 's', 'user', 'User', 'q', now(), now()
        FROM memories CROSS JOIN generate_series(1, 5000)
    """
    with world.database.transaction() as connection:
        connection.execute(text(fill))
        connection.execute(text("ANALYZE evidence"))
        cited = is_among(evidence.c.receipt, [uuid.uuid4() for _ in range(200)])
        sql = select(evidence).where(cited).compile(world.database.engine)
        explain = connection.exec_driver_sql(f"EXPLAIN {sql}", dict(sql.params))
        plan = "\n".join(explain.scalars())

    assert "evidence_of_receipt" in plan
    assert "Seq Scan" not in plan


def test_session_that_is_not_done_keeps_its_text(world: World) -> None:
    """However old it is."""
    transcript = make_transcript(*SAID, key="waiting")
    world.inbox.accept([transcript], START)

    assert 0 == world.retention.strip_transcripts(day(999), 10)
    assert world.has_text(transcript.id)


def test_session_that_is_distilled_again_keeps_its_text_meanwhile(world: World) -> None:
    """It is read from the original."""
    transcript, _ = world.finish()
    copy, _ = world.finish("s2")
    with world.database.transaction() as connection:
        connection.execute(
            update(transcripts)
            .where(transcripts.c.receipt == copy.id)
            .values(copy_of=transcript.id, state=TranscriptState.QUEUED.value)
        )

    assert 0 == world.retention.strip_transcripts(day(999), 10)
    assert world.has_text(transcript.id)


def test_what_is_held_stays_until_it_is_released(world: World) -> None:
    """The text, and all that goes with it."""
    transcript, _ = world.finish()
    hold = world.hold()

    assert 0 == world.retention.strip_transcripts(day(999), 10)
    assert world.has_text(transcript.id)
    PostgresHolds(world.database).release("acme", hold.id, "counsel", day(1))

    assert 1 == world.retention.strip_transcripts(day(999), 10)


def test_what_a_generation_has_of_whom_is_held_stays_too(world: World) -> None:
    """It was live once: what was known of the user, and what was refused."""
    _, memory = world.finish()
    refused, _ = world.finish("s2")
    hold = world.hold()
    with world.database.transaction() as connection:
        connection.execute(
            text(
                "UPDATE memories SET evicted_at = :at,"
                " tenant_id = 'acme' || chr(31) || 'g' || chr(31) || 'previous'"
            ),
            {"at": START},
        )
        connection.execute(
            text(
                "UPDATE facts SET outcome = 'refused', memory_id = NULL,"
                " tenant_id = 'acme' || chr(31) || 'g' || chr(31) || 'previous'"
                " WHERE receipt = :key"
            ),
            {"key": refused.id},
        )
    fading = PostgresFading(world.database)

    assert [] == fading.find_purgeable(day(99), 10)
    assert 0 == fading.purge_memories([memory.id], day(99))
    assert 0 == world.retention.delete_refused(day(99), 10)
    PostgresHolds(world.database).release("acme", hold.id, "counsel", day(1))

    assert 2 == len(fading.find_purgeable(day(99), 10))
    assert 1 == world.retention.delete_refused(day(99), 10)


def test_dead_letter_of_whom_is_held_is_not_dropped_by_hand(world: World) -> None:
    """Thousands are dropped at once by a filter, and nobody looks at each."""
    item = make_transcript(*SAID, key="dead")
    world.inbox.accept([item], START)
    claim = world.inbox.claim_transcript(item.id, START, LEASE)
    assert claim is not None
    world.inbox.dead_letter(claim, "BadReply", "BadReply: no JSON", START)
    dead = PostgresDeadLetters(world.database)
    letter = dead.load_dead("acme", item.id)
    world.hold()

    assert set() == dead.drop([letter])
    assert world.has_text(item.id)


def test_expired_rows_go_in_bounded_batches(world: World) -> None:
    """No transaction takes more than it is told to."""
    for name in ("s1", "s2", "s3"):
        world.finish(name)

    assert [2, 1, 0] == [world.retention.strip_transcripts(day(9), 2) for _ in range(3)]


def test_reply_goes_when_its_sessions_are_done_or_gone(world: World) -> None:
    """Not before: a crash must never pay twice."""
    transcript, _ = world.finish()
    waiting = make_transcript(*SAID, session="s2", key="waiting")
    world.inbox.accept([waiting], START)
    rows = [
        {
            "request_hash": name,
            "tenant_id": "acme",
            "user_id": "alice",
            "purpose": "distill",
            "receipts": receipts,
            "model": "m",
            "text": "{}",
            "prompt_tokens": 1,
            "completion_tokens": 1,
            "created_at": START,
        }
        for name, receipts in (
            ("done", [transcript.id]),
            ("shared", [transcript.id, waiting.id]),
            ("gone", [uuid.uuid4()]),
        )
    ]
    with world.database.transaction() as connection:
        connection.execute(insert(replies), rows)

    assert 0 == world.retention.delete_replies(START, 10)
    assert 2 == world.retention.delete_replies(day(1), 10)
    assert 1 == world.count("replies")


def test_dead_letter_goes_when_nobody_replayed_it_in_time(world: World) -> None:
    """One that lives stays."""
    done, _ = world.finish()
    dead = make_transcript(*SAID, session="s2", key="dead")
    world.inbox.accept([dead], START)
    with world.database.transaction() as connection:
        connection.execute(
            update(transcripts)
            .where(transcripts.c.receipt == dead.id)
            .values(state=TranscriptState.DEAD.value, finished_at=START)
        )

    assert 0 == world.retention.delete_dead(START, 10)
    assert 1 == world.retention.delete_dead(day(1), 10)
    assert world.has_text(done.id)
    assert 1 == world.count("transcripts")


def test_refused_fact_goes_with_time_and_a_kept_one_stays(world: World) -> None:
    """What a memory rests on goes with the memory."""
    world.finish()
    refused, _ = world.finish("s2")
    with world.database.transaction() as connection:
        connection.execute(
            update(facts)
            .where(facts.c.receipt == refused.id)
            .values(outcome=FactOutcome.REFUSED.value, memory_id=None)
        )

    assert 0 == world.retention.delete_refused(START, 10)
    assert 1 == world.retention.delete_refused(day(1), 10)
    assert 1 == world.count("facts")


def test_batch_goes_when_it_has_ended_long_ago(world: World) -> None:
    """With its requests; one that runs stays."""
    common = {"model": "m", "created_at": START, "deadline_at": START, "due_at": START}
    with world.database.transaction() as connection:
        connection.execute(
            insert(batches),
            [
                {"id": uuid.uuid4(), "state": "ended", "ended_at": START, **common},
                {"id": uuid.uuid4(), "state": "running", "ended_at": None, **common},
            ],
        )

    assert 0 == world.retention.delete_batches(START, 10)
    assert 1 == world.retention.delete_batches(day(1), 10)
    assert 1 == world.count("batches")


def test_evidence_that_moves_takes_its_words_along(world: World) -> None:
    """A memory is found by them wherever its evidence goes, also when the text is gone."""
    _, memory = world.finish()
    before = document_vector(world.indexed_text())
    world.retention.strip_transcripts(day(1), 10)
    world.store.mark_owner_due(ALICE, day(1))
    claim = world.store.claim_owner(ALICE, day(1), LEASE)
    assert claim is not None
    merged = replace(memory, state=MemoryState.MERGED, evidence=(), version=2)
    other = replace(memory, id=MemoryId(uuid.uuid4()))
    plan = Plan((Refile(merged, memory.evidence), Insert(other)), {memory.id: 1})

    world.store.commit_plan(claim, plan, day(1))

    assert before == document_vector(world.indexed_text())
