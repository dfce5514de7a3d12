"""How long memories are told: pins, legal holds, and what is about to fade."""

import json
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

from pydantic import Field

from memstill_client.calls import Call, memory_call, page_call
from memstill_client.endpoints import Endpoints
from memstill_client.jobs import JobTurn
from memstill_client.replies import Document, Reply
from memstill_client.transports import AsyncTransport, Transport


class StrengthPart(Reply):
    """A bar of the histogram, which ends where the next one begins."""

    start: float = Field(alias="from")
    memories: int


class FadedMemory(Reply):
    """A memory that would be evicted now, and why."""

    id: UUID
    user_id: str
    statement: str
    kind: str
    importance: float
    strength: float
    reason: str


class Fading(Reply):
    """How strong the memories of a tenant are, and which would go.

    Attributes:
        fading: How many, by kind.
        spared: Faded, but pinned or under a legal hold.
        evicted: Evicted before, and to be had back.
    """

    strengths: tuple[StrengthPart, ...]
    fading: dict[str, int]
    spared: int
    evicted: int
    faded: tuple[FadedMemory, ...]


class DecayTurn(JobTurn):
    """What a turn came to; ``position`` is where the next one goes on."""

    position: str | None = None


class Forgotten(Reply):
    """A memory that is told no more; both times are None where something brought it back."""

    id: UUID
    version: int
    forgotten_at: datetime | None = None
    restorable_until: datetime | None = None


class LegalHold(Reply):
    """A user whose data nobody deletes, and why; ``released_at`` is None while it holds."""

    id: UUID
    user_id: str
    reason: str
    placed_at: datetime
    placed_by: str
    released_at: datetime | None = None
    released_by: str | None = None


class HoldPage(Reply):
    """Some holds, the newest first; ``next`` is None on the last page."""

    holds: tuple[LegalHold, ...]
    next: UUID | None = None


class Lifecycle:
    """Decides how long memories are told; repeating a decision changes nothing."""

    _endpoints: Endpoints
    _http: Transport

    def pin(self, memory_id: UUID | str) -> dict[str, Any]:
        """Keep a memory from ever fading.

        Raises:
            NotFound: The tenant has no such memory.
        """
        return self._http.ask(_pin_call(memory_id, "pin", self._endpoints)).root

    def unpin(self, memory_id: UUID | str) -> dict[str, Any]:
        """Let a memory fade like others.

        Raises:
            NotFound: The tenant has no such memory.
        """
        return self._http.ask(_pin_call(memory_id, "unpin", self._endpoints)).root

    def forget(self, memory_id: UUID | str) -> Forgotten:
        """Have a memory told no more: it can be restored for a while, and is then deleted.

        Said again in a session that is pushed afterwards, it is known again; ``erase`` is for what
        has to be gone everywhere.

        Raises:
            NotFound: The tenant has no such memory.
            Refused: It is everyone's, or its user is under a legal hold.
        """
        return self._http.ask(_forget_call(memory_id, self._endpoints))

    def fading(self, limit: int = 100) -> Fading:
        """What decay would evict now, and why; changes nothing."""
        return self._http.ask(_fading_call(limit, self._endpoints))

    def decay(self, position: str | None = None) -> DecayTurn:
        """Evict what has faded, of all tenants: one turn, behind the position of the one before."""
        return self._http.ask(_decay_call(position, self._endpoints))

    def hold(self, user_id: str, reason: str, by: str | None = None) -> LegalHold:
        """Have nothing of a user deleted until it is released: no decay, no purge, no erasing.

        Args:
            user_id: Whose data.
            reason: For whoever asks later.
            by: Who decides, for the record.
        """
        return self._http.ask(_hold_call(user_id, reason, by, self._endpoints))

    def holds(self) -> tuple[LegalHold, ...]:
        """The tenant's legal holds, the newest first."""
        page = self._http.ask(_holds_call(None, self._endpoints))
        found = page.holds
        while page.next is not None:
            page = self._http.ask(_holds_call(page.next, self._endpoints))
            found += page.holds
        return found

    def release_hold(self, hold_id: UUID | str, by: str | None = None) -> LegalHold:
        """Let go.

        Raises:
            NotFound: The tenant has no such hold.
        """
        return self._http.ask(_release_call(hold_id, by, self._endpoints))


class AsyncLifecycle:
    """See ``Lifecycle``."""

    _endpoints: Endpoints
    _http: AsyncTransport

    async def pin(self, memory_id: UUID | str) -> dict[str, Any]:
        """See ``Memstill.pin``."""
        return (await self._http.ask(_pin_call(memory_id, "pin", self._endpoints))).root

    async def unpin(self, memory_id: UUID | str) -> dict[str, Any]:
        """See ``Memstill.unpin``."""
        return (await self._http.ask(_pin_call(memory_id, "unpin", self._endpoints))).root

    async def forget(self, memory_id: UUID | str) -> Forgotten:
        """See ``Memstill.forget``."""
        return await self._http.ask(_forget_call(memory_id, self._endpoints))

    async def fading(self, limit: int = 100) -> Fading:
        """See ``Memstill.fading``."""
        return await self._http.ask(_fading_call(limit, self._endpoints))

    async def decay(self, position: str | None = None) -> DecayTurn:
        """See ``Memstill.decay``."""
        return await self._http.ask(_decay_call(position, self._endpoints))

    async def hold(self, user_id: str, reason: str, by: str | None = None) -> LegalHold:
        """See ``Memstill.hold``."""
        return await self._http.ask(_hold_call(user_id, reason, by, self._endpoints))

    async def holds(self) -> tuple[LegalHold, ...]:
        """See ``Memstill.holds``."""
        page = await self._http.ask(_holds_call(None, self._endpoints))
        found = page.holds
        while page.next is not None:
            page = await self._http.ask(_holds_call(page.next, self._endpoints))
            found += page.holds
        return found

    async def release_hold(self, hold_id: UUID | str, by: str | None = None) -> LegalHold:
        """See ``Memstill.release_hold``."""
        return await self._http.ask(_release_call(hold_id, by, self._endpoints))


def _pin_call(memory_id: UUID | str, order: str, endpoints: Endpoints) -> Call[Document]:
    return memory_call(memory_id, endpoints, f":{order}", method="POST")


def _forget_call(memory_id: UUID | str, endpoints: Endpoints) -> Call[Forgotten]:
    path = f"/v1/memories/{quote(str(memory_id), safe='')}:forget"
    return Call("POST", path, Forgotten, tenant_id=endpoints.tenant_id)


def _fading_call(limit: int, endpoints: Endpoints) -> Call[Fading]:
    query = urlencode({"limit": limit})
    return Call("GET", f"/v1/decay?{query}", Fading, tenant_id=endpoints.tenant_id)


def _decay_call(position: str | None, endpoints: Endpoints) -> Call[DecayTurn]:
    return _post("/v1/decay:run", {"position": position}, DecayTurn, endpoints)


def _hold_call(user_id: str, reason: str, by: str | None, endpoints: Endpoints) -> Call[LegalHold]:
    return _post(
        "/v1/holds", {"user_id": user_id, "reason": reason, "by": by}, LegalHold, endpoints
    )


def _holds_call(after: UUID | None, endpoints: Endpoints) -> Call[HoldPage]:
    return page_call("/v1/holds", after, HoldPage, endpoints)


def _release_call(hold_id: UUID | str, by: str | None, endpoints: Endpoints) -> Call[LegalHold]:
    path = f"/v1/holds/{quote(str(hold_id), safe='')}:release"
    return _post(path, {"by": by}, LegalHold, endpoints)


def _post(path: str, asked: dict[str, Any], reply: type[Any], endpoints: Endpoints) -> Call[Any]:
    given = {name: value for name, value in asked.items() if value is not None}
    return Call("POST", path, reply, json.dumps(given).encode(), tenant_id=endpoints.tenant_id)
