"""Archives keep their contract; old rows go into them whole, once, and for nobody who is erased."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from obstore.store import MemoryStore
from sqlalchemy import text

from config.policy import Policies
from config.retention import ArchivePolicy
from config.retrieval import PassagePolicy
from pipelines.adapters.archive_directory import DirectoryArchive
from pipelines.adapters.archive_files import ArchivedFiles, folder_of
from pipelines.adapters.archive_objects import ObjectArchive
from pipelines.adapters.postgres import (
    Database,
    PostgresErasures,
    PostgresInbox,
    PostgresMemoryStore,
)
from pipelines.adapters.postgres.decay import PostgresFading
from pipelines.adapters.postgres.event_log import PostgresEventLog
from pipelines.adapters.postgres.legal_holds import PostgresHolds
from pipelines.adapters.postgres.log_snapshots import PostgresLogSnapshots
from pipelines.adapters.postgres.old_events import PostgresOldEvents
from pipelines.adapters.postgres.old_sessions import PostgresOldSessions
from pipelines.adapters.postgres.pins import PostgresPins
from pipelines.adapters.postgres.retention import PostgresRetention
from pipelines.errors import ArchiveUnavailable, NotFound, OwnerBusy
from pipelines.flows.archive import ArchiveOld, RestoreArchived
from pipelines.flows.event_log import CheckEvents
from pipelines.flows.snapshots import SnapshotEvents
from pipelines.model import Owner, ReceiptId, TranscriptState
from pipelines.outcome import Done, Snoozed
from pipelines.plan import Insert, Plan, Reinforce
from pipelines.ports import (
    ArchivedKind,
    Erasure,
    ErasureId,
    ErasureState,
    HoldId,
    LegalHold,
    Portion,
    Subject,
)
from pipelines.stages.event_log import fold
from pipelines.testing.archive import InMemoryArchive
from pipelines.testing.surroundings import ManualClock
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

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipelines.model import Memory
    from pipelines.outcome import Outcome
    from pipelines.plan import Change
    from pipelines.ports import Archive, OldRows

LEASE = timedelta(minutes=5)
POLICY = replace(ArchivePolicy(), snapshot_each=3, least_events=2, least_sessions=1, batch=4)
LATER = day(100)


@pytest.fixture(params=["memory", "directory", "objects"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Archive:
    if request.param == "memory":
        return InMemoryArchive()
    if request.param == "directory":
        return DirectoryArchive(tmp_path / "archive")
    return ObjectArchive(MemoryStore())


# ---- keeping bytes -------------------------------------------------------------------------------


def test_archive_gives_back_what_was_put_last(archive: Archive) -> None:
    """Under each key."""
    archive.put("a/b/1.txt", b"one")
    archive.put("a/b/1.txt", b"two")

    assert b"two" == archive.get("a/b/1.txt")
    with pytest.raises(NotFound):
        archive.get("a/b/2.txt")


def test_archive_lists_what_is_below_a_folder_in_order(archive: Archive) -> None:
    """A folder whose name only begins so is another one."""
    for key in ("a/b/2", "a/b/c/1", "a/bc/1", "b/1"):
        archive.put(key, b"x")

    assert ["a/b/2", "a/b/c/1"] == list(archive.list("a/b"))
    assert [] == list(archive.list("nobody"))


def test_archive_forgets_what_is_deleted(archive: Archive) -> None:
    """Also what is not there."""
    archive.put("a/1", b"x")

    archive.delete(["a/1", "a/2"])
    archive.delete(["a/1"])

    assert [] == list(archive.list("a"))


def test_directory_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    """Without the path, which may hold a name."""
    (tmp_path / "file").write_bytes(b"")
    archive = DirectoryArchive(tmp_path / "file")

    for use in (lambda: archive.put("a", b"x"), lambda: archive.get("a")):
        with pytest.raises(ArchiveUnavailable, match="MEMSTILL_ARCHIVE_URL") as caught:
            use()
        assert str(tmp_path) not in str(caught.value)


# ---- files of users ------------------------------------------------------------------------------


def portion(*lines: bytes, owner: Owner = ALICE, first: int = 1) -> Portion:
    last = first + len(lines) - 1
    return Portion(ArchivedKind.EVENTS, owner, lines, (), f"{first:020d}", f"{last:020d}")


def test_file_is_listed_with_its_manifest_and_read_back(archive: Archive) -> None:
    """By its user and its tenant alone."""
    files = ArchivedFiles(archive)
    written = files.write(portion(b'{"seq":1}', b'{"seq":2}'), START)
    other = files.write(portion(b'{"seq":3}', owner=BOB), START)
    files.write(portion(b'{"seq":4}', owner=Owner("other", "alice")), START)

    assert written is not None
    assert [written] == files.list_files(ALICE)
    assert [written, other] == files.list_tenant("acme")
    assert (2, "0" * 19 + "1", "0" * 19 + "2") == (written.rows, written.first, written.last)
    assert [b'{"seq":1}', b'{"seq":2}'] == files.read(written)
    assert not [key for key in archive.list(folder_of(ALICE)) if "alice" in key]


def test_what_a_file_holds_already_is_not_written_again(archive: Archive) -> None:
    """Rows that were put back, or that a crash left, are archived once."""
    files = ArchivedFiles(archive)
    files.write(portion(b'{"seq":1}', b'{"seq":2}'), START)

    assert files.write(portion(b'{"seq":1}', b'{"seq":2}'), day(1)) is None
    more = files.write(portion(b'{"seq":2}', b'{"seq":3}', first=2), day(1))

    assert more is not None
    assert [b'{"seq":3}'] == files.read(more)


def test_draft_that_a_crash_left_goes_with_its_user_and_with_any_session(tmp_path: Path) -> None:
    """What was half written holds what somebody may have erased."""
    archive = DirectoryArchive(tmp_path)
    files = ArchivedFiles(archive)
    for subject in (None, "s1"):
        draft = tmp_path / folder_of(ALICE) / "events" / "1-2-ab.jsonl.zst.0f.part"
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(b"xylophone")
        assert 1 == files.count_left(ALICE, subject, [])

        if subject is None:
            files.remove_user(ALICE)
        else:
            files.remove_session(ALICE, subject, [])

        assert not draft.exists()
        assert 0 == files.count_left(ALICE, subject, [])


def test_file_that_is_being_written_is_taken_away_only_from_whom_it_tells(archive: Archive) -> None:
    """The rows of the others are deleted as soon as it is finished, and would be nowhere."""
    files = ArchivedFiles(archive)
    line = b'{"seq":1,"memory_id":"m","body":{"added":[{"session_id":"s1"}]}}'
    written = files.write(portion(line), START)
    assert written is not None
    manifest = written.key.replace(".jsonl.zst", ".manifest.json")
    kept = archive.get(manifest)
    archive.delete([manifest])

    assert 0 == files.count_left(ALICE, "s2", [])
    files.remove_session(ALICE, "s2", [])
    archive.put(manifest, kept)
    assert [line] == files.read(written)

    archive.delete([manifest])
    assert 1 == files.count_left(ALICE, "s1", [])
    files.remove_session(ALICE, "s1", [])
    archive.put(manifest, kept)
    files.remove_session(ALICE, "s1", [])
    assert [] == list(archive.list(folder_of(ALICE)))


def test_damaged_file_is_not_read(archive: Archive) -> None:
    """Nor one that is gone."""
    files = ArchivedFiles(archive)
    written = files.write(portion(b'{"seq":1}'), START)
    assert written is not None

    archive.put(written.key, b"something else")
    with pytest.raises(ArchiveUnavailable, match="manifest"):
        files.read(written)
    archive.delete([written.key])
    with pytest.raises(ArchiveUnavailable, match="manifest"):
        files.read(written)


def test_file_that_does_not_come_back_as_it_was_put_is_not_finished() -> None:
    """Without a manifest nobody takes it for archived."""

    class Forgetful(InMemoryArchive):
        def put(self, key: str, content: bytes) -> None:
            super().put(key, content[:-1])

    archive = Forgetful()
    files = ArchivedFiles(archive)

    with pytest.raises(ArchiveUnavailable):
        files.write(portion(b'{"seq":1}'), START)
    assert [] == files.list_files(ALICE)
    assert 1 == files.remove_user(ALICE)
    assert {} == archive.kept


# ---- from the database and back ------------------------------------------------------------------


class World:
    """A user whose memories have a past."""

    def __init__(self, database: Database, archive: Archive) -> None:
        self.database, self.archive = database, archive
        self.clock = ManualClock(START)
        self.store, self.inbox = PostgresMemoryStore(database), PostgresInbox(database)
        self.log = PostgresEventLog(database)
        self.files = ArchivedFiles(archive)
        self.events = PostgresOldEvents(database, POLICY.least_events)
        self.sessions = PostgresOldSessions(database, POLICY.least_sessions)
        self.snapshots = SnapshotEvents(
            self.log, PostgresLogSnapshots(database), self.clock, POLICY
        )
        rows = {ArchivedKind.EVENTS: self.events, ArchivedKind.SESSIONS: self.sessions}
        self.job = ArchiveOld(self.files, rows, self.clock, POLICY)  # type: ignore[arg-type]
        self.restore = RestoreArchived(self.files, self.events, self.snapshots)

    def commit(self, *changes: Change, at: Any = START) -> None:  # noqa: ANN401
        owner = changes[0].memory.owner
        self.store.mark_owner_due(owner, at)
        claim = self.store.claim_owner(owner, at, LEASE)
        assert claim is not None
        versions = {change.memory.id: change.memory.version - 1 for change in changes}
        read = {key: version for key, version in versions.items() if version}
        self.store.commit_plan(claim, Plan(changes, read), at)
        self.store.release_owner(claim, None, at)

    def live(self, *statements: str, owner: Owner = ALICE) -> list[Memory]:
        """Each statement is said twice, in a session of its own: two events."""
        made = []
        for statement in statements:
            fact = make_fact(statement, owner=owner, session=statement)
            memory = make_memory(fact)
            said = make_evidence("again", receipt=fact.transcript_id, session="more", index=9)
            after = replace(memory, evidence=(*memory.evidence, said), version=2)
            self.commit(Insert(memory))
            self.commit(Reinforce(after, (said,)))
            made.append(after)
        return made

    def finish_sessions(self, *names: str) -> list[ReceiptId]:
        """Sessions that were done at once with nothing worth keeping, their text gone."""
        receipts = []
        for name in names:
            transcript = make_transcript("hello", session=name, key=name)
            self.inbox.accept([transcript], START)
            claim = self.inbox.claim_transcript(transcript.id, START, LEASE)
            assert claim is not None
            self.inbox.commit_distilled(claim, [], [], START)
            receipts.append(transcript.id)
        PostgresRetention(self.database, PassagePolicy()).strip_transcripts(day(9), 99)
        return receipts

    def archive_old(self, at: Any = LATER) -> Outcome:  # noqa: ANN401
        self.clock.at = at
        self.snapshots.run()
        return self.job.run()

    def told(self, owner: Owner = ALICE) -> Any:  # noqa: ANN401
        assert () == CheckEvents(self.log).run_user(owner).divergent
        read = self.log.read_log(owner)
        return fold(read.entries, read.start)

    def numbers(self) -> list[int]:
        return self.query("SELECT seq FROM events ORDER BY 1")

    def query(self, statement: str, **values: Any) -> list[Any]:  # noqa: ANN401
        with self.database.transaction() as connection:
            return list(connection.execute(text(statement), values).scalars())

    def erase(self, subject: Subject) -> Erasure:
        erasure = Erasure(
            id=ErasureId(uuid.uuid4()),
            tenant_id="acme",
            subject_key=subject.key,
            subject=subject,
            state=ErasureState.PURGING,
            requested_at=day(200),
            requested_by="test",
            mark_at=day(200),
            due_at=day(200),
        )
        return PostgresErasures(self.database).begin(erasure, LEASE).erasure


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
    read = world.events.read(ALICE, day(50), POLICY.batch)
    world.files.write(read, LATER)

    assert Done({"events": 4}) == world.archive_old()

    assert [4] == [file.rows for file in world.files.list_files(ALICE)]
    assert [] == world.numbers()


@pytest.mark.parametrize("kind", list(ArchivedKind))
def test_two_who_archive_the_same_lose_nothing(world: World, kind: ArchivedKind) -> None:
    """The one who comes too late rests on the file of the other, or the other on theirs."""
    world.live("Likes tea.", "Plays chess.")
    world.finish_sessions("s1")
    world.clock.at = LATER
    world.snapshots.run()
    rows: OldRows = world.events if kind is ArchivedKind.EVENTS else world.sessions

    class MeanwhileArchived(InMemoryArchive):
        is_first = True

        def put(self, key: str, content: bytes) -> None:
            super().put(key, content)
            if self.is_first and kind in key and key.endswith(".json"):
                self.is_first = False
                assert isinstance(job.run(), Done)

    archive = MeanwhileArchived()
    job = replace(world.job, files=ArchivedFiles(archive))
    lines = rows.read(ALICE, day(50), 99).lines
    assert isinstance(job.run(), Done)

    assert not rows.read(ALICE, day(50), 99).lines
    files = [file for file in ArchivedFiles(archive).list_files(ALICE) if file.kind is kind]
    assert list(lines) == [line for file in files for line in ArchivedFiles(archive).read(file)]


@pytest.mark.parametrize("session", [None, "Likes tea."], ids=["user", "session"])
def test_what_is_erased_while_it_is_archived_is_not_in_the_archive(
    world: World, session: str | None
) -> None:
    """Whichever of the two was first."""
    world.live("Likes tea.", "Plays chess.")
    world.finish_sessions("Likes tea.")
    world.clock.at = LATER
    world.snapshots.run()

    class MeanwhileErased(InMemoryArchive):
        def put(self, key: str, content: bytes) -> None:
            if not self.kept:
                world.erase(Subject(ALICE, session))
            super().put(key, content)

    archive = MeanwhileErased()
    files = ArchivedFiles(archive)
    job = replace(world.job, files=files)
    assert Done({}) == job.run()

    lines = [line for file in files.list_files(ALICE) for line in files.read(file)]
    assert not [line for line in lines if b"tea" in line]
    assert 0 == files.count_left(ALICE, session, [])
    assert [] == [body for body in world.query("SELECT body::text FROM events") if "tea" in body]


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
