"""Wire contracts at the edge of the process: what is pushed becomes a value of the model."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from memstill_client.errors import InvalidTranscript
from memstill_client.wire import TranscriptV1, content_hash, parse_transcript
from pipelines.errors import InvalidTranscript as Unreadable
from pipelines.model import Lane, Message, Owner, ReceiptId, Role, Transcript, receipt_id
from pipelines.stages.redaction.clean import find_secret_id

if TYPE_CHECKING:
    from pipelines.ports import DeadLetter


def to_transcript(
    pushed: TranscriptV1,
    *,
    default_tenant: str,
    caller: str | None = None,
    user: str | None = None,
    lane: Lane = Lane.INTERACTIVE,
    pushed_at: datetime | None = None,
    traceparent: str | None = None,
) -> Transcript:
    """A checked transcript as the model's value, under its receipt.

    Args:
        pushed: As the wire brought it.
        default_tenant: Whose it is when nobody says.
        caller: The tenant that the caller acts for, if known; no other may be named.
        user: The only user that the caller acts for, if they are bound to one.
        lane: How urgent it is.
        pushed_at: When it was appended to the Stream, if it was.
        traceparent: The trace of whoever pushed it, if they trace.

    Raises:
        InvalidTranscript: It names another tenant or user than the caller's, or a secret as an
            id.
    """
    if caller is not None and pushed.tenant_id not in {None, caller}:
        raise InvalidTranscript("tenant_id", "is another than the caller's; leave it out")
    if user not in {None, pushed.user_id}:
        raise InvalidTranscript("user_id", "is not the one that the API key acts for")
    owner = Owner(pushed.tenant_id or caller or default_tenant, pushed.user_id)
    secret = find_secret_id(
        tenant_id=owner.tenant_id, user_id=owner.user_id, session_id=pushed.session_id
    )
    if secret is not None:
        raise InvalidTranscript(secret, "holds a key or a password; send an id that opens nothing")
    return Transcript(
        id=receipt_id(owner, pushed.idempotency_key),
        owner=owner,
        session_id=pushed.session_id,
        agent_id=pushed.agent_id,
        started_at=pushed.started_at,
        time_zone=pushed.time_zone,
        metadata=pushed.metadata,
        idempotency_key=pushed.idempotency_key,
        content_hash=content_hash(pushed),
        lane=lane,
        pushed_at=pushed_at,
        traceparent=traceparent,
        messages=tuple(
            Message(
                index=index,
                id=item.id,
                role=Role(item.role),
                content=item.text,
                created_at=item.created_at,
                name=item.name,
            )
            for index, item in enumerate(pushed.messages)
        ),
    )


def to_receipt(text: str) -> ReceiptId:
    """A receipt from its text.

    Raises:
        ValueError: It is no UUID.
    """
    return ReceiptId(uuid.UUID(text))


def read_payload(payload: str, letter: DeadLetter) -> Transcript:
    """What could not be read when it was pushed, by the present parser and under its tenant.

    Raises:
        Unreadable: It still cannot; a time that was ahead of every clock then may have come.
    """
    tenant = letter.owner.tenant_id
    try:
        try:
            pushed = parse_transcript(payload, now=letter.received_at)
        except InvalidTranscript:
            pushed = parse_transcript(payload, now=datetime.now(UTC))
        # Whoever was erased since stays erased.
        return to_transcript(
            pushed,
            default_tenant=tenant,
            caller=tenant,
            lane=letter.lane,
            pushed_at=letter.received_at,
        )
    except InvalidTranscript as error:
        raise Unreadable(error.field, error.reason) from None
