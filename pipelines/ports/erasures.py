"""Erasing a subject everywhere, and the proof that it was done."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NewType, Protocol

from pipelines.model import SHADOW

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from pipelines.model import MemoryId, Owner, ReceiptId
    from pipelines.ports.memories import OwnerClaim

ErasureId = NewType("ErasureId", uuid.UUID)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom, or what of whom, to erase: a live user, or one session of theirs."""

    owner: Owner
    session_id: str | None = None

    @property
    def key(self) -> str:
        """SHA-256 of its names, in hex: what is kept of them when all is gone.

        Whoever can guess a name can test the guess; nobody can read it.
        """
        session = () if self.session_id is None else (self.session_id,)
        return hashlib.sha256(SHADOW.join((*self.owner.names, *session)).encode()).hexdigest()


class ErasureState(StrEnum):
    """How far an erasure is.

    ``purging`` already is invisible; ``purged`` is gone from every store as far as anyone knows;
    ``verified`` was looked for again later and not found.
    """

    PURGING = "purging"
    PURGED = "purged"
    VERIFIED = "verified"


@dataclass(frozen=True, slots=True)
class Erasure:
    """One request to erase, from its first transaction to its proof.

    Attributes:
        tenant_id: Whose request it is.
        subject: None once it is verified: then only its key is kept.
        mark_at: What was on the Stream until then is part of it, by the Stream's own clock.
        due_at: When it is taken up next; None when it is verified.
        removed: Rows, points and entries that were removed, by store.
        found: What verification found, by store: all zero when it is verified.
        receipts: Transcripts that were removed, until it is verified.
        memory_ids: Memories that were removed, until it is verified; some may be there again,
            recomputed from what is left.
    """

    id: ErasureId
    tenant_id: str
    subject_key: str
    subject: Subject | None
    state: ErasureState
    requested_at: datetime
    requested_by: str
    mark_at: datetime
    due_at: datetime | None
    purged_at: datetime | None = None
    verified_at: datetime | None = None
    removed: Mapping[str, int] = field(default_factory=dict)
    found: Mapping[str, int] = field(default_factory=dict)
    receipts: tuple[ReceiptId, ...] = ()
    memory_ids: tuple[MemoryId, ...] = ()
    last_error: str | None = None

    @property
    def is_of_session(self) -> bool:
        """Whether the rest of the user stays."""
        return self.subject is not None and self.subject.session_id is not None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What the first transaction of an erasure did.

    Attributes:
        owners: All under whom the subject had anything: the live user, and sides of a generation.
        claims: Leases of those who have to be consolidated anew; the caller gives them back.
        is_shared: Memories of everyone rested on the subject; who says them must be counted anew.
    """

    erasure: Erasure
    owners: tuple[Owner, ...]
    claims: tuple[OwnerClaim, ...]
    is_shared: bool


class ErasureStore(Protocol):
    """Erasures, and what they do to the truth."""

    def begin(self, erasure: Erasure, lease: timedelta) -> Forgotten:
        """Remove all that the store has of the subject, in one transaction.

        From then on nothing that was on its way before can be stored: leases are void, and what
        the Stream held until ``mark_at`` is refused by the inbox. Memories that rested on more
        than an erased session are removed, too, and their other facts wait to be consolidated
        anew, under leases that the caller holds until the index has forgotten the old ones.
        """
        ...

    def claim_due(self, now: datetime, lease: timedelta) -> Erasure | None:
        """An erasure that is to be gone on with, the longest due first."""
        ...

    def project_again(self, erasure: Erasure, owners: Sequence[Owner], now: datetime) -> None:
        """Let what is there again be projected anew: of a session, the memories recomputed.

        Of a user, whatever these owners have by now.
        """
        ...

    def record_purged(self, key: ErasureId, removed: Mapping[str, int], due_at: datetime) -> None:
        """It is gone as far as anyone knows; to be verified at ``due_at``."""
        ...

    def postpone(self, key: ErasureId, due_at: datetime, error: str) -> None:
        """It could not be gone on with."""
        ...

    def count_left(self, erasure: Erasure) -> dict[str, int]:
        """Rows of the subject in each table that should have none any more."""
        ...

    def find_owners(self, erasure: Erasure) -> list[Owner]:
        """All under whom the subject may have anything."""
        ...

    def count_expected(self, owner: Owner) -> int:
        """Points that the index should have of this owner."""
        ...

    def record_verified(self, key: ErasureId, found: Mapping[str, int], now: datetime) -> None:
        """It is proven; the names are forgotten, too."""
        ...

    def find(self, tenant_id: str, key: ErasureId) -> Erasure:
        """One of the tenant's.

        Raises:
            NotFound: There is none of that id.
        """
        ...

    def list_latest(
        self, tenant_id: str, limit: int, after: ErasureId | None = None
    ) -> list[Erasure]:
        """The tenant's, the newest first; those behind one of them if it is named."""
        ...

    def count_overdue(self, before: datetime) -> int:
        """Those that were requested before then and are not verified."""
        ...


class SubjectStream(Protocol):
    """The intake Stream, as far as erasing is concerned."""

    def mark(self) -> datetime:
        """The time of the last entry that was ever appended, by the Stream's own clock."""
        ...

    def remove(self, subject: Subject, until: datetime) -> int:
        """Delete the subject's entries up to then; gives how many."""
        ...

    def count(self, subject: Subject, until: datetime) -> int:
        """The subject's entries up to then."""
        ...

    def compact(self) -> None:
        """Have what was deleted leave the server's files, too, where it lets itself be asked."""
        ...


class SubjectCache(Protocol):
    """What is kept of subjects beside the truth, for a while."""

    @property
    def name(self) -> str:
        """As receipts of erasures call it."""
        ...

    def remove(self, subject: Subject, until: datetime) -> int:
        """Remove what was kept of a subject until then; gives how many entries.

        What is being written at this moment is refused, or goes, too.
        """
        ...

    def count(self, subject: Subject, until: datetime) -> int:
        """Entries of a subject that are from until then."""
        ...
