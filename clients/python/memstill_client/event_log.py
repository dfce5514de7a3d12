"""The event log, against the tables and in the archive."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from urllib.parse import urlencode
from uuid import UUID

from memstill_client.calls import Call
from memstill_client.endpoints import Endpoints
from memstill_client.replies import Reply
from memstill_client.transports import AsyncTransport, Transport


class Divergence(Reply):
    """A memory of which the tables say something else than the log.

    Attributes:
        what: The fields that differ; ``missing`` in the tables, ``surplus`` there, or
            ``evidence``.
    """

    user_id: str
    memory_id: UUID
    what: tuple[str, ...]


class EventCheck(Reply):
    """What comparing some users came to; ``next`` is behind whom the next part begins."""

    users: int
    memories: int
    differences: tuple[Divergence, ...]
    next: str | None = None


class Rewritten(Reply):
    """Memories that were written from the log, and those that it did not know."""

    written: int
    removed: int


class ArchivedFile(Reply):
    """A file in the archive, as its manifest describes it.

    Attributes:
        kind: ``events`` or ``sessions``.
        size: Bytes as they are kept.
        first: The number of the first event, or when the first session was done.
    """

    key: str
    kind: str
    user_id: str
    rows: int
    size: int
    sha256: str
    first: str
    last: str
    written_at: datetime


class ArchivePage(Reply):
    """What the archive has."""

    files: tuple[ArchivedFile, ...]


class EventsRestored(Reply):
    """How many events came back."""

    restored: int


class EventLog:
    """Looks at the event log, and has things put right by it."""

    _endpoints: Endpoints
    _http: Transport

    def check_events(self, user_id: str | None = None) -> Iterator[EventCheck]:
        """Compare what the log says with the tables, of one user or of all, part by part."""
        after: str | None = None
        while True:
            page = self._http.ask(_check_call(user_id, after, self._endpoints))
            yield page
            after = page.next
            if after is None:
                return

    def rebuild_memories(self, user_id: str) -> Rewritten:
        """Have the tables say of a user what the log says; what is right is not touched."""
        return self._http.ask(_rebuild_call(user_id, self._endpoints))

    def archived_files(self, user_id: str | None = None) -> tuple[ArchivedFile, ...]:
        """The files that the archive has of the tenant, or of one user."""
        return self._http.ask(_files_call(user_id, self._endpoints)).files

    def restore_events(self, user_id: str) -> int:
        """Put a user's archived events back into the database; gives how many were not there."""
        return self._http.ask(_restore_call(user_id, self._endpoints)).restored


class AsyncEventLog:
    """See ``EventLog``."""

    _endpoints: Endpoints
    _http: AsyncTransport

    async def check_events(self, user_id: str | None = None) -> AsyncIterator[EventCheck]:
        """See ``Memstill.check_events``."""
        after: str | None = None
        while True:
            page = await self._http.ask(_check_call(user_id, after, self._endpoints))
            yield page
            after = page.next
            if after is None:
                return

    async def rebuild_memories(self, user_id: str) -> Rewritten:
        """See ``Memstill.rebuild_memories``."""
        return await self._http.ask(_rebuild_call(user_id, self._endpoints))

    async def archived_files(self, user_id: str | None = None) -> tuple[ArchivedFile, ...]:
        """See ``Memstill.archived_files``."""
        return (await self._http.ask(_files_call(user_id, self._endpoints))).files

    async def restore_events(self, user_id: str) -> int:
        """See ``Memstill.restore_events``."""
        return (await self._http.ask(_restore_call(user_id, self._endpoints))).restored


def _check_call(user_id: str | None, after: str | None, endpoints: Endpoints) -> Call[EventCheck]:
    asked = {"user_id": user_id, "after": after}
    return Call(
        "POST",
        "/v1/events:check",
        EventCheck,
        json.dumps(asked).encode(),
        tenant_id=endpoints.tenant_id,
    )


def _rebuild_call(user_id: str, endpoints: Endpoints) -> Call[Rewritten]:
    asked = json.dumps({"user_id": user_id}).encode()
    return Call("POST", "/v1/events:rebuild", Rewritten, asked, tenant_id=endpoints.tenant_id)


def _files_call(user_id: str | None, endpoints: Endpoints) -> Call[ArchivePage]:
    query = "" if user_id is None else f"?{urlencode({'user_id': user_id})}"
    return Call("GET", f"/v1/archive{query}", ArchivePage, tenant_id=endpoints.tenant_id)


def _restore_call(user_id: str, endpoints: Endpoints) -> Call[EventsRestored]:
    asked = json.dumps({"user_id": user_id}).encode()
    return Call("POST", "/v1/archive:restore", EventsRestored, asked, tenant_id=endpoints.tenant_id)
