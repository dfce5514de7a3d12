"""From what the agent hands over to what is sent: checked, encoded, with its receipt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypedDict, get_args

from memstill_client.errors import InvalidTranscript
from memstill_client.wire import (
    MAX_BYTES,
    SCHEMA_VERSION,
    LaneName,
    TranscriptV1,
    check_size,
    complete_transcript,
    receipt_id,
    to_json,
)

if TYPE_CHECKING:
    from uuid import UUID

    from memstill_client.endpoints import Endpoints

MAX_CHUNK: Final = 1000
MAX_CHUNK_BYTES: Final = 4 * 1024 * 1024

Pushable = TranscriptV1 | Mapping[str, Any] | str | bytes
"""A checked transcript, the wire format's object, or its JSON text."""


class TranscriptFields(TypedDict, total=False):
    """The wire format's fields as keyword arguments; ``schema_version`` is added."""

    user_id: str
    session_id: str
    messages: Iterable[Mapping[str, Any]]
    tenant_id: str | None
    agent_id: str | None
    idempotency_key: str | None
    started_at: datetime | str | None
    time_zone: str | None
    metadata: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Push:
    """A transcript ready to be sent.

    Attributes:
        receipt: None where only the server knows the tenant.
        lane: How urgent it is: old sessions stand back for those that just ended.
    """

    body: bytes
    receipt: UUID | None
    tenant_id: str | None
    lane: LaneName = "interactive"


def make_push(
    transcript: Pushable | None,
    fields: TranscriptFields,
    endpoints: Endpoints,
    lane: LaneName = "interactive",
) -> Push:
    """Check and encode one transcript, given as a whole or by its fields.

    Raises:
        InvalidTranscript: It breaks the format, or is another tenant's than the client.
        TypeError: Both ways of giving it were used.
        ValueError: There is no such lane.
    """
    if lane not in get_args(LaneName):
        raise ValueError(f"lane must be one of {', '.join(get_args(LaneName))}")
    if transcript is None:
        transcript = {"schema_version": SCHEMA_VERSION, **fields}
    elif fields:
        raise TypeError("give a transcript or its fields, not both")
    if not isinstance(transcript, TranscriptV1):
        transcript = complete_transcript(transcript, now=datetime.now(UTC))
    return replace(_encode(_with_tenant(transcript, endpoints)), lane=lane)


def make_chunks(
    transcripts: Iterable[Pushable], endpoints: Endpoints, lane: LaneName = "interactive"
) -> Iterator[list[Push]]:
    """Check and encode many, in chunks of bounded number and size.

    Raises:
        InvalidTranscript: As ``make_push``, the field beginning with ``transcripts[position]``.
    """
    chunk: list[Push] = []
    size = 0
    for position, transcript in enumerate(transcripts):
        push = _make_nth(position, transcript, endpoints, lane)
        if chunk and (len(chunk) == MAX_CHUNK or size + len(push.body) > MAX_CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(push)
        size += len(push.body)
    if chunk:
        yield chunk


def _make_nth(position: int, transcript: Pushable, endpoints: Endpoints, lane: LaneName) -> Push:
    try:
        return make_push(transcript, {}, endpoints, lane)
    except InvalidTranscript as error:
        raise InvalidTranscript(f"transcripts[{position}].{error.field}", error.reason) from None


def _with_tenant(transcript: TranscriptV1, endpoints: Endpoints) -> TranscriptV1:
    if transcript.tenant_id is None:
        return replace(transcript, tenant_id=endpoints.tenant_id)
    if endpoints.is_tenant_given and transcript.tenant_id != endpoints.tenant_id:
        reason = "is another than the client's; make a client for that tenant"
        raise InvalidTranscript("tenant_id", reason)
    return transcript


def _encode(transcript: TranscriptV1) -> Push:
    body = to_json(transcript)
    check_size(len(body), MAX_BYTES)
    tenant_id = transcript.tenant_id
    receipt = tenant_id and receipt_id(tenant_id, transcript.user_id, transcript.idempotency_key)
    return Push(body, receipt or None, tenant_id)
