"""Answers to HTTP calls: what both clients make of them, without a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

from pydantic import ValidationError

from memstill_client.errors import (
    CheckpointConflict,
    DamagedCheckpoint,
    InvalidTranscript,
    NotFound,
    Refused,
    Unavailable,
)
from memstill_client.replies import ErrorBody, ErrorReply, Receipt, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from memstill_client.endpoints import Endpoints
    from memstill_client.pushes import Push
    from memstill_client.replies import Accepted, BulkReply

R = TypeVar("R", bound=Reply)

PASSING_STATUS: Final = frozenset({408, 425, 429})
SERVER_ERROR: Final = 500
CLIENT_ERROR: Final = 400
NOT_FOUND: Final = 404
CHECKPOINT_ERRORS: Final = {
    "checkpoint_conflict": CheckpointConflict,
    "damaged_checkpoint": DamagedCheckpoint,
}


def read_reply(model: type[R], status: int, headers: Mapping[str, str], content: bytes) -> R:
    """Turn an answer into its model.

    Raises:
        Unavailable: The server is busy or failing.
        NotFound: It has no such thing.
        InvalidTranscript: It refused the transcript.
        Refused: It refused anything else, or is not memstill.
    """
    if status >= CLIENT_ERROR:
        _raise_error(status, headers, content)
    try:
        return model.model_validate_json(content)
    except ValidationError:
        raise Refused("unexpected_reply", "api_url", _strange(status)) from None


def unreachable(error: Exception, endpoints: Endpoints) -> Unavailable:
    """Say that nobody answered, where, and what to do."""
    return Unavailable(
        f"memstill did not answer at {endpoints.need_api_url()} ({type(error).__name__}); "
        "check that it runs and that MEMSTILL_API_URL is right, then repeat the call: "
        "pushing again is safe"
    )


def read_bulk(reply: BulkReply, chunk: Sequence[Push], first_position: int) -> list[Receipt]:
    """The receipts of one chunk, in its order.

    Raises:
        InvalidTranscript: The server refused a line as no transcript.
        Refused: It refused a line for another reason, or answered for other lines.
    """
    receipts = []
    for answer in read_lines(reply, chunk, first_position):
        if not isinstance(answer, Receipt):
            raise answer
        receipts.append(answer)
    return receipts


def read_lines(
    reply: BulkReply, chunk: Sequence[Push], first_position: int
) -> list[Receipt | InvalidTranscript | Refused]:
    """The answer to each line of a chunk, in its order: a receipt, or why it was refused.

    Raises:
        Refused: The server answered for other lines than were sent.
    """
    if [result.line for result in reply.results] != list(range(1, len(chunk) + 1)):
        raise Refused("unexpected_reply", "api_url", "answered for other lines than were sent")
    return [
        Receipt(result.receipt, result.duplicate, push.tenant_id)
        if result.receipt is not None
        else _refusal(result.error, f"transcripts[{first_position + position}].")
        for position, (result, push) in enumerate(zip(reply.results, chunk, strict=True))
    ]


def read_accepted(reply: Accepted, push: Push) -> Receipt:
    """The receipt of one push."""
    return Receipt(reply.receipt, reply.duplicate, push.tenant_id)


def _raise_error(status: int, headers: Mapping[str, str], content: bytes) -> NoReturn:
    error = _read_error(content)
    if status >= SERVER_ERROR or status in PASSING_STATUS:
        reason = error.reason if error else "busy or failing"
        raise Unavailable(
            f"memstill answered {status}: {reason}; repeating the call is safe",
            retry_after_seconds=_retry_after(headers),
        )
    if status == NOT_FOUND:
        raise NotFound(error.reason if error else "no such thing at this address")
    raise _refusal(error or ErrorBody(type="unexpected_reply", reason=_strange(status)))


def _refusal(error: ErrorBody | None, prefix: str = "") -> InvalidTranscript | Refused:
    error = error or ErrorBody(type="unexpected_reply", reason="was neither accepted nor refused")
    field = prefix + (error.field or "request")
    if error.type == "invalid_transcript":
        return InvalidTranscript(field, error.reason)
    special = CHECKPOINT_ERRORS.get(error.type)
    if special is not None:
        return special(error.type, field, error.reason, error.checkpoint)
    return Refused(error.type, field, error.reason)


def _read_error(content: bytes) -> ErrorBody | None:
    try:
        return ErrorReply.model_validate_json(content).error
    except ValidationError:
        return None


def _strange(status: int) -> str:
    return f"answered {status} with something that memstill does not say; is the address right?"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    text = headers.get("retry-after", "")
    return float(text) if text.isdecimal() else None
