"""The words of memstill as types: what flows from a transcript to a memory.

Every value here is immutable. Times are aware UTC; a vector is a float32 array of the
embedder's size with unit length. Nothing in this module reads a clock, a setting or a store.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NewType

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from datetime import datetime

Vector = npt.NDArray[np.float32]

ReceiptId = NewType("ReceiptId", uuid.UUID)
FactId = NewType("FactId", uuid.UUID)
MemoryId = NewType("MemoryId", uuid.UUID)

# The user id of what belongs to all users of a tenant; the wire lets nobody have an empty id.
EVERYONE = ""
# Stands in the tenant id of what is not live; the wire lets no tenant have a control character.
SHADOW = "\x1f"

NAMESPACE = uuid.UUID("aa6b06db-58cb-5bbc-85e7-f3f65c0c0fb8")


class Role(StrEnum):
    """Who produced a message."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    TOOL = "tool"


class Kind(StrEnum):
    """What a memory is."""

    PREFERENCE = "preference"
    PROFILE = "profile"
    EVENT = "event"
    OUTCOME = "outcome"
    LESSON = "lesson"
    PROCEDURE = "procedure"
    KNOWLEDGE = "knowledge"


class Scope(StrEnum):
    """Owner boundary of a memory: session within user within global, inside a tenant."""

    SESSION = "session"
    USER = "user"
    GLOBAL = "global"


class Lane(StrEnum):
    """How urgent a transcript is: interactive work goes before backfill."""

    INTERACTIVE = "interactive"
    BACKFILL = "backfill"


class TranscriptState(StrEnum):
    """Where a transcript stands on its road; ``done`` and ``dead`` are final.

    A ``parked`` one waits for a budget; it goes on by itself.
    """

    QUEUED = "queued"
    PARKED = "parked"
    DISTILLING = "distilling"
    DISTILLED = "distilled"
    DONE = "done"
    DEAD = "dead"


class MemoryState(StrEnum):
    """``active`` memories are current truth; the others stay as history.

    A ``merged`` one turned out to say what another says: its evidence went there, and it comes
    back if that turns out to be wrong.
    """

    ACTIVE = "active"
    SUPERSEDED = "superseded"
    MERGED = "merged"


class FactOutcome(StrEnum):
    """What became of a distilled fact."""

    PENDING = "pending"
    INSERTED = "inserted"
    REINFORCED = "reinforced"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """Whose memory: every read and write names a tenant and a user in it."""

    tenant_id: str
    user_id: str

    @property
    def names(self) -> tuple[str, str]:
        """Both, in the order in which they narrow."""
        return (self.tenant_id, self.user_id)

    @classmethod
    def everyone(cls, tenant_id: str) -> Owner:
        """All users of the tenant: whose the memories of global scope are."""
        return cls(tenant_id, EVERYONE)

    @property
    def live(self) -> Owner:
        """The user to whom a shadow generation belongs; the owner itself if it is none."""
        return Owner(self.tenant_id.partition(SHADOW)[0], self.user_id)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a transcript.

    Attributes:
        index: Position in the transcript, from 0.
        created_at: Aware UTC; the session's start when the agent sent no time.
        name: Who spoke, where several people share a role.
    """

    index: int
    id: str
    role: Role
    content: str
    created_at: datetime
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Transcript:
    """The ordered messages of one session, as the agent pushed it, secrets redacted.

    Attributes:
        id: The receipt: derived from owner and idempotency key, so that a repeated push
            has the same one.
        time_zone: IANA name in which the user's "yesterday" is meant.
        redactions: How many secrets of each kind were taken out at intake.
        lane: As it was pushed first.
        copy_of: The receipt of the pushed transcript, where this one was copied into a shadow
            generation: what is found in it cites that one.
        pushed_at: When it was appended to the Stream, by the Stream's clock; None for one that
            came another way, or is read from the inbox.
        traceparent: The trace that it belongs to, as W3C trace context; None if nobody traces.
    """

    id: ReceiptId
    owner: Owner
    session_id: str
    started_at: datetime
    messages: tuple[Message, ...]
    idempotency_key: str
    content_hash: str
    time_zone: str = "UTC"
    agent_id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    redactions: dict[str, int] = field(default_factory=dict)
    lane: Lane = Lane.INTERACTIVE
    copy_of: ReceiptId | None = None
    pushed_at: datetime | None = None
    traceparent: str | None = None

    @property
    def ended_at(self) -> datetime:
        """Time of the latest message: the place of this session in the user's order."""
        return max(message.created_at for message in self.messages)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where a statement comes from: a verbatim quote of one message.

    Attributes:
        event_at: When what is said held or happened; orders the values of a slot.
        said_at: When the message was written.
    """

    transcript_id: ReceiptId
    session_id: str
    message_id: str
    message_index: int
    role: Role
    speaker: str
    quote: str
    said_at: datetime
    event_at: datetime


@dataclass(frozen=True, slots=True)
class Slot:
    """Subject and attribute: two memories can conflict only inside one slot.

    Attributes:
        member: For an attribute that holds many values at once (languages, pets), which of
            them: each is a slot of its own, where nothing but its own end can retire it. None
            where the attribute has exactly one value at a time.
    """

    subject: str
    attribute: str
    member: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A statement that a distiller proposes, before grounding.

    Attributes:
        message_ids: The messages it claims to rest on, the one quoted first.
        quote: Must stand verbatim in the first of them.
        attribute: What is stated of the subject, where that can change: ``home city``.
        value: The value of the attribute, as short as it can be said.
        ends: It says that the value does not hold any more: "I no longer work at Acme".
        importance: 0 (trivia) to 1 (must not be forgotten).
        event_at: When it held or happened, if other than the message's time.
    """

    statement: str
    subject: str
    kind: Kind
    quote: str
    message_ids: tuple[str, ...]
    importance: float = 0.5
    attribute: str | None = None
    value: str | None = None
    event_at: datetime | None = None
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """A draft that grounding did not let through, with the reason."""

    draft: Draft
    reason: str


@dataclass(frozen=True, slots=True)
class Fact:
    """A grounded statement distilled from a transcript; not yet kept.

    Attributes:
        ordinal: Position among the facts of its transcript; with ``event_at`` and
            ``transcript_id`` it orders the user's facts totally.
        distilled_by: Distiller and prompt version, for example ``offline/1``.
        ends: It says that its value does not hold any more.
    """

    id: FactId
    transcript_id: ReceiptId
    owner: Owner
    session_id: str
    ordinal: int
    statement: str
    subject: str
    kind: Kind
    importance: float
    event_at: datetime
    evidence: tuple[Evidence, ...]
    distilled_by: str
    slot: Slot | None = None
    value: str | None = None
    ends: bool = False

    @property
    def order(self) -> tuple[datetime, str, int]:
        """Total order of one user's facts, independent of when they arrived."""
        return (self.event_at, str(self.transcript_id), self.ordinal)


@dataclass(frozen=True, slots=True)
class Memory:
    """A kept statement with scope, validity, provenance and version.

    Attributes:
        valid_from: Event time from which it held.
        valid_to: Event time at which a successor replaced it; None while current.
        confirmed_at: Latest event time at which it was said.
        version: 1 at insertion, one more at each change; a write names the version it read.
        ends: It says that its value does not hold any more.
        users: How many users say it; more than one only where it is everyone's.
        pinned: A person wants it kept: it never fades.
        evicted_at: When it had faded and was taken out of the index; None for one that is in use.
            What holds does not depend on it: an evicted memory is only not told.
    """

    id: MemoryId
    owner: Owner
    scope: Scope
    session_id: str
    statement: str
    subject: str
    kind: Kind
    importance: float
    valid_from: datetime
    confirmed_at: datetime
    evidence: tuple[Evidence, ...]
    vector: Vector = field(compare=False, repr=False)
    slot: Slot | None = None
    value: str | None = None
    state: MemoryState = MemoryState.ACTIVE
    valid_to: datetime | None = None
    superseded_by: MemoryId | None = None
    version: int = 1
    distilled_by: str = ""
    ends: bool = False
    users: int = 1
    pinned: bool = False
    evicted_at: datetime | None = None

    @property
    def is_indexed(self) -> bool:
        """Whether it has a point in the index: it says something of its own, and is in use."""
        return self.state is not MemoryState.MERGED and self.evicted_at is None

    @property
    def sessions(self) -> frozenset[str]:
        """The sessions in which it was said: more than one corroborates it."""
        return frozenset(item.session_id for item in self.evidence)


def receipt_id(owner: Owner, idempotency_key: str) -> ReceiptId:
    """Derive the receipt of a transcript: the same push always gets the same one."""
    name = f"transcript\x1f{owner.tenant_id}\x1f{owner.user_id}\x1f{idempotency_key}"
    return ReceiptId(uuid.uuid5(NAMESPACE, name))


def fact_id(transcript_id: ReceiptId, ordinal: int) -> FactId:
    """Derive a fact's id, so that distilling a transcript twice names the same facts."""
    return FactId(uuid.uuid5(transcript_id, f"fact/{ordinal}"))


def memory_id(first: FactId) -> MemoryId:
    """Derive a memory's id from the fact that first stated it."""
    return MemoryId(uuid.uuid5(first, "memory"))
