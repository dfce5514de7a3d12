"""Conversations for tests of distilling and grounding: who said what, at one time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from pipelines.model import Draft, Kind, Message, Role, Transcript
from tests.builders import make_transcript

# A Tuesday.
SAID_AT = datetime(2026, 3, 3, 9, 0, tzinfo=UTC)


def user(content: str, name: str | None = None) -> tuple[Role, str | None, str]:
    """A turn of a user, named where several people take part."""
    return (Role.USER, name, content)


def assistant(content: str) -> tuple[Role, str | None, str]:
    """A turn of the assistant."""
    return (Role.ASSISTANT, None, content)


def tool(content: str) -> tuple[Role, str | None, str]:
    """What a tool returned."""
    return (Role.TOOL, "search", content)


def system(content: str) -> tuple[Role, str | None, str]:
    """A system prompt."""
    return (Role.SYSTEM, None, content)


def make_dialogue(
    *turns: tuple[Role, str | None, str], at: datetime = SAID_AT, time_zone: str = "UTC"
) -> Transcript:
    """A transcript of these turns; message ids are m0, m1, …"""
    messages = tuple(
        Message(index, f"m{index}", role, content, at, name)
        for index, (role, name, content) in enumerate(turns)
    )
    return replace(make_transcript("", at=at), messages=messages, time_zone=time_zone)


def make_draft(
    statement: str,
    *message_ids: str,
    quote: str | None = None,
    subject: str = "User",
    kind: Kind = Kind.PROFILE,
    attribute: str | None = None,
    value: str | None = None,
    event_at: datetime | None = None,
    importance: float = 0.6,
) -> Draft:
    """A draft that quotes its own statement from the first message unless told otherwise."""
    return Draft(
        statement=statement,
        subject=subject,
        kind=kind,
        quote=statement if quote is None else quote,
        message_ids=message_ids or ("m0",),
        importance=importance,
        attribute=attribute,
        value=value,
        event_at=event_at,
    )
