"""What is known of a user, carried from one place to another."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from memstill_client.calls import Call
from memstill_client.endpoints import Endpoints
from memstill_client.replies import Reply
from memstill_client.transports import AsyncTransport, Transport

PAGE = 100


class SessionPage(Reply):
    """Some sessions with the facts that are kept of them."""

    sessions: tuple[dict[str, Any], ...]
    next: UUID | None = None


class VerdictPage(Reply):
    """Some verdicts on pairs of statements."""

    verdicts: tuple[dict[str, Any], ...]
    next: str | None = None


class Imported(Reply):
    """What was taken in, or would be.

    Attributes:
        known: Facts that were known, and stay as they are.
        open: Facts of sessions that wait to be distilled there themselves.
        redacted: Texts that are stored without what had to be taken out.
    """

    sessions: int
    facts: int
    known: int
    open: int
    redacted: int


class Placed(Reply):
    """What became of facts that were taken in.

    Attributes:
        waiting: Not consolidated yet: nothing was marked, ask again.
        facts: The memory in which each of them ended.
    """

    waiting: int
    pinned: int
    evicted: int
    facts: tuple[dict[str, Any], ...]


class Exchange:
    """What is known of a user, carried from one place to another."""

    _endpoints: Endpoints
    _http: Transport

    def sessions(self, user_id: str | None = None) -> Iterator[dict[str, Any]]:
        """All sessions of the tenant or of one user with what is kept of them, as plain JSON."""
        after: UUID | None = None
        while True:
            page = self._http.ask(_sessions_call(user_id, after, self._endpoints))
            yield from page.sessions
            after = page.next
            if after is None:
                return

    def verdicts(self, user_id: str) -> Iterator[dict[str, Any]]:
        """What a judge or a person said of pairs of a user's statements."""
        after: str | None = None
        while True:
            page = self._http.ask(_verdicts_call(user_id, after, self._endpoints))
            yield from page.verdicts
            after = page.next
            if after is None:
                return

    def import_sessions(
        self,
        user_id: str,
        sessions: Sequence[Mapping[str, Any]],
        verdicts: Sequence[Mapping[str, Any]] = (),
        *,
        dry_run: bool = False,
    ) -> Imported:
        """Take in what ``sessions`` and ``verdicts`` told, as this user's; 200 at once.

        Repeating it changes nothing.

        Raises:
            Refused: Something in it cannot be taken in: the field is named; nothing was stored.
        """
        return self._http.ask(_import_call(user_id, sessions, verdicts, dry_run, self._endpoints))

    def settle_import(self, user_id: str, facts: Sequence[Mapping[str, Any]]) -> Placed:
        """Say how long memories of facts were told; done once all are consolidated.

        Args:
            user_id: Who took them in.
            facts: ``tenant_id``, ``user_id`` and ``idempotency_key`` of the session and the
                ``ordinal`` of each, as they were taken in, with ``pinned`` and ``evicted``.
        """
        return self._http.ask(_settle_call(user_id, facts, self._endpoints))


class AsyncExchange:
    """See ``Exchange``."""

    _endpoints: Endpoints
    _http: AsyncTransport

    async def sessions(self, user_id: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """See ``Memstill.sessions``."""
        after: UUID | None = None
        while True:
            page = await self._http.ask(_sessions_call(user_id, after, self._endpoints))
            for session in page.sessions:
                yield session
            after = page.next
            if after is None:
                return

    async def verdicts(self, user_id: str) -> AsyncIterator[dict[str, Any]]:
        """See ``Memstill.verdicts``."""
        after: str | None = None
        while True:
            page = await self._http.ask(_verdicts_call(user_id, after, self._endpoints))
            for verdict in page.verdicts:
                yield verdict
            after = page.next
            if after is None:
                return

    async def import_sessions(
        self,
        user_id: str,
        sessions: Sequence[Mapping[str, Any]],
        verdicts: Sequence[Mapping[str, Any]] = (),
        *,
        dry_run: bool = False,
    ) -> Imported:
        """See ``Memstill.import_sessions``."""
        call = _import_call(user_id, sessions, verdicts, dry_run, self._endpoints)
        return await self._http.ask(call)

    async def settle_import(self, user_id: str, facts: Sequence[Mapping[str, Any]]) -> Placed:
        """See ``Memstill.settle_import``."""
        return await self._http.ask(_settle_call(user_id, facts, self._endpoints))


def _sessions_call(
    user_id: str | None, after: UUID | None, endpoints: Endpoints
) -> Call[SessionPage]:
    asked = {"user_id": user_id, "after": after, "limit": PAGE}
    return _get("/v1/sessions", asked, SessionPage, endpoints)


def _verdicts_call(user_id: str, after: str | None, endpoints: Endpoints) -> Call[VerdictPage]:
    return _get("/v1/verdicts", {"user_id": user_id, "after": after}, VerdictPage, endpoints)


def _import_call(
    user_id: str,
    sessions: Sequence[Mapping[str, Any]],
    verdicts: Sequence[Mapping[str, Any]],
    dry_run: bool,
    endpoints: Endpoints,
) -> Call[Imported]:
    asked = {
        "user_id": user_id,
        "sessions": list(sessions),
        "verdicts": list(verdicts),
        "dry_run": dry_run,
    }
    return _post("/v1/imports", asked, Imported, endpoints)


def _settle_call(
    user_id: str, facts: Sequence[Mapping[str, Any]], endpoints: Endpoints
) -> Call[Placed]:
    asked = {"user_id": user_id, "facts": list(facts)}
    return _post("/v1/imports:settle", asked, Placed, endpoints)


def _get(path: str, asked: dict[str, Any], reply: type[Any], endpoints: Endpoints) -> Call[Any]:
    given = {name: value for name, value in asked.items() if value is not None}
    return Call("GET", f"{path}?{urlencode(given)}", reply, tenant_id=endpoints.tenant_id)


def _post(path: str, asked: dict[str, Any], reply: type[Any], endpoints: Endpoints) -> Call[Any]:
    return Call("POST", path, reply, json.dumps(asked).encode(), tenant_id=endpoints.tenant_id)
