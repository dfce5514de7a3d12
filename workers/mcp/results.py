"""What the tools answer: as data, and as text that a model reads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel, Field

from pipelines.stages.injection.fence import extend, fence

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from memstill_client import FactReport, Recall, RecalledMemory

KEPT = frozenset({"inserted", "reinforced", "superseded", "merged"})


class Told(BaseModel):
    """A memory as a tool names it."""

    memory_id: UUID
    statement: str
    kind: str
    valid_from: datetime
    quote: str = Field(description="The words that it rests on, as they were said.")


class Recalled(BaseModel):
    """What is known that helps with the query, best first."""

    block: str = Field(description="All of it as text for a prompt; empty if nothing is known.")
    memories: list[Told]
    notes: list[str]


class FactTold(BaseModel):
    """A statement that was found in what was to be remembered, and what became of it."""

    statement: str
    outcome: str
    reason: str | None
    memory_id: UUID | None


class Remembered(BaseModel):
    """What became of what was to be remembered; ``waiting`` means that it is being worked on."""

    receipt: UUID
    state: str
    facts: list[FactTold]


class Forgotten(BaseModel):
    """The memory that was forgotten, or those among which one has to be chosen."""

    forgotten: UUID | None
    restorable_until: datetime | None = None
    candidates: list[Told]


class History(BaseModel):
    """A memory with what held before and after it, and what happened to it."""

    memory: dict[str, Any]
    timeline: list[dict[str, Any]]
    events: list[dict[str, Any]]


def answer(text: str, data: BaseModel) -> CallToolResult:
    """Both forms of one answer."""
    return CallToolResult(
        content=[TextContent(type="text", text=text)],
        structured_content=data.model_dump(mode="json"),
    )


def told(memories: Iterable[RecalledMemory]) -> list[Told]:
    """Memories as they are named in answers."""
    return [
        Told(
            memory_id=item.id,
            statement=item.statement,
            kind=item.kind,
            valid_from=item.valid_from,
            quote=item.quote,
        )
        for item in memories
    ]


def fenced(memories: Sequence[Told], user_id: str) -> str:
    """Memories with their ids, marked as recalled: no later session takes them for evidence."""
    lines = [
        f"{item.statement} ({item.kind}, since {item.valid_from:%Y-%m-%d}) id={item.memory_id}"
        for item in memories
    ]
    return fence(lines, user_id=user_id, at=datetime.now(UTC).date())


def recall_text(found: Recall) -> str:
    """The block, and by which ids its memories can be spoken of."""
    if not found.block:
        return "\n".join(["Nothing is known that fits.", *found.notes])
    ids = [f"id of memory {number}: {item.id}" for number, item in enumerate(found.memories, 1)]
    return "\n".join([extend(found.block, ids), *found.notes])


def remembered_text(facts: Sequence[FactReport]) -> str:
    """What was kept and what not, and what to say instead."""
    lines = []
    for fact in facts:
        if fact.memory_id is not None:
            lines.append(f"Kept ({fact.outcome}): {fact.statement} id={fact.memory_id}")
        else:
            lines.append(f"Not kept: {fact.statement} ({fact.reason or fact.outcome})")
    if not any(fact.memory_id is not None for fact in facts):
        lines.append(
            "Nothing was kept. Pass one plain statement in the user's own words, in the first "
            'person: "I live in Lisbon." Questions, small talk, secrets, passing states and what '
            "the user did not say are not kept."
        )
    return "\n".join(lines)


def history_text(found: History) -> str:
    """A memory in words: what it says, who said so, what came of it."""
    memory = found.memory
    until = f" until {memory['valid_to'][:10]}" if memory["valid_to"] else ""
    lines = [
        f"{memory['statement']} ({memory['kind']}, {memory['state']})",
        f"Held from {memory['valid_from'][:10]}{until}.",
    ]
    lines += [
        f"Said by {item['speaker']} ({item['role']}) on {item['said_at'][:10]} in session "
        f'{item["session_id"]}: "{item["quote"]}"'
        for item in memory["evidence"]
    ]
    lines += [
        f"Beside it: {item['statement']} ({item['state']}, from {item['valid_from'][:10]}) "
        f"id={item['id']}"
        for item in found.timeline
        if item["id"] != memory["id"]
    ]
    lines += [
        f"{event['at'][:19]} {event['name']}" + (f": {event['reason']}" if event["reason"] else "")
        for event in found.events
    ]
    today = datetime.now(UTC).date()
    return fence(lines, user_id=memory["user_id"] or "everyone", at=today)
