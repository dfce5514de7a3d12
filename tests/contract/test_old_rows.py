"""What is old leaves the database whole, once, and for nobody who is erased or held."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from config.policy import Policies
from config.retrieval import PassagePolicy
from pipelines.adapters.archive_files import folder_of
from pipelines.adapters.postgres import (
    Database,
)
from pipelines.adapters.postgres.decay import PostgresFading
from pipelines.adapters.postgres.legal_holds import PostgresHolds
from pipelines.adapters.postgres.pins import PostgresPins
from pipelines.adapters.postgres.retention import PostgresRetention
from pipelines.errors import NotFound, OwnerBusy, StoreUnavailable
from pipelines.model import Owner, TranscriptState
from pipelines.outcome import Done, Snoozed
from pipelines.plan import Insert, Reinforce
from pipelines.ports import (
    HoldId,
    LegalHold,
    Portion,
    Subject,
)
from pipelines.testing.archive import InMemoryArchive
from tests.builders import (
    ALICE,
    BOB,
    START,
    day,
    make_evidence,
    make_fact,
    make_memory,
    make_transcript,
)
from tests.contract.archiving import LATER, POLICY, World

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    database = Database(database_url, pool_size=3)
    yield World(database, InMemoryArchive())
    database.close()


def test_snapshot_is_what_the_events_tell_and_later_ones_go_on_from_it(world: World) -> None:
    """Those of before it are not read any more, and may be gone."""
    world.live("Likes tea.")
    assert Done({}) == world.snapshots.run()
    (tea, boat) = world.live("Plays chess.", "Has a boat.")
    before = world.told()

    assert Done({"snapshots": 1}) == world.snapshots.run()
    assert Done({}) == world.snapshots.run()

    assert before == world.told()
    assert before == dict(world.log.read_log(ALICE).start)
    world.query("DELETE FROM events RETURNING seq")
    assert before == world.told()
    PostgresPins(world.database).pin("acme", tea.id, START, pinned=True)
    assert world.told()[tea.id].fields["pinned"]
    assert before[boat.id] == world.told()[boat.id]


def test_events_that_may_come_to_light_later_are_in_no_snapshot(world: World) -> None:
    """A smaller number can be committed after a greater one; whoever has begun is waited for."""
    late, early = make_memory(make_fact("Likes tea.")), make_memory(make_fact("Plays chess."))
    insertion = (
        "INSERT INTO events (tenant_id, user_id, memory_id, name, schema_version, body, at)"
        " VALUES ('acme', 'alice', :key, 'memory_pinned', 1, '{}', now())"
        " RETURNING seq"
    )
    settled = world.snapshots.snapshots.find_settled
    with world.database.transaction() as running:
        number = running.execute(text(insertion), {"key": late.id}).scalar_one()
        (greater,) = world.query(insertion, key=early.id)
        assert number < greater
        assert settled() < number
        assert settled() < number

    assert greater == settled()


def test_number_of_whoever_writes_last_is_not_settled(world: World) -> None:
    """Nobody who began later has ended yet."""
    world.live("Likes tea.")
    (latest, settled) = (max(world.numbers()), world.snapshots.snapshots.find_settled)
    assert latest == settled()

    with world.database.transaction() as running:
        running.execute(text("SELECT pg_current_xact_id(), nextval('events_seq_seq')"))
        assert latest == settled()
        assert latest == settled()

    assert latest < settled()


def test_numbers_are_settled_beside_transactions_that_began_later(world: World) -> None:
    """Somebody always writes; nobody is waited for who had not begun."""
    settled = world.snapshots.snapshots.find_settled
    with ExitStack() as earlier, ExitStack() as later:
        first = earlier.enter_context(world.database.transaction())
        first.execute(text("SELECT pg_current_xact_id()"))
        world.live("Likes tea.")
        latest = max(world.numbers())
        assert settled() < latest
        second = later.enter_context(world.database.transaction())
        second.execute(text("SELECT pg_current_xact_id()"))
        earlier.close()

        assert latest == settled()


def test_user_who_is_worked_on_meanwhile_gets_a_snapshot_later(world: World) -> None:
    """What was erased since it was read is not written."""
    world.live("Likes tea.", "Plays chess.")
    fence = world.snapshots.snapshots.read_fence(ALICE)
    assert fence is not None
    summary = world.log.sum_up(ALICE, 10**9)
    world.erase(Subject(ALICE))

    assert not world.snapshots.snapshots.keep(ALICE, summary, fence, START)
    assert [] == world.query("SELECT user_id FROM event_snapshots")


def test_old_events_move_into_the_archive_and_what_they_tell_stays(world: World) -> None:
    """In bounded portions; those that no snapshot covers stay where they are."""
    world.live("Likes tea.", "Plays chess.", "Has a boat.")
    before, numbers = world.told(), world.numbers()

    assert Done({}) == world.archive_old(day(89))
    assert numbers == world.numbers()
    world.live("Lives in Oslo.")
    assert Done({"events": 6}) == world.archive_old()

    assert [4, 2] == [file.rows for file in world.files.list_files(ALICE)]
    assert 2 == len(world.numbers())
    assert before.items() <= world.told().items()
    assert Done({}) == world.archive_old()


def test_archived_events_come_back_under_their_numbers_and_tell_nothing_twice(
    world: World,
) -> None:
    """And go again into no second file."""
    world.live("Likes tea.", "Plays chess.", "Has a boat.")
    before, numbers = world.told(), world.numbers()
    told = world.query("SELECT body::text FROM events ORDER BY seq")
    world.archive_old()
    assert [] == world.numbers()
    files = world.files.list_files(ALICE)

    assert 6 == world.restore.run(ALICE)
    assert 0 == world.restore.run(ALICE)

    assert numbers == world.numbers()
    assert told == world.query("SELECT body::text FROM events ORDER BY seq")
    assert before == world.told()
    assert Done({"events": 6}) == world.archive_old()
    assert files == world.files.list_files(ALICE)
    assert 0 == world.restore.run(BOB)


def test_crash_between_file_and_deletion_repeats_harmlessly(world: World) -> None:
    """Both have the rows, until the next run."""
    world.live("Likes tea.", "Plays chess.")
    world.clock.at = LATER
    world.snapshots.run()

    def crash(portion: Portion) -> None:
        world.files.write(portion, LATER)
        raise StoreUnavailable("killed")

    with pytest.raises(StoreUnavailable):
        world.events.move(ALICE, day(50), POLICY.batch, crash, LATER)
    assert len(world.numbers()) == 4

    assert Done({"events": 4}) == world.archive_old()

    assert [4] == [file.rows for file in world.files.list_files(ALICE)]
    assert [] == world.numbers()


def test_held_user_keeps_events_and_sessions_where_they_are(world: World) -> None:
    """Until the hold is released."""
    world.live("Likes tea.", "Plays chess.")
    receipts = world.finish_sessions("s1")
    holds = PostgresHolds(world.database)
    hold = holds.place(LegalHold(HoldId(uuid.uuid4()), ALICE, "case 7", START, "counsel"))

    assert Done({}) == world.archive_old()
    assert receipts == world.query("SELECT receipt FROM transcripts")
    holds.release("acme", hold.id, "counsel", START)

    assert Done({"events": 4, "sessions": 1}) == world.archive_old()


def test_done_session_leaves_and_its_receipt_answers_whoever_pushes_it_again(
    world: World,
) -> None:
    """With what it was first; another content under its key is refused as before."""
    receipts = world.finish_sessions("s1", "s2")
    world.finish_sessions("s3")
    world.query("UPDATE transcripts SET finished_at = now() WHERE session_id = 's3' RETURNING 1")

    assert Done({"sessions": 2}) == world.archive_old()

    (file,) = world.files.list_files(ALICE)
    assert ("sessions", 2) == (file.kind, file.rows)
    assert ["s3"] == world.query("SELECT session_id FROM transcripts")
    pushed = make_transcript("hello", session="s1", key="s1")
    (answer,) = world.inbox.accept([pushed], LATER)
    assert (receipts[0], True) == (answer.receipt, answer.is_duplicate)
    assert ["s3"] == world.query("SELECT session_id FROM transcripts")
    status = world.inbox.status("acme", pushed.id)
    assert (TranscriptState.DONE, "s1") == (status.state, status.session_id)
    assert {"done": 2} == world.inbox.states("acme", receipts)
    with pytest.raises(NotFound):
        world.inbox.status("other", pushed.id)
    other = replace(pushed, content_hash="another")
    (conflict,) = world.inbox.accept([other], LATER)
    assert (True, False) == (conflict.receipt != pushed.id, conflict.is_duplicate)


def test_old_receipt_is_forgotten_after_its_time(world: World) -> None:
    """Then a push is new."""
    world.finish_sessions("s1")
    world.archive_old()
    retention = PostgresRetention(world.database, PassagePolicy())

    assert 0 == retention.delete_receipts(LATER, 10)
    assert 1 == retention.delete_receipts(day(101), 10)

    (answer,) = world.inbox.accept([make_transcript("hello", session="s1", key="s1")], LATER)
    assert not answer.is_duplicate


def test_receipt_stays_while_what_is_everyones_cites_its_session(world: World) -> None:
    """An erasure would not find the words otherwise."""
    shared, other = world.finish_sessions("s1", "s2")
    said = make_evidence("xylophone", receipt=shared, session="s1")
    everyone = Owner.everyone("acme")
    fact = make_fact("Staging is slow.", owner=everyone, session="s1", evidence=(said,))
    world.commit(Insert(make_memory(fact)))
    world.archive_old()
    retention = PostgresRetention(world.database, PassagePolicy())

    assert 1 == retention.delete_receipts(day(999), 10)
    assert [shared] == world.query("SELECT receipt FROM old_receipts")
    assert other != shared

    world.erase(Subject(ALICE))
    assert [] == world.query("SELECT quote FROM evidence")


def test_erased_user_leaves_no_file_and_an_erased_session_no_line(world: World) -> None:
    """What else the archive has of the user can still be read."""
    tea, chess = world.live("Likes tea.", "Plays chess.")
    world.live("Has a boat.", owner=BOB)
    world.finish_sessions("Likes tea.", "s2")
    world.archive_old()
    unfinished = f"{folder_of(ALICE)}/events/1-2-ab.jsonl.zst"
    world.archive.put(unfinished, b"x")
    erased = world.erase(Subject(ALICE, "Likes tea."))
    left = (ALICE, "Likes tea.", erased.memory_ids)
    assert 0 < world.files.count_left(*left)

    assert 0 < world.files.remove_session(*left)

    assert 0 == world.files.count_left(*left)
    assert unfinished not in world.archive.list(folder_of(ALICE))
    lines = [line for file in world.files.list_files(ALICE) for line in world.files.read(file)]
    assert not [line for line in lines if b"tea" in line]
    assert [line for line in lines if str(chess.id).encode() in line]
    assert [line for line in lines if b'"s2"' in line]
    assert tea.id not in world.told()
    assert "Likes tea." not in world.query("SELECT session_id FROM old_receipts")
    world.erase(Subject(ALICE))
    assert 0 < world.files.count_left(ALICE, None, [])
    assert 0 < world.files.remove_user(ALICE)
    assert 0 == world.files.count_left(ALICE, None, [])
    assert [] == world.query("SELECT user_id FROM event_snapshots WHERE user_id = 'alice'")


def test_erased_user_is_not_cited_by_everyones_though_the_session_is_archived(
    world: World,
) -> None:
    """The words of what was shared once, and of its history, go as well."""
    (receipt,) = world.finish_sessions("s1")
    everyone = Owner.everyone("acme")
    said = make_evidence("xylophone", receipt=receipt, session="s1")
    fact = make_fact("Staging is slow.", owner=everyone, session="s1", evidence=(said,))
    world.commit(Insert(make_memory(fact)))
    world.archive_old()
    assert [receipt] == world.query("SELECT receipt FROM old_receipts")

    erased = world.erase(Subject(ALICE))

    assert [] == world.query("SELECT quote FROM evidence")
    assert not [body for body in world.query("SELECT body FROM events") if "xylophone" in str(body)]
    assert receipt in erased.receipts


def test_purged_memory_that_cites_an_erased_session_leaves_the_snapshot_too(world: World) -> None:
    """Also when its events are in the archive."""
    tea, _ = world.live("Likes tea.", "Plays chess.")
    world.archive_old()
    fading = PostgresFading(world.database)
    fading.evict([tea.id], day(3_000), Policies().decay)
    fading.purge_memories([tea.id], day(3_050))
    make = make_transcript("Likes tea.", session="Likes tea.", key="Likes tea.")
    world.inbox.accept([make], START)

    erased = world.erase(Subject(ALICE, "Likes tea."))
    world.files.remove_session(ALICE, "Likes tea.", erased.memory_ids)

    assert tea.id not in world.log.read_log(ALICE).start
    lines = [line for file in world.files.list_files(ALICE) for line in world.files.read(file)]
    assert not [line for line in lines if b"tea" in line]


def test_erased_session_leaves_the_log_though_its_receipt_is_forgotten(world: World) -> None:
    """Nobody remembers what it was pushed under; the log says which session was cited."""
    tea, chess, boat = world.live("Likes tea.", "Plays chess.", "Has a boat.")
    world.clock.at = START
    world.snapshots.run()
    said = make_evidence("tea twice", receipt=tea.evidence[0].transcript_id, session="Likes tea.")
    cited = (*boat.evidence, said)
    world.commit(Reinforce(replace(boat, evidence=cited, version=3), (said,)))
    fading = PostgresFading(world.database)
    gone = [tea.id, boat.id]
    fading.evict(gone, day(3_000), Policies().decay)
    fading.purge_memories(gone, day(3_050))
    assert {*gone} <= {*world.log.read_log(ALICE).start}

    world.erase(Subject(ALICE, "Likes tea."))

    assert [chess.id] == list(world.log.read_log(ALICE).start)
    assert not [body for body in world.query("SELECT body FROM events") if "tea" in str(body)]


def test_nothing_is_put_back_of_whom_is_being_erased(world: World) -> None:
    """The file was read before."""
    world.live("Likes tea.", "Plays chess.")
    world.archive_old()
    (file,) = world.files.list_files(ALICE)
    lines = world.files.read(file)
    world.erase(Subject(ALICE))

    with pytest.raises(OwnerBusy):
        world.events.put_back(ALICE, lines)
    assert [] == world.numbers()


def test_archiving_goes_on_where_a_turn_ended(world: World) -> None:
    """Time is up after each part, and nothing is forgotten."""
    for owner in (ALICE, BOB):
        world.live("Likes tea.", "Plays chess.", owner=owner)
    world.finish_sessions("s1")
    world.clock.at = LATER
    world.snapshots.run()
    job = replace(world.job, policy=replace(POLICY, users=1, turn=timedelta()))

    total, outcome = 0, job.run()
    while isinstance(outcome, Snoozed):
        total += sum(outcome.counts.values())
        outcome = job.run(outcome.position)

    assert isinstance(outcome, Done)
    assert 4 + 4 + 1 == total + sum(outcome.counts.values())
    assert [] == world.numbers()
