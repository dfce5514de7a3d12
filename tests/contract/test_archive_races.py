"""Who archives beside others, is cut off or stands still loses nothing and keeps nobody erased."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.adapters.archive_files import ArchivedFiles
from pipelines.adapters.postgres import (
    Database,
)
from pipelines.errors import StoreUnavailable
from pipelines.flows.archive import DAMAGED
from pipelines.outcome import Done
from pipelines.ports import (
    ArchivedKind,
    Erasure,
    Portion,
    Subject,
)
from pipelines.testing.archive import InMemoryArchive
from tests.acceptance.deployment import wait_until
from tests.builders import (
    ALICE,
    BOB,
    day,
)
from tests.contract.archiving import LATER, World

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    database = Database(database_url, pool_size=3)
    yield World(database, InMemoryArchive())
    database.close()


@pytest.mark.parametrize("session", [None, "Likes tea."], ids=["user", "session"])
def test_who_erases_waits_for_who_archives(world: World, session: str | None) -> None:
    """And finds in the archive what has just come there."""
    world.live("Likes tea.", "Plays chess.")
    world.finish_sessions("Likes tea.")
    world.clock.at = LATER
    world.snapshots.run()
    begun = Future[Any]()

    class MeanwhileErased(InMemoryArchive):
        def put(self, key: str, content: bytes) -> None:
            if not self.kept:
                begun.set_result(threads.submit(world.erase, Subject(ALICE, session)))
                waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                wait_until(lambda: bool(world.query(waiting)), "who erases waits for the archive")
            super().put(key, content)

    files = ArchivedFiles(MeanwhileErased())
    with ThreadPoolExecutor(1) as threads:
        replace(world.job, files=files).run()
        erasure: Erasure = begun.result(0).result(30)
    assert any(b"tea" in line for line in _lines_in(files))

    if session is None:
        files.remove_user(ALICE)
    else:
        files.remove_session(ALICE, session, erasure.memory_ids)

    _check_gone(world, files, session)


@pytest.mark.parametrize("session", [None, "Likes tea."], ids=["user", "session"])
def test_what_is_erased_while_who_archives_stands_still_is_not_written_behind_it(
    world: World, session: str | None
) -> None:
    """The server had given up on them; the erasure found nothing in the archive, and was over."""
    world.live("Likes tea.", "Plays chess.")
    world.finish_sessions("Likes tea.")
    world.clock.at = LATER
    world.snapshots.run()

    class Frozen(InMemoryArchive):
        def put(self, key: str, content: bytes) -> None:
            if not self.kept:
                world.cut_off()
                world.erase(Subject(ALICE, session))
            super().put(key, content)

    files = ArchivedFiles(Frozen())
    with pytest.raises(StoreUnavailable):
        replace(world.job, files=files).run()

    _check_gone(world, files, session)


@pytest.mark.parametrize("kind", list(ArchivedKind))
def test_two_who_archive_at_once_lose_nothing(world: World, kind: ArchivedKind) -> None:
    """What one of them has in hand the other leaves alone."""
    lines, meanwhile = _make_old(world, kind), []

    class Overtaken(InMemoryArchive):
        def put(self, key: str, content: bytes) -> None:
            if kind in key:
                meanwhile.append(replace(world.job, files=ArchivedFiles(self)).run())
            super().put(key, content)

    files = ArchivedFiles(Overtaken())
    done = replace(world.job, files=files).run()
    assert isinstance(done, Done)
    assert done.counts[kind.value] == len(lines)

    assert all(isinstance(one, Done) and kind not in one.counts for one in meanwhile)
    assert len(meanwhile) == 2
    assert lines == _lines_in(files, kind)


@pytest.mark.parametrize("kind", list(ArchivedKind))
def test_archive_keeps_what_another_deleted_when_the_first_is_cut_off(
    world: World, kind: ArchivedKind
) -> None:
    """The other found the rows in the file, and only deleted them."""
    lines, meanwhile = _make_old(world, kind), []

    class CutOff(InMemoryArchive):
        def put(self, key: str, content: bytes) -> None:
            super().put(key, content)
            if kind in key and key.endswith(".json"):
                world.cut_off()
                meanwhile.append(replace(world.job, files=ArchivedFiles(self)).run())

    files = ArchivedFiles(CutOff())
    with pytest.raises(StoreUnavailable):
        replace(world.job, files=files).run()

    (other,) = meanwhile
    assert isinstance(other, Done)
    assert other.counts[kind.value] == len(lines)
    assert [] == _left(world, kind)
    assert lines == _lines_in(files, kind)


@pytest.mark.parametrize("damage", ["file", "manifest"])
def test_damaged_file_of_one_user_does_not_hold_up_the_others(world: World, damage: str) -> None:
    """Their rows stay where they are, and the run says that it met one."""
    for owner in (ALICE, BOB):
        world.live("Likes tea.", "Plays chess.", owner=owner)
    world.clock.at = LATER
    world.snapshots.run()
    archive = InMemoryArchive()
    job = replace(world.job, files=ArchivedFiles(archive))
    lines = _left(world, ArchivedKind.EVENTS)

    def crash(portion: Portion) -> None:
        job.files.write(portion, LATER)
        raise StoreUnavailable("killed")

    with suppress(StoreUnavailable):
        world.events.move(ALICE, day(50), 99, crash, LATER)
    suffix = ".json" if damage == "manifest" else ".zst"
    (key,) = [key for key in archive.kept if key.endswith(suffix)]
    archive.kept[key] = b"{}" if damage == "manifest" else archive.kept[key][:-1]

    done = job.run()

    assert Done({"events": 4, DAMAGED: 1}) == done
    assert lines == _left(world, ArchivedKind.EVENTS)


def _make_old(world: World, kind: ArchivedKind) -> list[bytes]:
    """Old rows of both kinds; the lines that those of one kind make."""
    world.live("Likes tea.", "Plays chess.")
    world.finish_sessions("s1", "s2")
    world.clock.at = LATER
    world.snapshots.run()
    return _left(world, kind)


def _left(world: World, kind: ArchivedKind) -> list[bytes]:
    """What could be archived still."""
    seen: list[bytes] = []

    def look(portion: Portion) -> None:
        seen.extend(portion.lines)
        raise StoreUnavailable("only looking")

    with suppress(StoreUnavailable):
        world.job.rows[kind].move(ALICE, day(50), 99, look, LATER)
    return seen


def _lines_in(files: ArchivedFiles, kind: ArchivedKind | None = None) -> list[bytes]:
    wanted = [file for file in files.list_files(ALICE) if kind in {None, file.kind}]
    return [line for file in wanted for line in files.read(file)]


def _check_gone(world: World, files: ArchivedFiles, session: str | None) -> None:
    assert [] == [line for line in _lines_in(files) if b"tea" in line]
    assert 0 == files.count_left(ALICE, session, [])
    assert [] == [body for body in world.query("SELECT body::text FROM events") if "tea" in body]
