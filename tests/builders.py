"""Values for tests: complete and plain, with only what a test is about spelled out."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.adapters.prompts import load_prompt
from pipelines.model import (
    Evidence,
    Fact,
    Kind,
    Memory,
    Message,
    Owner,
    ReceiptId,
    Role,
    Scope,
    Slot,
    Transcript,
    Vector,
    fact_id,
    memory_id,
    receipt_id,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

ALICE = Owner("acme", "alice")
# What the live distiller asks with.
PROMPT = load_prompt("distill", "v1")
BOB = Owner("acme", "bob")
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def day(number: int) -> datetime:
    """The given day of the story, at nine in the morning."""
    return START + timedelta(days=number)


def vector_of(text: str, size: int = 16) -> Vector:
    """A unit vector that only the same text has: different texts are far apart."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    raw = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    return raw / np.float32(np.linalg.norm(raw))


def make_transcript(
    *contents: str,
    owner: Owner = ALICE,
    session: str = "s1",
    at: datetime = START,
    role: Role = Role.USER,
    key: str | None = None,
) -> Transcript:
    """A transcript whose messages were all written at one time."""
    text = "\n".join(contents)
    content_hash = hashlib.sha256(f"{session}{at}{text}".encode()).hexdigest()
    idempotency_key = key or content_hash
    return Transcript(
        id=receipt_id(owner, idempotency_key),
        owner=owner,
        session_id=session,
        started_at=at,
        idempotency_key=idempotency_key,
        content_hash=content_hash,
        messages=tuple(
            Message(index, f"m{index}", role, content, at) for index, content in enumerate(contents)
        ),
    )


def make_evidence(
    quote: str,
    *,
    receipt: ReceiptId,
    session: str = "s1",
    at: datetime = START,
    role: Role = Role.USER,
    index: int = 0,
) -> Evidence:
    """Evidence said and holding at one time."""
    return Evidence(
        transcript_id=receipt,
        session_id=session,
        message_id=f"m{index}",
        message_index=index,
        role=role,
        speaker="User",
        quote=quote,
        said_at=at,
        event_at=at,
    )


def make_fact(
    statement: str,
    *,
    owner: Owner = ALICE,
    session: str = "s1",
    at: datetime = START,
    attribute: str | None = None,
    value: str | None = None,
    role: Role = Role.USER,
    ordinal: int = 0,
    **changes: Any,  # noqa: ANN401 - any field of a fact
) -> Fact:
    """A fact of a session of its own name, on one piece of evidence."""
    receipt = receipt_id(owner, session)
    values: dict[str, Any] = {
        "id": fact_id(receipt, ordinal),
        "transcript_id": receipt,
        "owner": owner,
        "session_id": session,
        "ordinal": ordinal,
        "statement": statement,
        "subject": "User",
        "kind": Kind.PREFERENCE,
        "importance": 0.6,
        "event_at": at,
        "evidence": (
            make_evidence(
                statement, receipt=receipt, session=session, at=at, role=role, index=ordinal
            ),
        ),
        "distilled_by": "test/1",
        "slot": Slot("user", attribute) if attribute else None,
        "value": value,
    }
    return Fact(**(values | changes))


def make_memory(fact: Fact, vector: Vector | None = None, **changes: Any) -> Memory:  # noqa: ANN401
    """The memory that a fact becomes when nothing is known yet."""
    values: dict[str, Any] = {
        "id": memory_id(fact.id),
        "owner": fact.owner,
        "scope": Scope.USER,
        "session_id": fact.session_id,
        "statement": fact.statement,
        "subject": fact.subject,
        "kind": fact.kind,
        "importance": fact.importance,
        "valid_from": fact.event_at,
        "confirmed_at": fact.event_at,
        "evidence": fact.evidence,
        "vector": vector_of(fact.statement) if vector is None else vector,
        "slot": fact.slot,
        "value": fact.value,
        "distilled_by": fact.distilled_by,
    }
    return Memory(**(values | changes))


def with_vectors(facts: Sequence[Fact]) -> list[tuple[Fact, Vector]]:
    """Facts with vectors that are near only for equal statements."""
    return [(fact, vector_of(fact.statement)) for fact in facts]
