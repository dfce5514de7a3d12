"""Wire format v1: what a pushed transcript must be, for the client and for the server.

``TranscriptBody`` is what may be pushed; ``parse_transcript`` checks it and answers with a
``TranscriptV1``, in which every default is filled in. Nothing here reads a clock.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import pydantic_core
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from memstill_client.errors import InvalidTranscript
from memstill_client.json_values import NotPlain, plain_json, plain_text
from memstill_client.refusals import WHOLE, explain
from memstill_client.times import known_time_zone, microseconds, utc_time

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA_VERSION: Final = 1
MAX_BYTES: Final = 10 * 1024 * 1024
MAX_ID_CHARS: Final = 200
MAX_FUTURE: Final = timedelta(days=1)
DEFAULT_TENANT: Final = "default"
STREAM_FIELD: Final = "transcript"
LANE_FIELD: Final = "lane"
TRACE_FIELD: Final = "traceparent"
NAMESPACE: Final = uuid.UUID("aa6b06db-58cb-5bbc-85e7-f3f65c0c0fb8")

RoleName = Literal["user", "assistant", "system", "tool"]
LaneName = Literal["interactive", "backfill"]

_CONTROL = r"\x00-\x1f\x7f-\x9f"
_VISIBLE = rf"^[^{_CONTROL}]*[^\s{_CONTROL}][^{_CONTROL}]*$"


def _refuse_number(value: object) -> object:
    """A bare number may be seconds or milliseconds: refuse to guess, also inside a string."""
    if isinstance(value, datetime) or (isinstance(value, str) and value[4:5] == "-"):
        return value
    raise PydanticCustomError("written_time", "must be a written time")


Id = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=MAX_ID_CHARS, pattern=_VISIBLE),
]
Time = Annotated[AwareDatetime, BeforeValidator(_refuse_number, json_schema_input_type=str)]
Text = Annotated[str, StringConstraints(strict=True)]


class MessageBody(BaseModel):
    """One turn as it may be pushed; null means the same as leaving a field out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: RoleName
    content: Text
    id: Id | None = None
    name: Id | None = None
    created_at: Time | None = None
    tool_call: dict[str, Any] | None = None


class TranscriptBody(BaseModel):
    """A transcript as it may be pushed; null means the same as leaving a field out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1]
    user_id: Id
    session_id: Id
    messages: Annotated[list[MessageBody], Field(min_length=1)]
    tenant_id: Id | None = None
    agent_id: Id | None = None
    idempotency_key: Id | None = None
    started_at: Time | None = None
    time_zone: Id | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class MessageV1:
    """One turn, checked.

    Attributes:
        id: As pushed, otherwise the position in the transcript, from 0.
        created_at: Aware UTC; the transcript's ``started_at`` where the turn has no time.
        tool_call: What the agent asked of a tool, in its own shape.
    """

    id: str
    role: RoleName
    content: str
    created_at: datetime
    name: str | None = None
    tool_call: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """All that the turn says: its content, and its tool call as JSON on a line below."""
        if self.tool_call is None:
            return self.content
        call = json.dumps(self.tool_call, ensure_ascii=False, sort_keys=True)
        return f"{self.content}\n{call}" if self.content else call


@dataclass(frozen=True, slots=True)
class TranscriptV1:
    """A checked transcript with every default filled in.

    Attributes:
        tenant_id: None where neither the agent nor its client named one: the server decides.
        idempotency_key: As pushed, otherwise the content hash.
        started_at: Aware UTC; the earliest message's time if not pushed, and if no message
            has one, the time of acceptance.
        is_dated: False where all times are the time of acceptance. Such times are neither
            hashed nor sent on, so that the same push is recognised whenever it comes.
    """

    user_id: str
    session_id: str
    messages: tuple[MessageV1, ...]
    started_at: datetime
    is_dated: bool
    idempotency_key: str
    tenant_id: str | None = None
    agent_id: str | None = None
    time_zone: str = "UTC"
    metadata: dict[str, Any] = field(default_factory=dict)


def stream_key(key_prefix: str) -> str:
    """The Redis key of the intake Stream."""
    return f"{key_prefix}:transcripts"


def receipt_id(tenant_id: str, user_id: str, idempotency_key: str) -> uuid.UUID:
    """Derive the receipt: the same push of the same owner always gets the same one."""
    name = f"transcript\x1f{tenant_id}\x1f{user_id}\x1f{idempotency_key}"
    return uuid.uuid5(NAMESPACE, name)


def parse_transcript(
    raw: bytes | str | Mapping[str, Any], *, now: datetime, max_bytes: int = MAX_BYTES
) -> TranscriptV1:
    """Check a pushed transcript and fill in its defaults.

    Args:
        raw: JSON text, or the object that it would be.
        now: Aware; the time of acceptance.
        max_bytes: Largest size as JSON in UTF-8.

    Raises:
        InvalidTranscript: It breaks the format; the first broken field is named.
    """
    transcript = complete_transcript(raw, now=now, max_bytes=max_bytes)
    if isinstance(raw, Mapping):
        check_size(len(to_json(transcript)), max_bytes)
    return transcript


def complete_transcript(
    raw: bytes | str | Mapping[str, Any], *, now: datetime, max_bytes: int = MAX_BYTES
) -> TranscriptV1:
    """``parse_transcript`` for who encodes it next: how large an object is shows only then.

    Raises:
        InvalidTranscript: It breaks the format in another way than by its size.
    """
    return _complete(_read_body(raw, max_bytes), now)


def content_hash(transcript: TranscriptV1) -> str:
    """SHA-256 of what is said, when and in which session, as 64 hexadecimal digits.

    The order of keys, how a default was spelled, ``metadata`` and ``agent_id`` do not enter.
    The form is part of version 1: repeated pushes are recognised by it across releases.
    """
    started_at = transcript.started_at if transcript.is_dated else None
    return _hash(transcript.session_id, transcript.time_zone, started_at, transcript.messages)


def to_json(transcript: TranscriptV1) -> bytes:
    """The transcript as one line of JSON: a Stream field, a request body, a backfill line."""
    pushed = {
        "schema_version": SCHEMA_VERSION,
        "tenant_id": transcript.tenant_id,
        "user_id": transcript.user_id,
        "agent_id": transcript.agent_id,
        "session_id": transcript.session_id,
        "idempotency_key": transcript.idempotency_key,
        "started_at": transcript.started_at if transcript.is_dated else None,
        "time_zone": transcript.time_zone,
        "metadata": transcript.metadata or None,
        "messages": [
            _pushed(message, is_dated=transcript.is_dated) for message in transcript.messages
        ],
    }
    present = {name: value for name, value in pushed.items() if value is not None}
    return pydantic_core.to_json(present)


def check_size(size: int, max_bytes: int) -> None:
    """Refuse what is larger than one transcript may be."""
    if size > max_bytes:
        reason = (
            f"has {size:,} bytes, more than the {max_bytes:,} that are allowed; "
            "push a long conversation as several sessions"
        )
        raise InvalidTranscript(WHOLE, reason)


def _pushed(message: MessageV1, *, is_dated: bool) -> dict[str, Any]:
    pushed: dict[str, Any] = {
        "id": message.id,
        "role": message.role,
        "content": message.content,
    }
    if message.name is not None:
        pushed["name"] = message.name
    if is_dated:
        pushed["created_at"] = message.created_at
    if message.tool_call is not None:
        pushed["tool_call"] = message.tool_call
    return pushed


def _hash(
    session_id: str, time_zone: str, started_at: datetime | None, messages: Sequence[MessageV1]
) -> str:
    is_dated = started_at is not None
    said = [
        [
            message.id,
            message.role,
            message.name,
            message.content,
            microseconds(message.created_at) if is_dated else None,
            message.tool_call,
        ]
        for message in messages
    ]
    start = None if started_at is None else microseconds(started_at)
    form = json.dumps(["memstill/1", session_id, time_zone, start, said], sort_keys=True)
    return hashlib.sha256(form.encode()).hexdigest()


def _read_body(raw: object, max_bytes: int) -> TranscriptBody:
    try:
        if isinstance(raw, Mapping):
            return TranscriptBody.model_validate(dict(raw))
        return _read_json(raw, max_bytes)
    except ValidationError as error:
        raise _explain(error) from None


def _read_json(raw: object, max_bytes: int) -> TranscriptBody:
    if not isinstance(raw, str | bytes):
        raise InvalidTranscript(WHOLE, "must be a JSON object")
    # The other error handlers would repair or drop what is not text; this one keeps it visible.
    text = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw
    check_size(len(text), max_bytes)
    try:
        return TranscriptBody.model_validate_json(text)
    except ValidationError as error:
        if error.errors(include_url=False, include_input=False)[0]["type"] != "json_invalid":
            raise
        value = _read_surrogates(text)
        if value is None:
            raise
        return TranscriptBody.model_validate(value)


def _read_surrogates(text: bytes) -> object | None:
    """Read JSON that pydantic does not, so that a lone surrogate is refused by its field."""
    try:
        value: object = json.loads(text.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return None
    return value


def _explain(error: ValidationError) -> InvalidTranscript:
    return explain(error, (tuple(TranscriptBody.model_fields), tuple(MessageBody.model_fields)))


def _complete(body: TranscriptBody, now: datetime) -> TranscriptV1:
    now = now.astimezone(UTC)
    said_start, times = _check_times(body, now + MAX_FUTURE)
    start = said_start or min((time for time in times if time is not None), default=None)
    messages = _complete_messages(body.messages, times, start or now)
    time_zone = known_time_zone(body.time_zone)
    key = body.idempotency_key or _hash(body.session_id, time_zone, start, messages)
    return TranscriptV1(
        user_id=body.user_id,
        session_id=body.session_id,
        messages=messages,
        started_at=start or now,
        is_dated=start is not None,
        idempotency_key=key,
        tenant_id=body.tenant_id,
        agent_id=body.agent_id,
        time_zone=time_zone,
        metadata=_plain("metadata", body.metadata) if body.metadata else {},
    )


def _complete_messages(
    bodies: Sequence[MessageBody], times: Sequence[datetime | None], started_at: datetime
) -> tuple[MessageV1, ...]:
    _check_something_said(bodies)
    positions: dict[str, int] = {}
    messages = []
    for index, (body, time) in enumerate(zip(bodies, times, strict=True)):
        message_id = body.id or str(index)
        first = positions.setdefault(message_id, index)
        if first != index:
            raise InvalidTranscript(f"messages[{index}].id", _already_used(body, first))
        call = body.tool_call
        messages.append(
            MessageV1(
                id=message_id,
                role=body.role,
                content=_check_content(index, body.content),
                created_at=time or started_at,
                name=body.name,
                tool_call=call and _plain(f"messages[{index}].tool_call", call),
            )
        )
    return tuple(messages)


def _check_content(index: int, content: str) -> str:
    try:
        return plain_text(content)
    except NotPlain as error:
        raise InvalidTranscript(f"messages[{index}].content", str(error)) from None


def _already_used(body: MessageBody, first: int) -> str:
    if body.id is None:
        return f"is missing, and its position is already the id of messages[{first}]; send an id"
    return f"is already the id of messages[{first}]; ids are unique in a transcript"


def _check_something_said(bodies: Sequence[MessageBody]) -> None:
    if all(not body.content or body.content.isspace() for body in bodies):
        reason = "say nothing; at least one needs content that is not blank"
        raise InvalidTranscript("messages", reason)


def _check_times(
    body: TranscriptBody, latest: datetime
) -> tuple[datetime | None, list[datetime | None]]:
    """The start and each message's time, in UTC, none of them impossible."""
    problem, start = utc_time(body.started_at, latest)
    if problem:
        raise InvalidTranscript("started_at", problem)
    times = []
    for index, message in enumerate(body.messages):
        problem, time = utc_time(message.created_at, latest)
        if problem:
            raise InvalidTranscript(f"messages[{index}].created_at", problem)
        times.append(time)
    return start, times


def _plain(field_name: str, value: dict[str, Any]) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = plain_json(value)
    except NotPlain as error:
        raise InvalidTranscript(field_name, str(error)) from None
    return plain
