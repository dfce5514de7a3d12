"""Who calls the API: what a request may reach, found out before its body is read.

Each route declares its scopes by the type of its ``caller``: ``Writer``, ``Reader``,
``Follower``, ``Exporter``, ``Admin``, ``TenantAdmin``, ``Operator``, ``Anyone``. One that declares
none cannot be made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Header, Request, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool

from memstill_client.wire import MAX_ID_CHARS
from pipelines.errors import InputError, KeyRefused, NotAllowed
from pipelines.flows.keys import MISSING
from pipelines.stages.keys import KeyScope
from workers.bodies import limit_of, limited
from workers.payloads import to_receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.responses import Response

    from workers.container import Container

    Handler = Callable[[Request], Coroutine[Any, Any, Response]]

# Whoever watches the process has no key.
PUBLIC = frozenset({"/healthz", "/readyz"})
ALL_SCOPES = frozenset(KeyScope)
TENANT_HEADER = "X-Memstill-Tenant"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a request acts for.

    Attributes:
        is_named: The tenant was named, by a key or by the request; else it is the default one.
        user_id: The only user it acts for; None for all of the tenant.
    """

    tenant_id: str
    is_named: bool
    scopes: frozenset[KeyScope] = ALL_SCOPES
    user_id: str | None = None

    def narrow(self, user_id: str | None) -> str | None:
        """The user that a question is about; None for all.

        Raises:
            NotAllowed: The key acts for another one. Whether there is such a user plays no part.
        """
        if self.user_id is None or user_id is None:
            return self.user_id or user_id
        if user_id != self.user_id:
            raise NotAllowed("user_id", "is not the one that the API key acts for")
        return user_id

    def require(self, scope: KeyScope, what: str) -> None:
        """Go on only with a scope that the route does not always need.

        Raises:
            NotAllowed: The key has not got it.
        """
        if scope not in self.scopes:
            raise NotAllowed("scope", f"{what} takes a key with the scope `{scope}`")


class ScopedRoute(APIRoute):
    """A route that is entered with one of its scopes alone."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        scopes = scopes_of(self)
        if self.path in PUBLIC:
            return handle
        if not scopes:
            raise TypeError(f"{self.path} declares no scope: give it a caller of workers.callers")

        async def handle_allowed(request: Request) -> Response:
            caller = await run_in_threadpool(find_caller, request, scopes)
            request.state.caller = caller
            state = request.app.state
            limit = limit_of(self.path, state.container.policies)
            with state.admission.admit(caller.tenant_id):
                return await handle(limited(request, limit))

        return handle_allowed


def scopes_of(route: APIRoute) -> frozenset[KeyScope]:
    """The scopes any one of which lets a request in."""
    declared = (found.own_oauth_scopes or () for found in route.dependant.dependencies)
    return frozenset(KeyScope(scope) for scopes in declared for scope in scopes)


def find_caller(request: Request, scopes: frozenset[KeyScope]) -> Caller:
    """Whom the request acts for.

    Raises:
        KeyRefused: It holds no key, or one that opens nothing.
        NotAllowed: The key has none of the scopes, or is another tenant's.
    """
    container: Container = request.app.state.container
    named = _read_tenant(request.headers.get(TENANT_HEADER))
    if container.check_key is None:
        return Caller(named or container.settings.default_tenant, is_named=named is not None)
    key = container.check_key.run(_read_bearer(request.headers.get("Authorization")))
    if named not in {None, key.tenant_id}:
        raise NotAllowed(TENANT_HEADER, "names another tenant than the API key's; leave it out")
    if not scopes & key.scopes:
        wanted = " or ".join(f"`{scope}`" for scope in sorted(scopes))
        raise NotAllowed("scope", f"this takes an API key with the scope {wanted}")
    return Caller(key.tenant_id, is_named=True, scopes=key.scopes, user_id=key.user_id)


def read_id(text: str, field: str = "receipt") -> Any:  # noqa: ANN401 - any NewType of UUID
    """An id from its text.

    Raises:
        InputError: It is no UUID.
    """
    try:
        return to_receipt(text)
    except ValueError:
        raise InputError(field, "is no UUID; send it as it was answered") from None


def _read_bearer(header: str | None) -> str:
    scheme, _, key = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise KeyRefused(MISSING)
    return key.strip()


def _read_tenant(header: str | None) -> str | None:
    if not header:
        return None
    if len(header) > MAX_ID_CHARS:
        raise InputError(TENANT_HEADER, f"is longer than {MAX_ID_CHARS} characters")
    if not header.isprintable():
        raise InputError(TENANT_HEADER, "holds a control character; send a plain name")
    return header


async def _caller(
    request: Request,
    x_memstill_tenant: Annotated[str | None, Header()] = None,
    key: Annotated[object, Depends(HTTPBearer(auto_error=False))] = None,
) -> Caller:
    # Both were read before the route was entered; here they are described to OpenAPI.
    del x_memstill_tenant, key
    found: Caller = request.state.caller
    return found


async def _tenant_caller(caller: Annotated[Caller, Depends(_caller)]) -> Caller:
    if caller.user_id is not None:
        raise NotAllowed("user_id", "is what the API key is bound to; this is about all users")
    return caller


Anyone = Annotated[Caller, Security(_caller, scopes=list(KeyScope))]
Writer = Annotated[Caller, Security(_caller, scopes=[KeyScope.WRITE])]
Reader = Annotated[Caller, Security(_caller, scopes=[KeyScope.READ])]
Follower = Annotated[Caller, Security(_caller, scopes=[KeyScope.WRITE, KeyScope.READ])]
Exporter = Annotated[Caller, Security(_caller, scopes=[KeyScope.READ, KeyScope.ADMIN])]
Admin = Annotated[Caller, Security(_caller, scopes=[KeyScope.ADMIN])]
TenantAdmin = Annotated[Caller, Security(_tenant_caller, scopes=[KeyScope.ADMIN])]
Operator = Annotated[Caller, Security(_tenant_caller, scopes=[KeyScope.OPERATE])]
