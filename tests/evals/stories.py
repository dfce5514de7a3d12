"""Update stories: told session by session, and judged by what is current in the end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from memstill_client.wire import parse_transcript
from pipelines.model import MemoryState
from tests.endpoint import fact_from
from workers.payloads import to_transcript

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipelines.model import Memory, Transcript
    from tests.endpoint import FactDict, Line

TENANT = "stories"
_FILE = Path(__file__).with_name("update_stories.yaml")
_TOLD_AT = datetime(2026, 6, 1, tzinfo=UTC)
_BETWEEN_MESSAGES = timedelta(minutes=1)
_SAYS_IT_IS_OVER = re.compile(r"no longer|any ?more\b|used to\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Turn:
    """What was said at once, and what a competent model finds in it."""

    role: str
    content: str
    name: str | None
    facts: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Session:
    """One conversation."""

    at: datetime
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """Sessions in event order, and patterns of what must hold in the end.

    Attributes:
        arrives: The order in which the sessions are pushed.
        current: Stated by some active memory.
        over: Stated by no active memory as the truth.
        kept: Said beside it: stated by some active memory still.
    """

    id: str
    theme: str
    sessions: tuple[Session, ...]
    arrives: tuple[int, ...]
    current: tuple[str, ...]
    over: tuple[str, ...]
    kept: tuple[str, ...]

    def transcripts(self) -> list[Transcript]:
        """What is pushed, in the order of arrival."""
        return [self._transcript(number) for number in self.arrives]

    def _transcript(self, number: int) -> Transcript:
        session = self.sessions[number]
        messages = [
            {
                "role": turn.role,
                "content": turn.content,
                "created_at": (session.at + position * _BETWEEN_MESSAGES).isoformat(),
                **({"name": turn.name} if turn.name else {}),
            }
            for position, turn in enumerate(session.turns)
        ]
        pushed = {
            "schema_version": 1,
            "tenant_id": TENANT,
            "user_id": self.id,
            "session_id": f"{self.id}-{number}",
            "started_at": session.at.isoformat(),
            "messages": messages,
        }
        return to_transcript(parse_transcript(pushed, now=_TOLD_AT), default_tenant=TENANT)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong at the end of a story; nothing if all three are empty.

    Attributes:
        missing: Patterns that no active memory states.
        stale: Active statements of what is over.
        wrongly_retired: Statements that were retired though they still hold.
    """

    story: Story
    missing: tuple[str, ...]
    stale: tuple[str, ...]
    wrongly_retired: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        return not (self.missing or self.stale or self.wrongly_retired)

    def __str__(self) -> str:
        return (
            f"{self.story.id}: missing {list(self.missing)}, stale {list(self.stale)}, "
            f"wrongly retired {list(self.wrongly_retired)}"
        )


@cache
def load_stories() -> tuple[Story, ...]:
    """All of them, in the order of the file."""
    return tuple(map(_story, yaml.safe_load(_FILE.read_text(encoding="utf-8"))))


def find_facts(lines: Iterable[Line]) -> list[FactDict]:
    """What a competent model answers about the messages that it is shown."""
    known = _facts_by_content()
    return [
        _as_answer(line, fact)
        for line in lines
        if line["role"].startswith("user")
        for fact in known[line["content"]]
    ]


def judge_pair(pair: Line) -> str:
    """How a competent model relates two statements.

    Of one attribute, a value that only says more than the other holds beside it.
    """
    if "attribute" not in pair:
        return "both"
    a, b = (set((pair[side]["value"] or "").casefold().replace("-", " ").split()) for side in "ab")
    return "both" if a and b and (a < b or b < a) else "changed"


def judge_story(story: Story, memories: Sequence[Memory]) -> Verdict:
    """Compare a user's memories in any state with what must hold."""
    active = [item.statement for item in memories if item.state is MemoryState.ACTIVE]
    retired = [
        item.statement
        for item in memories
        if item.state is MemoryState.SUPERSEDED and not item.ends
    ]
    wanted = (*story.current, *story.kept)
    return Verdict(
        story,
        missing=tuple(item for item in wanted if not _states_any(active, item)),
        stale=tuple(
            item.statement
            for item in memories
            if item.state is MemoryState.ACTIVE and not item.ends and _is_stale(item, story)
        ),
        wrongly_retired=tuple(item for item in retired if _still_holds(item, story, active)),
    )


def states(statement: str, pattern: str) -> bool:
    """Whether a statement says what a pattern asks for."""
    return all(_holds(statement, term) for term in pattern.split())


def _holds(statement: str, term: str) -> bool:
    words = term.removeprefix("!").split("|")
    found = any(_occurs(statement, word.replace("_", " ")) for word in words)
    return found is not term.startswith("!")


def _occurs(statement: str, word: str) -> bool:
    end = r"(?![\w]|[.,]\d)" if word[-1].isdigit() else ""
    return re.search(rf"(?<![\w.,]){re.escape(word)}{end}", statement, re.IGNORECASE) is not None


def _states_any(statements: Iterable[str], pattern: str) -> bool:
    return any(states(statement, pattern) for statement in statements)


def _is_stale(memory: Memory, story: Story) -> bool:
    """Whether it states what is over, and neither that it is over nor what is current."""
    if _SAYS_IT_IS_OVER.search(memory.statement):
        return False
    # What came back is current in the same words ("I live in Porto" twice).
    return not any(states(memory.statement, item) for item in story.current) and any(
        states(memory.statement, item) for item in story.over
    )


def _still_holds(statement: str, story: Story, active: Sequence[str]) -> bool:
    """Whether a retired statement was true, or stated beside its subject something that is."""
    if any(states(statement, item) and not _states_any(active, item) for item in story.kept):
        return True
    is_said = [item for item in story.current if states(statement, item)]
    if is_said and all(_states_any(active, item) for item in is_said):
        return False
    return not any(states(statement, item) for item in story.over)


def _proof(content: str, statement: str) -> str:
    """The sentence of a message that says most of a statement."""
    words = {word[:4] for word in re.findall(r"\w+", statement.casefold())}
    sentences = [match[0].strip() for match in re.finditer(r"\S.*?(?:[.!?]+(?=\s|$)|$)", content)]
    return max(
        sentences,
        key=lambda text: len(words & {word[:4] for word in re.findall(r"\w+", text.casefold())}),
    )


def _as_answer(line: Line, fact: dict[str, Any]) -> FactDict:
    attribute, value = fact.get("is") or fact.get("over") or (None, None)
    on: date | None = fact.get("on")
    changes: dict[str, Any] = {
        "statement": fact["say"],
        "kind": fact.get("kind", "profile"),
        "attribute": attribute,
        "value": value,
        "ends": "over" in fact,
        "event_date": on.isoformat() if on else None,
        "importance": fact.get("weight", 0.6),
        "quote": fact.get("quote") or _proof(line["content"], fact["say"]),
    }
    if "of" in fact:
        changes["subject"] = fact["of"]
    return fact_from(line, **changes)


@cache
def _facts_by_content() -> dict[str, tuple[dict[str, Any], ...]]:
    turns = [
        turn for story in load_stories() for session in story.sessions for turn in session.turns
    ]
    return {turn.content: turn.facts for turn in turns if turn.role == "user"}


def _story(raw: dict[str, Any]) -> Story:
    sessions = tuple(map(_session, raw["sessions"]))
    return Story(
        id=raw["id"],
        theme=raw["theme"],
        sessions=sessions,
        arrives=tuple(raw.get("arrives", range(len(sessions)))),
        current=tuple(raw["current"]),
        over=tuple(raw["over"]),
        kept=tuple(raw["kept"]),
    )


def _session(raw: dict[str, Any]) -> Session:
    at = datetime.fromisoformat(str(raw["at"])).replace(tzinfo=UTC)
    return Session(at, tuple(map(_turn, raw["says"])))


def _turn(raw: dict[str, Any]) -> Turn:
    role = next(name for name in ("user", "assistant", "tool") if name in raw)
    return Turn(role, raw[role], raw.get("name"), tuple(raw.get("facts", ())))
