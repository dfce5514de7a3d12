"""HTTP calls and their answers as values: what both clients share, without a connection."""

from __future__ import annotations

import json
import random
import ssl
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar
from urllib.parse import quote, urlencode
from uuid import UUID

from pydantic import ValidationError

from memstill_client.errors import (
    InvalidTranscript,
    MemstillError,
    NotFinished,
    NotFound,
    Refused,
    Unavailable,
)
from memstill_client.replies import ErrorBody, ErrorReply, Receipt, Reply, Status
from memstill_client.wire import LANE_FIELD

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from memstill_client.endpoints import Endpoints
    from memstill_client.pushes import Push
    from memstill_client.replies import Accepted, BulkReply

R = TypeVar("R", bound=Reply)

MAX_TRIES: Final = 3
FIRST_DELAY_SECONDS: Final = 0.1
DELAY_FACTOR: Final = 4.0
MAX_RETRY_AFTER_SECONDS: Final = 5.0
FIRST_POLL_SECONDS: Final = 0.05
LONGEST_POLL_SECONDS: Final = 1.0
PASSING_STATUS: Final = frozenset({408, 425, 429})
SERVER_ERROR: Final = 500
CLIENT_ERROR: Final = 400
NOT_FOUND: Final = 404
PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request; all of them may be repeated without harm.

    Attributes:
        tenant_id: Whose data it is about; None leaves it to the API key.
    """

    method: str
    path: str
    content: bytes | None = None
    content_type: str = "application/json"
    tenant_id: str | None = None


def push_call(push: Push) -> Call:
    """Push one transcript."""
    path = f"/v1/transcripts{_lane_query(push)}"
    return Call("POST", path, push.body, tenant_id=push.tenant_id)


def bulk_call(chunk: Sequence[Push], endpoints: Endpoints) -> Call:
    """Push several transcripts of one lane, one a line."""
    lines = b"\n".join(push.body for push in chunk)
    path = f"/v1/transcripts:bulk{_lane_query(chunk[0])}"
    return Call("POST", path, lines, "application/x-ndjson", endpoints.tenant_id)


def status_call(receipt: Receipt | UUID | str, endpoints: Endpoints) -> Call:
    """Ask where a transcript stands.

    Raises:
        NotFound: The text is no receipt.
    """
    tenant_id = (receipt.tenant_id if isinstance(receipt, Receipt) else None) or endpoints.tenant_id
    return Call("GET", f"/v1/transcripts/{_receipt_uuid(receipt)}", tenant_id=tenant_id)


def states_call(
    receipts: Iterable[Receipt | UUID | str], tenant_id: str | None, endpoints: Endpoints
) -> Call:
    """Ask how many of a tenant's receipts stand in each state."""
    asked = {"receipts": [str(_receipt_uuid(receipt)) for receipt in receipts]}
    call = _json_call("/v1/transcripts:states", asked, endpoints)
    return call if tenant_id is None else replace(call, tenant_id=tenant_id)


def memories_call(user_id: str | None, after: UUID | None, endpoints: Endpoints) -> Call:
    """Ask for the next page of all memories."""
    asked = {"user_id": user_id, "after": after, "limit": PAGE}
    query = urlencode({name: value for name, value in asked.items() if value is not None})
    return Call("GET", f"/v1/memories?{query}", tenant_id=endpoints.tenant_id)


def memory_call(
    memory_id: UUID | str, endpoints: Endpoints, about: str = "", *, method: str = "GET"
) -> Call:
    """Ask about one memory."""
    path = f"/v1/memories/{quote(str(memory_id), safe='')}{about}"
    return Call(method, path, tenant_id=endpoints.tenant_id)


def promotions_call(state: str | None, after: UUID | None, endpoints: Endpoints) -> Call:
    """Ask for the next page of what is proposed for everyone."""
    asked = {"state": state, "after": after, "limit": PAGE}
    query = urlencode({name: value for name, value in asked.items() if value is not None})
    return Call("GET", f"/v1/promotions?{query}", tenant_id=endpoints.tenant_id)


def scan_call(endpoints: Endpoints) -> Call:
    """Look for what many users say."""
    return Call("POST", "/v1/promotions:scan", tenant_id=endpoints.tenant_id)


def decision_call(
    promotion_id: UUID | str, decision: str, by: str | None, endpoints: Endpoints
) -> Call:
    """Approve or reject a promotion."""
    path = f"/v1/promotions/{quote(str(promotion_id), safe='')}:{decision}"
    return _json_call(path, {} if by is None else {"by": by}, endpoints)


def cost_call(user_id: str | None, since: date | str | None, endpoints: Endpoints) -> Call:
    """Ask what model calls have cost."""
    asked = {"user_id": user_id, "since": since}
    query = urlencode({name: value for name, value in asked.items() if value is not None})
    return Call("GET", f"/v1/cost?{query}", tenant_id=endpoints.tenant_id)


def batches_call(endpoints: Endpoints) -> Call:
    """Ask for the batches of model calls."""
    return Call("GET", "/v1/batches", tenant_id=endpoints.tenant_id)


def poll_batches_call(endpoints: Endpoints) -> Call:
    """Have batches handed in and collected now."""
    return Call("POST", "/v1/batches:poll", tenant_id=endpoints.tenant_id)


def recall_call(
    query: str,
    user_id: str,
    endpoints: Endpoints,
    *,
    as_of: date | str | None = None,
    **limits: str | int | None,
) -> Call:
    """Ask what is known; limits that are None are the server's to choose."""
    limits["as_of"] = as_of.isoformat() if isinstance(as_of, date) else as_of
    given = {name: value for name, value in limits.items() if value is not None}
    return _json_call("/v1/recall", {"query": query, "user_id": user_id, **given}, endpoints)


def make_tls(endpoints: Endpoints) -> ssl.SSLContext | bool:
    """What httpx2 verifies with: the system's authorities, loaded only for an https address.

    Loading them takes longer than all else at start. Without them any certificate is refused.
    """
    if (endpoints.api_url or "").startswith("https://"):
        return True
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def make_url(call: Call, endpoints: Endpoints) -> str:
    """The address of a call.

    Raises:
        NotConfigured: No HTTP address is known.
    """
    return endpoints.need_api_url().rstrip("/") + call.path


def make_headers(call: Call, endpoints: Endpoints) -> dict[str, str]:
    """Who asks, for which tenant, and what the body is."""
    headers = {"Accept": "application/json"}
    if call.content is not None:
        headers["Content-Type"] = call.content_type
    if call.tenant_id is not None:
        headers["X-Memstill-Tenant"] = call.tenant_id
    if endpoints.api_key is not None:
        headers["Authorization"] = f"Bearer {endpoints.api_key}"
    return headers


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


def retry_delay(tries: int, failure: Unavailable) -> float:
    """Seconds before the next try.

    Raises:
        Unavailable: The failure itself, when trying on is not worth it.
    """
    asked = failure.retry_after_seconds
    if tries >= MAX_TRIES or (asked is not None and asked > MAX_RETRY_AFTER_SECONDS):
        raise failure
    spread = 0.5 + random.random()  # noqa: S311 - spreads retries, guards nothing
    return max(asked or 0.0, FIRST_DELAY_SECONDS * DELAY_FACTOR ** (tries - 1) * spread)


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


class Poll:
    """How often a receipt is asked for, and for how long."""

    def __init__(self, timeout_seconds: float, started: float) -> None:
        self._deadline = started + timeout_seconds
        self._delay = FIRST_POLL_SECONDS

    def delay_after(self, found: Status | MemstillError, now: float) -> float:
        """Seconds until the next question.

        Args:
            found: The last answer: not final, or an error that may pass.
            now: On the clock that ``started`` was read from.

        Raises:
            NotFinished: Time is up and the transcript still on its road.
            MemstillError: Time is up; the error that was found.
        """
        if now >= self._deadline:
            raise NotFinished(found) if isinstance(found, Status) else found
        delay = min(self._delay, self._deadline - now)
        self._delay = min(self._delay * 1.5, LONGEST_POLL_SECONDS)
        return delay


def _lane_query(push: Push) -> str:
    return "" if push.lane == "interactive" else f"?{urlencode({LANE_FIELD: push.lane})}"


def _json_call(path: str, asked: Mapping[str, Any], endpoints: Endpoints) -> Call:
    return Call("POST", path, json.dumps(asked).encode(), tenant_id=endpoints.tenant_id)


def _receipt_uuid(receipt: Receipt | UUID | str) -> UUID:
    if isinstance(receipt, Receipt):
        return receipt.id
    try:
        return receipt if isinstance(receipt, UUID) else UUID(receipt)
    except ValueError:
        raise NotFound("that is no receipt; pass what enqueue returned") from None


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
