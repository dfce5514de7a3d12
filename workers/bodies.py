"""How large a request may be: more than that is refused before it is held in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request

from workers.problems import TOO_LARGE

if TYPE_CHECKING:
    from starlette.types import Message

    from config.policy import Policies

MIB = 1024 * 1024
# Beside the state of a checkpoint: names, metadata, and escapes that are no part of the canonical
# spelling.
ENVELOPE_BYTES = MIB
# Of several transcripts, or of what is carried from another place.
MAX_BULK_BYTES = 64 * MIB


class BodyTooLarge(HTTPException):
    """There is more of it than the route takes."""

    def __init__(self, limit: int) -> None:
        super().__init__(TOO_LARGE, f"is larger than {limit:,} bytes; send less at once")


def limit_of(path: str, policies: Policies) -> int:
    """The bytes that a route takes."""
    special = {
        "/v1/transcripts": policies.intake.max_bytes,
        "/v1/transcripts:bulk": MAX_BULK_BYTES,
        "/v1/imports": MAX_BULK_BYTES,
        "/v1/imports:settle": MAX_BULK_BYTES,
        "/v1/checkpoints": policies.checkpoints.max_bytes + ENVELOPE_BYTES,
    }
    return special.get(path, policies.request.max_body_bytes)


def limited(request: Request, limit: int) -> Request:
    """The request, of whose body no more than that can be read.

    Raises:
        BodyTooLarge: It says so itself, or is found to be when it is read.
    """
    stated = request.headers.get("Content-Length", "")
    if stated.isdecimal() and int(stated) > limit:
        raise BodyTooLarge(limit)
    inner, size = request.receive, 0

    async def receive() -> Message:
        nonlocal size
        message = await inner()
        size += len(message.get("body", b""))
        if size > limit:
            raise BodyTooLarge(limit)
        return message

    return Request(request.scope, receive)
