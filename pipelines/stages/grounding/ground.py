"""Lets through only what the transcript supports, and says why the rest is refused."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from config.policy import GroundPolicy, SlotPolicy
from pipelines.model import Evidence, Fact, Kind, Refusal, Role, Slot, fact_id
from pipelines.stages.dates import DateMention, local_day, say_day
from pipelines.stages.dedup import value_key
from pipelines.stages.grounding.cited import Cited
from pipelines.stages.grounding.refusal import RefusalReason
from pipelines.stages.grounding.support import split_words
from pipelines.stages.grounding.testimony import Testimony
from pipelines.stages.injection.orders import is_memory_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipelines.model import Draft, Transcript

__all__ = ["RefusalReason", "ground"]

_ASSISTANT_KINDS = frozenset({Kind.OUTCOME, Kind.LESSON})
_REFUSED_ROLES = {Role.TOOL: RefusalReason.TOOL_TEXT, Role.SYSTEM: RefusalReason.SYSTEM_TEXT}
_OWNER = frozenset({"user", "the user"})
_MAX_AHEAD = timedelta(days=1)


def ground(
    drafts: Sequence[Draft],
    transcript: Transcript,
    distilled_by: str,
    policy: SlotPolicy | None = None,
    rules: GroundPolicy | None = None,
) -> tuple[list[Fact], list[Refusal]]:
    """Turn supported drafts into facts, in order; the same drafts give the same ids.

    What is said twice becomes one fact with the evidence of both.
    """
    grounding = _Grounding(
        transcript, distilled_by, policy or SlotPolicy(), rules or GroundPolicy()
    )
    refusals: list[Refusal] = []
    for draft in drafts:
        judged = grounding.judge(draft)
        if isinstance(judged, RefusalReason):
            refusals.append(Refusal(draft, judged))
        else:
            grounding.accept(draft, judged)
    return grounding.facts, refusals


class _Grounding:
    """What the checks of one transcript share, and the facts that passed them."""

    def __init__(
        self, transcript: Transcript, distilled_by: str, policy: SlotPolicy, rules: GroundPolicy
    ) -> None:
        self.facts: list[Fact] = []
        self._transcript = transcript
        self._distilled_by = distilled_by
        self._policy = policy
        self._rules = rules
        names = {item.name for item in transcript.messages if item.name}
        self._everybody = split_words(" ".join(sorted(names)))
        self._cited: dict[str, Cited] = {}
        for message in transcript.messages:
            self._cited.setdefault(message.id, Cited(message, transcript.time_zone))
        self._users = [item for item in self._cited.values() if item.message.role is Role.USER]
        self._places = [item.message.index for item in self._users]
        self._positions: dict[tuple[str, str, Slot | None], int] = {}
        self._latest: dict[Slot, int] = {}

    def judge(self, draft: Draft) -> Testimony | RefusalReason:
        """What the draft rests on, or the first reason that stands against it."""
        incomplete = _refuse_incomplete(draft)
        if incomplete is not None:
            return incomplete
        if not self._cited.keys() >= set(draft.message_ids):
            return RefusalReason.UNKNOWN_MESSAGE
        if any(map(is_memory_order, (draft.statement, draft.quote, draft.value or ""))):
            return RefusalReason.INSTRUCTION
        whole = self._cited[draft.message_ids[0]]
        located = whole.locate(draft.quote)
        if located is None:
            return _missing_quote(draft.quote, whole)
        quoted, found = located
        testimony = self._testimony(draft, quoted, found)
        if is_memory_order(testimony.passage):
            return RefusalReason.INSTRUCTION
        return _refuse_role(draft, quoted) or testimony.refuse() or testimony

    def accept(self, draft: Draft, testimony: Testimony) -> None:
        """Add the fact of a draft, or its evidence to the fact that says the same.

        A value that was said, contradicted and said again is three facts, not two.
        """
        fact = self._build(draft, testimony, len(self.facts))
        key = (_plain(fact.statement), fact.subject.casefold(), fact.slot)
        known = self._positions.get(key)
        if known is not None and (fact.slot is None or self._latest[fact.slot] == known):
            self.facts[known] = _merge(self.facts[known], fact)
            return
        self._positions[key] = len(self.facts)
        if fact.slot is not None:
            self._latest[fact.slot] = len(self.facts)
        self.facts.append(fact)

    def _testimony(self, draft: Draft, quoted: Cited, found: str) -> Testimony:
        others = [self._cited[key] for key in dict.fromkeys(draft.message_ids[1:])]
        supporting = tuple(other for other in others if self._may_support(other, quoted))
        return Testimony(
            draft=draft,
            quoted=quoted,
            found=found,
            others=supporting,
            before=self._before(quoted),
            everybody=self._everybody,
            dates=self._known_dates(draft, (quoted, *supporting)),
            policy=self._rules,
        )

    def _before(self, quoted: Cited) -> tuple[Cited, ...]:
        """Of the users' messages before it the latest, of a long one its end, in that order."""
        end = bisect_left(self._places, quoted.message.index)
        near = self._users[max(0, end - self._rules.far_messages) : end]
        return tuple(item.stretches[-1] for item in reversed(near))

    def _may_support(self, other: Cited, quoted: Cited) -> bool:
        """Whether a further cited message may support what is quoted.

        A tool or a system prompt supports nothing about a user; of the assistant only the
        question that the quoted message answers does.
        """
        role, distance = other.message.role, quoted.message.index - other.message.index
        if distance == 0:
            return False
        if quoted.message.role is Role.ASSISTANT:
            return role is not Role.SYSTEM
        if role is Role.ASSISTANT:
            return 0 < distance <= self._rules.max_question_distance and other.asks
        return role is Role.USER

    def _known_dates(self, draft: Draft, cited: Sequence[Cited]) -> list[DateMention]:
        """The draft's own date counts only where its messages speak of time without any day."""
        known = [date for item in cited for date in item.dates]
        is_vague = not any(item.told_dates for item in cited)
        if draft.event_at is not None and is_vague and any(item.speaks_of_time for item in cited):
            day = local_day(self._aware(draft.event_at), self._transcript.time_zone)
            known.append(DateMention(0, 0, day, day, say_day(day)))
        return known

    def _build(self, draft: Draft, testimony: Testimony, ordinal: int) -> Fact:
        quoted = testimony.quoted
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
            importance=self._importance(draft, quoted),
            event_at=event_at,
            evidence=tuple(self._evidence(testimony, event_at)),
            distilled_by=self._distilled_by,
            slot=slot,
            value=(draft.value or None) if slot else None,
            ends=draft.ends and slot is not None,
        )

    def _importance(self, draft: Draft, quoted: Cited) -> float:
        """As proposed; but no message can order how important what it says is."""
        highest = self._rules.max_importance_beside_order if quoted.gives_orders else 1.0
        return min(highest, max(0.0, draft.importance))

    def _evidence(self, testimony: Testimony, event_at: datetime) -> Iterable[Evidence]:
        others = [self._cited[key] for key in testimony.draft.message_ids[1:]]
        cited = (testimony.quoted, *others, *testimony.antecedents)
        once: dict[int, Cited] = {}
        for item in cited:
            once.setdefault(item.message.index, item)
        for item in once.values():
            quote = testimony.found if item is testimony.quoted else item.context()
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
        is_set_valued = attribute in self._policy.set_valued
        # "I quit my job" ends the one employer there is, without naming it.
        is_told = bool(member) or (draft.ends and not is_set_valued)
        if not attribute or not is_told or quoted.message.role is not Role.USER:
            return None
        return Slot(subject.casefold(), attribute, member if is_set_valued else None)


def _refuse_incomplete(draft: Draft) -> RefusalReason | None:
    if not draft.statement.strip():
        return RefusalReason.EMPTY_STATEMENT
    has_evidence = bool(draft.message_ids and draft.quote.strip())
    return None if has_evidence else RefusalReason.NO_EVIDENCE


def _missing_quote(quote: str, quoted: Cited) -> RefusalReason:
    if quoted.is_only_recalled(quote):
        return RefusalReason.RECALLED_TEXT
    if quoted.is_only_posed(quote):
        return RefusalReason.POSED_TEXT
    return RefusalReason.QUOTE_NOT_FOUND


def _refuse_role(draft: Draft, quoted: Cited) -> RefusalReason | None:
    role = quoted.message.role
    if role is Role.ASSISTANT and draft.kind not in _ASSISTANT_KINDS:
        return RefusalReason.ASSISTANT_TEXT
    return _REFUSED_ROLES.get(role)


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
