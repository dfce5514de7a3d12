"""Who calls the API: the tenant that a request acts for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Header, Request

from memstill_client.wire import MAX_ID_CHARS
from pipelines.errors import InputError
from workers.payloads import to_receipt

if TYPE_CHECKING:
    from workers.container import Container


def caller(x_memstill_tenant: Annotated[str | None, Header()] = None) -> str | None:
    """The tenant that the request names, if it names one."""
    if x_memstill_tenant is None:
        return None
    if len(x_memstill_tenant) > MAX_ID_CHARS:
        raise InputError("X-Memstill-Tenant", f"is longer than {MAX_ID_CHARS} characters")
    if not x_memstill_tenant.isprintable():
        raise InputError("X-Memstill-Tenant", "holds a control character; send a plain name")
    return x_memstill_tenant or None


def tenant(request: Request, x_memstill_tenant: Annotated[str | None, Header()] = None) -> str:
    """The tenant that the request names, or the default one."""
    container: Container = request.app.state.container
    return caller(x_memstill_tenant) or container.settings.default_tenant


def read_id(text: str, field: str = "receipt") -> Any:  # noqa: ANN401 - any NewType of UUID
    """An id from its text.

    Raises:
        InputError: It is no UUID.
    """
    try:
        return to_receipt(text)
    except ValueError:
        raise InputError(field, "is no UUID; send it as it was answered") from None
