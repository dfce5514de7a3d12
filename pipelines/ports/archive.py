"""The archive: old events and sessions as files, outside the database."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from pipelines.model import MemoryId, Owner


class Archive(Protocol):
    """Keeps bytes under keys; a key is a relative path, written with slashes.

    Every method may raise ``ArchiveUnavailable``.
    """

    def put(self, key: str, content: bytes) -> None:
        """Keep it, in the place of what was there; when this returns it is durable."""
        ...

    def get(self, key: str) -> bytes:
        """What is kept.

        Raises:
            NotFound: Nothing is.
        """
        ...

    def list(self, folder: str) -> Sequence[str]:
        """The keys below a folder, in order; whole names of folders count."""
        ...

    def delete(self, keys: Collection[str]) -> None:
        """Forget them; what is not there is no error."""
        ...


class ArchivedKind(StrEnum):
    """What a file holds."""

    EVENTS = "events"
    SESSIONS = "sessions"


@dataclass(frozen=True, slots=True)
class Portion:
    """Rows of one user that may leave the database.

    Attributes:
        lines: Each a row, as JSON.
        keys: Of the rows, in the same order.
        first: The number of the first event, or when the first session was done.
    """

    kind: ArchivedKind
    owner: Owner
    lines: tuple[bytes, ...] = ()
    keys: tuple[Any, ...] = ()
    first: str = ""
    last: str = ""


@dataclass(frozen=True, slots=True)
class ErasedPart:
    """What was erased of a user.

    Attributes:
        session_id: None where it is the user.
        memory_ids: Memories that the session had a part in, as far as they are known still.
    """

    session_id: str | None
    memory_ids: tuple[MemoryId, ...]


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """What the manifest beside a file says of it.

    Attributes:
        sha256: Of its bytes as they are kept, in hex.
    """

    key: str
    kind: ArchivedKind
    owner: Owner
    rows: int
    size: int
    sha256: str
    first: str
    last: str
    written_at: datetime


class ArchiveFiles(Protocol):
    """The files of users, each with a manifest; one without a manifest is not finished."""

    def write(self, portion: Portion, now: datetime) -> ArchivedFile | None:
        """Write what no other file holds, and read it back; None if all of it is held.

        Raises:
            ArchiveUnavailable: It could not be read back as it was written.
        """
        ...

    def list_files(self, owner: Owner) -> list[ArchivedFile]:
        """The finished files of a user, the oldest rows of each kind first."""
        ...

    def list_tenant(self, tenant_id: str) -> list[ArchivedFile]:
        """Those of all users of a tenant."""
        ...

    def read(self, file: ArchivedFile) -> list[bytes]:
        """The lines of a file.

        Raises:
            ArchiveUnavailable: It is not what its manifest says.
        """
        ...

    def delete(self, file: ArchivedFile) -> None:
        """Delete a file, its manifest first."""
        ...

    def remove_user(self, owner: Owner) -> int:
        """Delete all that there is of a user; gives how many files."""
        ...

    def remove_session(self, owner: Owner, session_id: str, ids: Collection[MemoryId]) -> int:
        """Take out what a session said, and all of the memories that it had a part in.

        Returns:
            How many rows were taken out.
        """
        ...

    def count_left(self, owner: Owner, session_id: str | None, ids: Collection[MemoryId]) -> int:
        """Files of a user, or rows of a session, that would have to be removed."""
        ...


class OldRows(Protocol):
    """Rows of one kind that are old enough to leave the database."""

    def find_owners(
        self, after: Owner | None, before: datetime, limit: int
    ) -> tuple[list[Owner], Owner | None]:
        """Those of the next ``limit`` users who have enough of them for a file.

        Nobody on whom a legal hold is, no generation that is held ready, and not everyone.

        Returns:
            Them, and behind whom to go on; None after the last one.
        """
        ...

    def move(
        self,
        owner: Owner,
        before: datetime,
        limit: int,
        write: Callable[[Portion], object],
        now: datetime,
    ) -> int:
        """Hand a user's oldest rows of before then to ``write``, and delete them.

        Nobody erases, holds, changes or moves any of them meanwhile. If they cannot be written
        they stay; if they cannot be deleted they are in both places.

        Returns:
            How many there were; none are left if there were fewer than ``limit``.
        """
        ...

    def find_erased(self, portion: Portion) -> list[ErasedPart]:
        """What was erased of the user since these rows came to be."""
        ...


class ReturningEvents(Protocol):
    """Has archived events back in the database."""

    def put_back(self, owner: Owner, lines: Sequence[bytes]) -> int:
        """Insert events under the numbers that they had; gives how many were not there.

        Raises:
            OwnerBusy: The user is being erased.
            VersionConflict: No snapshot covers them.
        """
        ...
