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

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

    from pipelines.model import Transcript

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
                    "message_ids": {"type": "array", "items": {"type": "string"}},
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
_MONTH_OR_YEAR = re.compile(r"\A\d{4}(-\d{2})?\Z")
_MAX_PROBLEMS = 5


def _on_one_line(text: object) -> object:
    """Whitespace as single spaces, and without NUL, which no database text can hold."""
    return " ".join(text.replace("\x00", "").split()) if isinstance(text, str) else text


Line = Annotated[str, BeforeValidator(_on_one_line), StringConstraints(max_length=2000)]
Text = Annotated[Line, StringConstraints(min_length=1)]
Verbatim = Annotated[str, StringConstraints(min_length=1)]


class ReplyFact(BaseModel):
    """One fact as the model writes it; fields that nobody asked for are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)

    statement: Text
    subject: Annotated[Text, StringConstraints(max_length=200)]
    kind: Kind
    quote: Verbatim
    message_ids: Annotated[tuple[Verbatim, ...], Field(min_length=1)]
    importance: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    attribute: Annotated[Line, StringConstraints(max_length=200)] | None = None
    value: Line | None = None
    ends: bool = False
    event_date: Line | None = None


class Reply(BaseModel):
    """The whole answer; an empty list is a valid one."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    facts: tuple[ReplyFact, ...]


def parse_reply(text: str, transcript: Transcript) -> list[Draft]:
    """Read the model's answer about ``transcript``; nothing is grounded yet.

    A date without a zone is meant in the transcript's. A bare date that is the local day of
    the quoted message says no more than the message's own time, and less exactly: such a draft
    has no ``event_at``.

    Raises:
        BadReply: Its ``problem`` names fields and rules, and nothing of the content.
    """
    reply = _read(text)
    said_at = {message.id: message.created_at for message in transcript.messages}
    zone = ZoneInfo(transcript.time_zone)
    return [
        _draft(fact, _event_at(number, fact, said_at, zone))
        for number, fact in enumerate(reply.facts)
    ]


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


def _draft(fact: ReplyFact, event_at: datetime | None) -> Draft:
    slot = (fact.attribute.lower(), fact.value) if fact.attribute and fact.value else (None, None)
    return Draft(
        statement=fact.statement,
        subject=fact.subject,
        kind=fact.kind,
        quote=fact.quote,
        message_ids=fact.message_ids,
        importance=fact.importance,
        attribute=slot[0],
        value=slot[1],
        event_at=event_at,
        ends=fact.ends and slot[0] is not None,
    )


def _event_at(
    number: int, fact: ReplyFact, said_at: Mapping[str, datetime], zone: ZoneInfo
) -> datetime | None:
    stated = fact.event_date
    if not stated:
        return None
    try:
        moment = _parse_moment(stated, zone)
    except (ValueError, OverflowError):
        raise BadReply(
            f"facts.{number}.event_date: must be YYYY-MM-DD, a date and time in ISO 8601, or null"
        ) from None
    said = said_at.get(fact.message_ids[0])
    is_day_of_message = said is not None and stated == said.astimezone(zone).date().isoformat()
    return None if is_day_of_message else moment


def _parse_moment(stated: str, zone: ZoneInfo) -> datetime:
    if _MONTH_OR_YEAR.match(stated):
        stated = f"{stated}-01-01"[: len("YYYY-MM-DD")]
    try:
        moment = datetime.combine(date.fromisoformat(stated), time.min)
    except ValueError:
        moment = datetime.fromisoformat(stated)
    local = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return local.astimezone(UTC)
