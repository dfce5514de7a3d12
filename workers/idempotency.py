"""The header ``Idempotency-Key``: a request that is repeated with it is done once."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header
from pydantic import BeforeValidator

from memstill_client.wire import Id
from pipelines.errors import InputError

KEY_HEADER = "Idempotency-Key"


def _unquote(value: object) -> object:
    """Structured headers write a string in quotes, most clients without."""
    is_quoted = isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"'
    return value[1:-1] if isinstance(value, str) and is_quoted else value


RequestKey = Annotated[
    Annotated[Id, BeforeValidator(_unquote)] | None,
    Header(
        alias=KEY_HEADER,
        description="Of your own: repeated with it, the request is done once.",
    ),
]


def one_key(header: str | None, named: str | None, field: str) -> str | None:
    """The key of a request, which may be named in its header and in a field of its body.

    Raises:
        InputError: Each names another.
    """
    if header is not None and named is not None and header != named:
        raise InputError(field, f"is another than the header {KEY_HEADER} names; send one of them")
    return header if named is None else named
