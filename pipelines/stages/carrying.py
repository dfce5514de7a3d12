"""Sessions carried from one place to another: what was found in them, and where it was said.

A session is carried as its facts with their quotes. Where it arrives it is a transcript whose
messages are what was quoted, so that every memory cites what really stands somewhere. All ids are
derived again: under the same owner they are what they were, under another one they are others, and
the same however often the session is carried there.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipelines.errors import InputError
from pipelines.model import Kind, Lane, Message, Role, Slot, Transcript, fact_id, receipt_id
from pipelines.stages.grounding.cited import display_speaker
from pipelines.stages.injection.fence import strip_fenced
from pipelines.stages.injection.orders import is_memory_order
from pipelines.stages.redaction.clean import clean_transcript

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from config.policy import PersonalDataPolicy
    from pipelines.model import Evidence, Fact, MemoryId, Owner, ReceiptId

_SAID_BY_ASSISTANT = frozenset({Kind.OUTCOME, Kind.LESSON})
_TESTIFY = {Role.USER: frozenset(Kind), Role.ASSISTANT: _SAID_BY_ASSISTANT}


@dataclass(frozen=True, slots=True)
class CarriedSession:
    """A session as it is known by what was found in it.

    Attributes:
        source: Whose it was where it comes from.
        facts: In the order of their ordinals, under the ids that they have there.
        memory_ids: The memory in which each fact ended there.
    """

    source: Owner
    session_id: str
    idempotency_key: str
    content_hash: str
    started_at: datetime
    facts: tuple[Fact, ...]
    memory_ids: tuple[MemoryId, ...] = ()
    time_zone: str = "UTC"
    agent_id: str | None = None


@dataclass(frozen=True, slots=True)
class Arrived:
    """A session as it is to be stored where it was carried to.

    Attributes:
        redacted: Texts in which something had to be taken out.
    """

    transcript: Transcript
    facts: tuple[Fact, ...]
    redacted: int = 0


def key_under(owner: Owner, source: Owner, idempotency_key: str) -> str:
    """The idempotency key of a session where it is carried to; its own under the same owner."""
    if owner == source:
        return idempotency_key
    name = "\x1f".join((*source.names, idempotency_key))
    return f"import/{hashlib.sha256(name.encode()).hexdigest()}"


def arrive(session: CarriedSession, owner: Owner, policy: PersonalDataPolicy) -> Arrived:
    """The session under its new owner, as clean as what is pushed.

    Raises:
        InputError: It says what no transcript could have made a fact of; the field is named from
            the session on.
    """
    for number, fact in enumerate(session.facts):
        _check(fact, f"facts[{number}]")
    key = key_under(owner, session.source, session.idempotency_key)
    receipt = receipt_id(owner, key)
    texts = _Cleaned(session, owner, policy)
    moved = [_move(fact, receipt, owner, texts) for fact in session.facts]
    messages, places = _retell(moved)
    transcript = Transcript(
        id=receipt,
        owner=owner,
        session_id=session.session_id,
        started_at=session.started_at,
        messages=messages,
        idempotency_key=key,
        content_hash=session.content_hash,
        time_zone=session.time_zone,
        agent_id=session.agent_id,
        redactions=texts.counts,
        lane=Lane.BACKFILL,
    )
    return Arrived(transcript, tuple(_cite(fact, places) for fact in moved), texts.changed)


def cite_stored(facts: Iterable[Fact], messages: Sequence[tuple[str, str]]) -> tuple[Fact, ...]:
    """The facts as they cite a transcript whose text is there: each quote where it stands.

    Args:
        facts: Of that transcript.
        messages: Id and content of each of its messages.

    Raises:
        InputError: A quote does not stand in the message that it is said to be of.
    """
    places = {message_id: place for place, (message_id, _) in enumerate(messages)}
    contents = dict(messages)
    for fact in facts:
        for item in fact.evidence:
            if item.quote not in contents.get(item.message_id, ""):
                raise InputError(
                    f"facts[{fact.ordinal}].evidence",
                    f"quotes what does not stand in the message {item.message_id!r} of this "
                    "session, which is known here; export it again, or leave it out",
                )
    return tuple(_cite(fact, places) for fact in facts)


def _check(fact: Fact, field: str) -> None:
    texts = {"statement": fact.statement, "value": fact.value or ""}
    quotes = {f"evidence[{at}].quote": item.quote for at, item in enumerate(fact.evidence)}
    for name, text in (texts | quotes).items():
        if is_memory_order(text):
            raise InputError(f"{field}.{name}", "gives an order to the memory; leave it out")
        if strip_fenced(text) != text:
            raise InputError(
                f"{field}.{name}", "holds what recall had put into a prompt; leave it out"
            )
    told_by = fact.evidence[0].role
    if fact.kind not in _TESTIFY.get(told_by, frozenset()):
        raise InputError(
            f"{field}.evidence[0].role",
            f"a {fact.kind.value} cannot rest on what only a {told_by.value} said; leave it out",
        )


class _Cleaned:
    """All texts of a session without secrets, and without what the tenant wants masked."""

    def __init__(self, session: CarriedSession, owner: Owner, policy: PersonalDataPolicy) -> None:
        texts = sorted(set(_texts(session.facts)))
        carrier = Transcript(
            id=receipt_id(owner, session.idempotency_key),
            owner=owner,
            session_id=session.session_id,
            started_at=session.started_at,
            messages=(),
            idempotency_key=session.idempotency_key,
            content_hash=session.content_hash,
            # Texts for themselves: none of them asks for what the next one says.
            metadata={"texts": texts},
        )
        clean = clean_transcript(carrier, policy)
        self._texts: dict[str, str] = dict(zip(texts, clean.metadata["texts"], strict=True))
        self.counts = clean.redactions
        self.changed = sum(text != cleaned for text, cleaned in self._texts.items())

    def of(self, text: str) -> str:
        return self._texts[text]


def _texts(facts: Iterable[Fact]) -> Iterator[str]:
    for fact in facts:
        yield from (fact.statement, fact.subject, fact.value or "")
        if fact.slot is not None:
            yield from (fact.slot.subject, fact.slot.attribute, fact.slot.member or "")
        for item in fact.evidence:
            yield from (item.quote, item.speaker)


def _move(fact: Fact, receipt: ReceiptId, owner: Owner, texts: _Cleaned) -> Fact:
    slot = fact.slot
    if slot is not None:
        member = texts.of(slot.member) if slot.member else None
        slot = Slot(texts.of(slot.subject), texts.of(slot.attribute), member)
    return replace(
        fact,
        id=fact_id(receipt, fact.ordinal),
        transcript_id=receipt,
        owner=owner,
        statement=texts.of(fact.statement),
        subject=texts.of(fact.subject),
        value=texts.of(fact.value) if fact.value else None,
        slot=slot,
        evidence=tuple(
            replace(
                item,
                transcript_id=receipt,
                quote=texts.of(item.quote),
                speaker=texts.of(item.speaker),
            )
            for item in fact.evidence
        ),
    )


def _retell(facts: Sequence[Fact]) -> tuple[tuple[Message, ...], dict[str, int]]:
    """The messages as far as they are quoted, in their order, and the place of each."""
    quoted: dict[str, list[Evidence]] = {}
    for item in sorted(
        (item for fact in facts for item in fact.evidence),
        key=lambda item: (item.message_index, item.message_id, item.quote),
    ):
        quoted.setdefault(item.message_id, []).append(item)
    messages = tuple(_message(place, items) for place, items in enumerate(quoted.values()))
    return messages, {message.id: message.index for message in messages}


def _message(place: int, items: Sequence[Evidence]) -> Message:
    first = items[0]
    nameless = Message(
        index=place,
        id=first.message_id,
        role=first.role,
        content="\n".join(dict.fromkeys(item.quote for item in items)),
        created_at=first.said_at,
    )
    is_named = first.speaker != display_speaker(nameless)
    return replace(nameless, name=first.speaker) if is_named else nameless


def _cite(fact: Fact, places: dict[str, int]) -> Fact:
    evidence = tuple(replace(item, message_index=places[item.message_id]) for item in fact.evidence)
    return replace(fact, evidence=evidence)
