"""What the server answers about erasures."""

from datetime import datetime
from uuid import UUID

from memstill_client.replies import Reply


class Erasure(Reply):
    """The receipt of an erasure; a proof once its state is ``verified``.

    Attributes:
        subject: SHA-256, in hex, of tenant, user and session with U+001F between them: what is
            kept of the names.
        state: ``purging``, ``purged`` or ``verified``; invisible it is from the beginning.
        removed: Rows, points and entries removed, by store.
        found: What the search afterwards found, by store: all zero.
        digest: SHA-256, in hex, of the fields above it as canonical JSON.
    """

    id: UUID
    tenant_id: str
    subject: str
    state: str
    requested_at: datetime
    requested_by: str
    deadline_at: datetime
    purged_at: datetime | None = None
    verified_at: datetime | None = None
    removed: dict[str, int]
    found: dict[str, int]
    last_error: str | None = None
    digest: str


class ErasurePage(Reply):
    """Some erasures, the newest first; ``next`` is None on the last page."""

    erasures: tuple[Erasure, ...]
    next: UUID | None = None
