"""The answer that a distilling model owes: its JSON schema, and reading what it really sent."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from pipelines.errors import BadReply
from pipelines.model import Draft, Kind
from pipelines.stages.windows import number_messages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_core import ErrorDetails

    from pipelines.model import Message, Transcript

SCHEMA_NAME = "distilled_facts"
_NULLABLE_TEXT = {"type": ["string", "null"]}
# What strict structured output allows everywhere: each property required, nothing else, no
# lengths or ranges. The ranges are checked when the answer is read.
SCHEMA: dict[str, object] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["facts"],
    "properties": {
        "facts": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": [
                    "statement", "subject", "kind", "quote", "message_ids",
                    "importance", "attribute", "value", "ends", "event_date",
                ],
                "properties": {
                    "statement": {"type": "string"},
                    "subject": {"type": "string"},
                    "kind": {"type": "string", "enum": [kind.value for kind in Kind]},
                    "quote": {"type": "string"},
                    "message_ids": {"type": "array", "items": {"type": "integer"}},
                    "importance": {"type": "number"},
                    "attribute": _NULLABLE_TEXT,
                    "value": _NULLABLE_TEXT,
                    "ends": {"type": "boolean"},
                    "event_date": _NULLABLE_TEXT,
                },
            },
        }
    },
}  # fmt: skip

_FENCE = re.compile(r"\A\s*```(?:json)?\s*\n(?P<inside>.*?)\n?\s*```\s*\Z", re.DOTALL)
_NUMBER = re.compile(r"\A[0-9]{1,9}\Z")
_MONTH_OR_YEAR = re.compile(r"\A\d{4}(-\d{2})?\Z")
_MAX_PROBLEMS = 5


def _on_one_line(text: object) -> object:
    """Whitespace as single spaces, and without NUL, which no database text can hold."""
    return " ".join(text.replace("\x00", "").split()) if isinstance(text, str) else text


Line = Annotated[str, BeforeValidator(_on_one_line), StringConstraints(max_length=2000)]
Text = Annotated[Line, StringConstraints(min_length=1)]


class ReplyFact(BaseModel):
    """One fact as the model writes it; fields that nobody asked for are ignored.

    One without any evidence is read as well: grounding refuses it and nothing beside it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)

    statement: Text
    subject: Annotated[Text, StringConstraints(max_length=200)]
    kind: Kind
    quote: str
    message_ids: tuple[str, ...]
    importance: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    attribute: Annotated[Line, StringConstraints(max_length=200)] | None = None
    value: Line | None = None
    ends: bool = False
    event_date: Line | None = None


class Reply(BaseModel):
    """The whole answer; an empty list is a valid one."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    facts: tuple[ReplyFact, ...]


def parse_reply(text: str, transcripts: Sequence[Transcript]) -> list[list[Draft]]:
    """Read the model's answer about the transcripts of one request; nothing is grounded yet.

    A draft belongs to the transcript of the first message that it cites, or to the first
    transcript if it cites none of them. A message of another transcript that it cites beside
    that keeps an id there which no message has, so grounding refuses the draft.

    A date without a zone is meant in the transcript's. A bare date that is the local day of
    the quoted message says no more than the message's own time, and less exactly: such a draft
    has no ``event_at``.

    Returns:
        The drafts of each transcript.

    Raises:
        BadReply: Its ``problem`` names fields and rules, and nothing of the content.
    """
    citations = _Citations(transcripts)
    drafts: list[list[Draft]] = [[] for _ in transcripts]
    for number, fact in enumerate(_read(text).facts):
        home, cited = citations.resolve(fact.message_ids)
        event_at = _event_at(number, fact, cited[:1], transcripts[home])
        drafts[home].append(_draft(fact, cited, event_at))
    return drafts


class _Citations:
    """What an answer may cite: the numbers of the request, or the messages' own ids.

    A model that was shown numbers but remembers an id from what it read is understood as long
    as only one of the transcripts has that id.
    """

    def __init__(self, transcripts: Sequence[Transcript]) -> None:
        self._transcripts = transcripts
        self._numbered = number_messages(transcripts)
        self._named: dict[str, tuple[int, Message] | None] = {}
        for place in self._numbered:
            name = place[1].id
            self._named[name] = None if name in self._named else place

    def resolve(self, stated: Sequence[str]) -> tuple[int, tuple[str, ...]]:
        """The transcript that is cited, and the ids as they are called there."""
        places = [self._find(item) for item in stated]
        home = next((place[0] for place in places if place), 0)
        return home, tuple(
            self._name(place, home) if place else item
            for place, item in zip(places, stated, strict=True)
        )

    def _find(self, stated: str) -> tuple[int, Message] | None:
        if _NUMBER.match(stated) and int(stated) < len(self._numbered):
            return self._numbered[int(stated)]
        return self._named.get(stated)

    def _name(self, place: tuple[int, Message], home: int) -> str:
        session, message = place
        return message.id if session == home else f"{self._transcripts[session].id}/{message.id}"


def _read(text: str) -> Reply:
    fenced = _FENCE.match(text)
    try:
        return Reply.model_validate_json(fenced["inside"] if fenced else text)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False, include_context=False)
        raise BadReply(_describe(details)) from None


def _describe(details: list[ErrorDetails]) -> str:
    problems = [f"{_path(item['loc'])}: {item['msg']}" for item in details[:_MAX_PROBLEMS]]
    left = len(details) - len(problems)
    return "; ".join([*problems, f"and {left} more"] if left else problems)


def _path(location: tuple[Any, ...]) -> str:
    return ".".join(str(step) for step in location) or "the answer"


def _draft(fact: ReplyFact, cited: tuple[str, ...], event_at: datetime | None) -> Draft:
    attribute = fact.attribute if fact.value or fact.ends else None
    slot = (attribute.lower(), fact.value or None) if attribute else (None, None)
    return Draft(
        statement=fact.statement,
        subject=fact.subject,
        kind=fact.kind,
        quote=fact.quote,
        message_ids=cited,
        importance=fact.importance,
        attribute=slot[0],
        value=slot[1],
        event_at=event_at,
        ends=fact.ends and slot[0] is not None,
    )


def _event_at(
    number: int, fact: ReplyFact, quoted: Sequence[str], transcript: Transcript
) -> datetime | None:
    stated = fact.event_date
    if not stated:
        return None
    zone = ZoneInfo(transcript.time_zone)
    try:
        moment = _parse_moment(stated, zone)
    except (ValueError, OverflowError):
        raise BadReply(
            f"facts.{number}.event_date: must be YYYY-MM-DD, a date and time in ISO 8601, or null"
        ) from None
    days = {
        message.created_at.astimezone(zone).date().isoformat()
        for message in transcript.messages
        if message.id in quoted
    }
    return None if stated in days else moment


def _parse_moment(stated: str, zone: ZoneInfo) -> datetime:
    if _MONTH_OR_YEAR.match(stated):
        stated = f"{stated}-01-01"[: len("YYYY-MM-DD")]
    try:
        moment = datetime.combine(date.fromisoformat(stated), time.min)
    except ValueError:
        moment = datetime.fromisoformat(stated)
    local = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return local.astimezone(UTC)
