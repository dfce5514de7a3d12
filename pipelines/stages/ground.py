"""Lets through only what the transcript supports, and says why the rest is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from config.policy import SlotPolicy
from pipelines.model import Evidence, Fact, Kind, Refusal, Role, Slot, fact_id
from pipelines.stages.cited import Cited
from pipelines.stages.dates import DateMention, local_day, mask_known_dates, say_day
from pipelines.stages.dedup import value_key
from pipelines.stages.orders import is_memory_order
from pipelines.stages.support import (
    Support,
    split_words,
    unsupported_names,
    unsupported_numbers,
)
from pipelines.stages.wordlist import word_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipelines.model import Draft, Transcript


class RefusalReason(StrEnum):
    """Why a draft is not stored; ``sentence`` says it to a person."""

    EMPTY_STATEMENT = "empty_statement"
    UNKNOWN_MESSAGE = "unknown_message"
    INSTRUCTION = "instruction"
    QUOTE_NOT_FOUND = "quote_not_found"
    RECALLED_TEXT = "recalled_text"
    TOOL_TEXT = "tool_text"
    SYSTEM_TEXT = "system_text"
    ASSISTANT_TEXT = "assistant_text"
    SECRET = "secret"  # noqa: S105 - the name of a reason
    FOREIGN_SUBJECT = "foreign_subject"
    UNSUPPORTED_NUMBER = "unsupported_number"
    UNSUPPORTED_NAME = "unsupported_name"

    @property
    def sentence(self) -> str:
        """The reason as one sentence, without any content."""
        return _SENTENCES[self]


_SENTENCES = {
    RefusalReason.EMPTY_STATEMENT: "It states nothing.",
    RefusalReason.UNKNOWN_MESSAGE: "It cites a message that the transcript does not have.",
    RefusalReason.INSTRUCTION: "It gives the memory orders instead of telling it something.",
    RefusalReason.QUOTE_NOT_FOUND: "Its quote does not stand in the cited message.",
    RefusalReason.RECALLED_TEXT: "Its quote is what recall had put into the prompt.",
    RefusalReason.TOOL_TEXT: "Only a tool said it.",
    RefusalReason.SYSTEM_TEXT: "Only the system prompt said it.",
    RefusalReason.ASSISTANT_TEXT: "Only the assistant said it, and it is no outcome or lesson.",
    RefusalReason.SECRET: "All it states is a secret that was taken out.",
    RefusalReason.FOREIGN_SUBJECT: "The cited messages do not mention whom it is about.",
    RefusalReason.UNSUPPORTED_NUMBER: "It states a number that the cited messages do not.",
    RefusalReason.UNSUPPORTED_NAME: "It states a name that the cited messages do not.",
}

_ASSISTANT_KINDS = frozenset({Kind.OUTCOME, Kind.LESSON})
_REFUSED_ROLES = {Role.TOOL: RefusalReason.TOOL_TEXT, Role.SYSTEM: RefusalReason.SYSTEM_TEXT}
_OWNER = frozenset({"user", "the user"})
_MAX_AHEAD = timedelta(days=1)
_PLACEHOLDER = re.compile(r"\[redacted:[a-z-]+\]")
_LONG_WORD = re.compile(r"[^\W\d_]{3,}(?:'s)?")
_SECRET_WORDS = word_set(
    """
    password passwords passphrase passcode pin pwd api key keys token tokens secret secrets card
    credit number credentials login connection string access private bearer jwt url account user
    the and for are was has have with that this use uses used new old current your our its his her
    their called set changed now from says said which code wifi here there try test can you
    """
)


def ground(
    drafts: Sequence[Draft],
    transcript: Transcript,
    distilled_by: str,
    policy: SlotPolicy | None = None,
) -> tuple[list[Fact], list[Refusal]]:
    """Turn supported drafts into facts, in order; the same drafts give the same ids.

    What is said twice becomes one fact with the evidence of both.
    """
    grounding = _Grounding(transcript, distilled_by, policy or SlotPolicy())
    refusals: list[Refusal] = []
    for draft in drafts:
        reason = grounding.refuse(draft)
        if reason is None:
            grounding.accept(draft)
        else:
            refusals.append(Refusal(draft, reason))
    return grounding.facts, refusals


class _Grounding:
    """What the checks of one transcript share, and the facts that passed them."""

    def __init__(self, transcript: Transcript, distilled_by: str, policy: SlotPolicy) -> None:
        self.facts: list[Fact] = []
        self._transcript = transcript
        self._distilled_by = distilled_by
        self._policy = policy
        self._names = {message.name for message in transcript.messages if message.name}
        self._cited: dict[str, Cited] = {}
        for message in transcript.messages:
            self._cited.setdefault(message.id, Cited(message, transcript.time_zone))
        self._positions: dict[tuple[str, str, Slot | None], int] = {}
        self._latest: dict[Slot, int] = {}

    def refuse(self, draft: Draft) -> RefusalReason | None:
        """The first reason that stands against a draft."""
        if not draft.statement.strip():
            return RefusalReason.EMPTY_STATEMENT
        if not draft.message_ids or not self._cited.keys() >= set(draft.message_ids):
            return RefusalReason.UNKNOWN_MESSAGE
        if is_memory_order(draft.statement) or is_memory_order(draft.quote):
            return RefusalReason.INSTRUCTION
        quoted = self._cited[draft.message_ids[0]]
        return (
            _refuse_quote(draft, quoted)
            or _refuse_role(draft, quoted)
            or self._refuse_content(draft, self._supporting(draft, quoted))
        )

    def accept(self, draft: Draft) -> None:
        """Add the fact of a draft, or its evidence to the fact that says the same.

        A value that was said, contradicted and said again is three facts, not two.
        """
        fact = self._build(draft, len(self.facts))
        key = (_plain(fact.statement), fact.subject.casefold(), fact.slot)
        known = self._positions.get(key)
        if known is not None and (fact.slot is None or self._latest[fact.slot] == known):
            self.facts[known] = _merge(self.facts[known], fact)
            return
        self._positions[key] = len(self.facts)
        if fact.slot is not None:
            self._latest[fact.slot] = len(self.facts)
        self.facts.append(fact)

    def _supporting(self, draft: Draft, quoted: Cited) -> list[Cited]:
        """The cited messages whose text may support the statement, the quoted one first.

        A tool or a system prompt supports nothing about a user; of the assistant only the
        question that the quoted message answers does.
        """
        others = [self._cited[key] for key in dict.fromkeys(draft.message_ids[1:])]
        return [quoted, *(other for other in others if _may_support(other, quoted))]

    def _refuse_content(self, draft: Draft, cited: list[Cited]) -> RefusalReason | None:
        support = self._support(cited)
        if _is_secret(draft, cited):
            return RefusalReason.SECRET
        if not _is_about(draft.subject, cited, support):
            return RefusalReason.FOREIGN_SUBJECT
        dates = self._known_dates(draft, cited)
        for stated in (_without_speaker(draft.statement, cited), f"is {draft.value or ''}"):
            masked = mask_known_dates(stated, dates)
            if unsupported_numbers(masked, support):
                return RefusalReason.UNSUPPORTED_NUMBER
            if unsupported_names(masked, support):
                return RefusalReason.UNSUPPORTED_NAME
        return None

    def _support(self, cited: list[Cited]) -> Support:
        """What the messages say; "you" may also be said by the name of who is there."""
        support = Support()
        for item in cited:
            support |= item.support
        names = {item.message.name for item in cited if item.message.name}
        if any(item.addresses_someone for item in cited):
            names |= self._names
        return support | Support(words=frozenset().union(*map(split_words, names)))

    def _known_dates(self, draft: Draft, cited: list[Cited]) -> list[DateMention]:
        known = [date for item in cited for date in item.dates]
        if draft.event_at is not None and any(item.speaks_of_time for item in cited):
            day = local_day(self._aware(draft.event_at), self._transcript.time_zone)
            known.append(DateMention(0, 0, day, day, say_day(day)))
        return known

    def _build(self, draft: Draft, ordinal: int) -> Fact:
        quoted = self._cited[draft.message_ids[0]]
        event_at = self._event_at(draft, quoted)
        subject = _subject(draft, quoted)
        slot = self._slot(draft, subject, quoted)
        return Fact(
            id=fact_id(self._transcript.id, ordinal),
            transcript_id=self._transcript.id,
            owner=self._transcript.owner,
            session_id=self._transcript.session_id,
            ordinal=ordinal,
            statement=" ".join(draft.statement.split()),
            subject=subject,
            kind=draft.kind,
            importance=min(1.0, max(0.0, draft.importance)),
            event_at=event_at,
            evidence=tuple(self._evidence(draft, quoted, event_at)),
            distilled_by=self._distilled_by,
            slot=slot,
            value=draft.value if slot else None,
            ends=draft.ends and slot is not None,
        )

    def _evidence(self, draft: Draft, quoted: Cited, event_at: datetime) -> Iterable[Evidence]:
        for key in dict.fromkeys(draft.message_ids):
            item = self._cited[key]
            quote = item.find(draft.quote) if item is quoted else item.context()
            if quote:
                yield Evidence(
                    transcript_id=self._transcript.id,
                    session_id=self._transcript.session_id,
                    message_id=item.message.id,
                    message_index=item.message.index,
                    role=item.message.role,
                    speaker=item.speaker,
                    quote=quote,
                    said_at=item.message.created_at,
                    event_at=event_at,
                )

    def _event_at(self, draft: Draft, quoted: Cited) -> datetime:
        said_at = quoted.message.created_at
        if draft.event_at is None:
            return said_at
        event_at = self._aware(draft.event_at).astimezone(UTC)
        return said_at if event_at > said_at + _MAX_AHEAD else event_at

    def _aware(self, moment: datetime) -> datetime:
        if moment.tzinfo is not None:
            return moment
        return moment.replace(tzinfo=ZoneInfo(self._transcript.time_zone))

    def _slot(self, draft: Draft, subject: str, quoted: Cited) -> Slot | None:
        attribute = self._policy.name_of(draft.attribute or "")
        member = value_key(draft.value or "")
        if not attribute or not member or quoted.message.role is not Role.USER:
            return None
        is_set_valued = attribute in self._policy.set_valued
        return Slot(subject.casefold(), attribute, member if is_set_valued else None)


def _refuse_quote(draft: Draft, quoted: Cited) -> RefusalReason | None:
    if quoted.find(draft.quote) is not None:
        return None
    if quoted.is_only_recalled(draft.quote):
        return RefusalReason.RECALLED_TEXT
    return RefusalReason.QUOTE_NOT_FOUND


def _refuse_role(draft: Draft, quoted: Cited) -> RefusalReason | None:
    role = quoted.message.role
    if role is Role.ASSISTANT and draft.kind not in _ASSISTANT_KINDS:
        return RefusalReason.ASSISTANT_TEXT
    return _REFUSED_ROLES.get(role)


def _may_support(other: Cited, quoted: Cited) -> bool:
    role = other.message.role
    if quoted.message.role is Role.ASSISTANT:
        return role is not Role.SYSTEM
    if role is Role.ASSISTANT:
        return other.message.index < quoted.message.index and other.asks
    return role is Role.USER


def _without_speaker(statement: str, cited: list[Cited]) -> str:
    """A statement of the form ``Name: what was said`` without the name."""
    name, colon, said = statement.partition(": ")
    speakers = {item.speaker.casefold() for item in cited}
    return said if colon and name.strip().casefold() in speakers else statement


def _is_secret(draft: Draft, cited: list[Cited]) -> bool:
    """Whether nothing but a redacted secret is stated, or one would be a value."""
    if _PLACEHOLDER.search(draft.value or ""):
        return True
    if not _PLACEHOLDER.search(draft.statement):
        return False
    rest = _PLACEHOLDER.sub(" ", draft.statement).casefold()
    speakers = frozenset().union(*(split_words(item.speaker) for item in cited))
    words = {word.removesuffix("'s") for word in _LONG_WORD.findall(rest)}
    return len(words - _SECRET_WORDS - speakers) <= 1


def _is_about(subject: str, cited: list[Cited], support: Support) -> bool:
    plain = subject.strip().casefold()
    if plain in _OWNER or plain in {item.speaker.casefold() for item in cited}:
        return True
    return bool(words := split_words(subject)) and words <= support.words


def _subject(draft: Draft, quoted: Cited) -> str:
    """The speaker by name where one is known, so that "User" and the name are one subject."""
    subject = " ".join(draft.subject.split())
    if subject.casefold() not in _OWNER:
        return subject
    message = quoted.message
    return message.name if message.role is Role.USER and message.name else "User"


def _plain(statement: str) -> str:
    return statement.casefold().strip(" .!…")


def _merge(one: Fact, other: Fact) -> Fact:
    cited = {item.message_id for item in one.evidence}
    added = tuple(item for item in other.evidence if item.message_id not in cited)
    return replace(
        one, evidence=one.evidence + added, importance=max(one.importance, other.importance)
    )
