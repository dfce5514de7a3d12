"""Archives keep their contract, and so do the files in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from obstore.store import MemoryStore

from pipelines.adapters.archive_directory import DirectoryArchive
from pipelines.adapters.archive_files import ArchivedFiles, folder_of
from pipelines.adapters.archive_objects import ObjectArchive
from pipelines.errors import ArchiveUnavailable, NotFound
from pipelines.model import Owner
from pipelines.ports import (
    ArchivedKind,
    Portion,
)
from pipelines.testing.archive import InMemoryArchive
from tests.builders import (
    ALICE,
    BOB,
    START,
    day,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.ports import Archive


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
