"""Procedures: how things are done, in versions, with how often they worked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from memstill_client.calls import Call
from memstill_client.procedure_replies import Procedure, ProceduresFound, ProcedureVersions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from memstill_client.endpoints import Endpoints
    from memstill_client.transports import AsyncTransport, Transport

PATH = "/v1/procedures"


class ProcedureBook:
    """Writes procedures down, finds them, and says how they turned out."""

    _endpoints: Endpoints
    _http: Transport

    def put_procedure(
        self,
        name: str,
        steps: Sequence[str],
        user_id: str | None = None,
        *,
        expected_version: int | None = None,
    ) -> Procedure:
        """Keep it as the newest version of its name; the same steps again change nothing.

        Args:
            name: What is done by it: "deploy the billing service".
            steps: In their order.
            user_id: Whose; everyone's if not given, which takes a key with the scope ``admin``.
            expected_version: The version that was read, 0 for none; None where it plays no part.

        Raises:
            Refused: Another version is the newest by now, or a field cannot be kept.
        """
        asked = {"user_id": user_id, "name": name, "steps": list(steps)}
        return self._http.ask(_put_call(asked, expected_version, self._endpoints))

    def procedure(self, name: str, user_id: str | None = None) -> Procedure | None:
        """The newest version under a name, the user's own before everyone's; None without one."""
        found = self._http.ask(_find_call({"user_id": user_id, "name": name}, self._endpoints))
        return next(iter(found.procedures), None)

    def procedure_versions(self, procedure_id: UUID | str) -> tuple[Procedure, ...]:
        """All versions, the newest first.

        Raises:
            NotFound: The tenant has no such procedure.
        """
        return self._http.ask(_versions_call(procedure_id, self._endpoints)).versions

    def find_procedures(
        self, query: str = "", user_id: str | None = None, *, limit: int = 20
    ) -> tuple[Procedure, ...]:
        """The user's and everyone's that hold words of the query, most of them first."""
        asked = {"user_id": user_id, "query": query, "limit": limit}
        return self._http.ask(_find_call(asked, self._endpoints)).procedures

    def record_outcome(
        self,
        procedure_id: UUID | str,
        key: str,
        user_id: str | None = None,
        *,
        worked: bool,
        version: int | None = None,
    ) -> Procedure:
        """Count how it turned out, once for each key.

        Args:
            procedure_id: Which.
            key: Of this outcome, for example the run's id: told again, it is counted once.
            user_id: Whose procedure, unless it is everyone's.
            worked: Whether it did.
            version: The one that was followed; the newest if not given.

        Raises:
            NotFound: There is no such procedure, or version of it.
            Refused: The key stands for the opposite already.
        """
        asked = {"user_id": user_id, "key": key, "worked": worked, "version": version}
        return self._http.ask(_outcome_call(procedure_id, asked, self._endpoints))


class AsyncProcedureBook:
    """The same, to be awaited."""

    _endpoints: Endpoints
    _http: AsyncTransport

    async def put_procedure(
        self,
        name: str,
        steps: Sequence[str],
        user_id: str | None = None,
        *,
        expected_version: int | None = None,
    ) -> Procedure:
        """See ``Memstill.put_procedure``."""
        asked = {"user_id": user_id, "name": name, "steps": list(steps)}
        return await self._http.ask(_put_call(asked, expected_version, self._endpoints))

    async def procedure(self, name: str, user_id: str | None = None) -> Procedure | None:
        """See ``Memstill.procedure``."""
        call = _find_call({"user_id": user_id, "name": name}, self._endpoints)
        return next(iter((await self._http.ask(call)).procedures), None)

    async def procedure_versions(self, procedure_id: UUID | str) -> tuple[Procedure, ...]:
        """See ``Memstill.procedure_versions``."""
        return (await self._http.ask(_versions_call(procedure_id, self._endpoints))).versions

    async def find_procedures(
        self, query: str = "", user_id: str | None = None, *, limit: int = 20
    ) -> tuple[Procedure, ...]:
        """See ``Memstill.find_procedures``."""
        asked = {"user_id": user_id, "query": query, "limit": limit}
        return (await self._http.ask(_find_call(asked, self._endpoints))).procedures

    async def record_outcome(
        self,
        procedure_id: UUID | str,
        key: str,
        user_id: str | None = None,
        *,
        worked: bool,
        version: int | None = None,
    ) -> Procedure:
        """See ``Memstill.record_outcome``."""
        asked = {"user_id": user_id, "key": key, "worked": worked, "version": version}
        return await self._http.ask(_outcome_call(procedure_id, asked, self._endpoints))


def _put_call(
    asked: Mapping[str, object], expected_version: int | None, endpoints: Endpoints
) -> Call[Procedure]:
    content = json.dumps({**asked, "expected_version": expected_version}).encode()
    return Call("PUT", PATH, Procedure, content, tenant_id=endpoints.tenant_id)


def _find_call(asked: Mapping[str, object], endpoints: Endpoints) -> Call[ProceduresFound]:
    query = urlencode({name: value for name, value in asked.items() if value is not None})
    return Call("GET", f"{PATH}?{query}", ProceduresFound, tenant_id=endpoints.tenant_id)


def _versions_call(procedure_id: UUID | str, endpoints: Endpoints) -> Call[ProcedureVersions]:
    path = f"{PATH}/{quote(str(procedure_id), safe='')}"
    return Call("GET", path, ProcedureVersions, tenant_id=endpoints.tenant_id)


def _outcome_call(
    procedure_id: UUID | str, asked: Mapping[str, object], endpoints: Endpoints
) -> Call[Procedure]:
    path = f"{PATH}/{quote(str(procedure_id), safe='')}/outcomes"
    content = json.dumps(asked).encode()
    return Call("POST", path, Procedure, content, tenant_id=endpoints.tenant_id)
