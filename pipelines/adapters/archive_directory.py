"""An archive in a directory."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipelines.errors import ArchiveUnavailable, NotFound

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

_DRAFT = ".part"


class DirectoryArchive:
    """``Archive`` in a directory, of which each key is a path."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str, content: bytes) -> None:
        path = self._root / key
        draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}{_DRAFT}")
        with _translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as target:
                target.write(content)
                target.flush()
                os.fsync(target.fileno())
            draft.replace(path)
            _sync_folder(path.parent)

    def get(self, key: str) -> bytes:
        with _translated():
            try:
                return (self._root / key).read_bytes()
            except FileNotFoundError:
                raise NotFound(f"the archive has no {key}") from None

    def list(self, folder: str) -> list[str]:
        with _translated():
            found = (self._root / folder).rglob("*")
            # Drafts as well, which a crash has left: they hold what somebody may have erased.
            return sorted(
                path.relative_to(self._root).as_posix() for path in found if path.is_file()
            )

    def delete(self, keys: Collection[str]) -> None:
        with _translated():
            for key in keys:
                (self._root / key).unlink(missing_ok=True)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArchiveUnavailable(
            f"the archive cannot be used ({error.strerror or type(error).__name__}): check the "
            "directory of MEMSTILL_ARCHIVE_URL and its rights"
        ) from None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
