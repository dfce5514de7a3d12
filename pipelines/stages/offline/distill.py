"""From a transcript to drafts: who said it, when it was, where it stands."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import TYPE_CHECKING

from config.policy import OfflinePolicy
from pipelines.model import Draft, Kind, Role
from pipelines.stages.dates import annotate, local_day, midday, resolve_dates
from pipelines.stages.grounding.cited import display_speaker
from pipelines.stages.injection.fence import unfenced_parts
from pipelines.stages.injection.orders import is_memory_order
from pipelines.stages.offline.corrections import find_correction
from pipelines.stages.offline.kinds import weigh
from pipelines.stages.offline.readings import Reading, read_sentence
from pipelines.stages.offline.sentences import is_image, split_sentences
from pipelines.stages.offline.topics import find_topic, qualify, topic_of
from pipelines.stages.offline.voice import name_speaker, strip_filler
from pipelines.stages.offline.worth import (
    informative_words,
    is_question,
    is_worth_keeping,
    states_result,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date, datetime

    from pipelines.model import Message, Transcript
    from pipelines.stages.dates import DateMention
    from pipelines.stages.offline.slots import SlotValue

_CONVERSING = frozenset({Role.USER, Role.ASSISTANT})
# An answer below this length gets its question as context: measured, this finds more of the
# evidence (recall at 10 .73 against .71); longer answers gain nothing.
_SHORT_ANSWER = 60
_LONGEST_QUESTION = 160
_LONGEST_OUTPUT = 50_000
_ASSISTANT_IMPORTANCE = 0.45
_ORDER_IMPORTANCE = 0.5
_IMAGE_IMPORTANCE = 0.35
_CORRECTION_IMPORTANCE = 0.6


def distill_transcript(
    transcript: Transcript,
    limits: OfflinePolicy | None = None,
    is_wanted: Callable[[Message, str], bool] = lambda _message, _sentence: True,
) -> list[Draft]:
    """Sentences worth keeping, in order, each with its speaker, date and evidence.

    Only those that somebody wants are looked at. If there is more than the limits let it read,
    the last draft says from which message on the transcript was not read; it has no quote, so that
    it is refused and the receipt shows it.
    """
    limits = limits or OfflinePolicy()
    talk = _Talk(_people(transcript), is_wanted, left=limits.max_sentences)
    drafts: list[Draft] = []
    previous: _Turn | None = None
    for message in transcript.messages:
        turn = _read(message, transcript.time_zone, talk.left)
        question = _question_before(turn, previous, talk.people)
        drafts += _distill_turn(turn, talk, question)
        if talk.left < 0 or len(drafts) > limits.max_drafts:
            return [*drafts[: limits.max_drafts], _unread(message)]
        if message.role in _CONVERSING:
            previous = turn
    return drafts


def _unread(message: Message) -> Draft:
    return Draft(
        statement="The rest of the transcript was not read: it says too much for one session.",
        subject="Transcript",
        kind=Kind.KNOWLEDGE,
        quote="",
        message_ids=(message.id,),
        importance=0.0,
    )


@dataclass(frozen=True, slots=True)
class _Stated:
    """The attribute that somebody stated last, and where: it may be corrected."""

    slot: SlotValue
    message_id: str


@dataclass(slots=True)
class _Talk:
    """What the turns of a transcript share.

    Attributes:
        people: Case-folded parts of the names of who takes part.
        is_wanted: Whether a sentence of a message is looked at.
        left: So many sentences may still be read; below 0 there were more.
        stated: The attribute that each speaker stated last.
        topics: What each speaker was talking about last.
    """

    people: frozenset[str]
    is_wanted: Callable[[Message, str], bool]
    left: int
    stated: dict[str, _Stated] = field(default_factory=dict)
    topics: dict[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Turn:
    """A message, cut into sentences."""

    message: Message
    speaker: str
    sentences: tuple[str, ...]
    said_on: date
    time_zone: str


@dataclass(frozen=True, slots=True)
class _Question:
    """What a short answer needs to make sense."""

    asked_by: str
    message_id: str
    text: str


def _read(message: Message, time_zone: str, limit: int) -> _Turn:
    """At most one sentence more than the limit: then it is known that there are more.

    Tool and system messages are only cut where the beginning of one contains an order to the
    memory: none of what they say is kept, but such an order shall be seen.
    """
    is_read = message.role in _CONVERSING or is_memory_order(message.content[:_LONGEST_OUTPUT])
    parts = unfenced_parts(message.content) if is_read else ()
    return _Turn(
        message=message,
        speaker=display_speaker(message),
        sentences=tuple(islice(chain.from_iterable(map(split_sentences, parts)), limit + 1)),
        said_on=local_day(message.created_at, time_zone),
        time_zone=time_zone,
    )


def _people(transcript: Transcript) -> frozenset[str]:
    names = {name for message in transcript.messages if (name := message.name)}
    return frozenset(part for name in names for part in name.casefold().split())


def _distill_turn(turn: _Turn, talk: _Talk, question: _Question | None) -> Iterator[Draft]:
    role = turn.message.role
    for sentence in turn.sentences:
        talk.left -= 1
        if talk.left < 0:
            return
        if not talk.is_wanted(turn.message, sentence):
            if question is not None and is_worth_keeping(sentence, talk.people):
                question = None
            continue
        if is_memory_order(sentence):
            yield _plain_draft(turn, sentence, Kind.KNOWLEDGE, _ORDER_IMPORTANCE)
        elif role is Role.ASSISTANT and states_result(sentence):
            kind = weigh(sentence, is_dated=False).kind
            kind = kind if kind is Kind.LESSON else Kind.OUTCOME
            yield _plain_draft(turn, sentence, kind, _ASSISTANT_IMPORTANCE)
        elif role is Role.USER and (corrected := _correct(sentence, talk.stated.get(turn.speaker))):
            yield _corrected_draft(turn, sentence, corrected)
        elif role is Role.USER and is_worth_keeping(sentence, talk.people):
            yield from _user_drafts(turn, sentence, talk, question)
            question = None


def _plain_draft(turn: _Turn, sentence: str, kind: Kind, importance: float) -> Draft:
    """A result of the assistant; or an order, proposed so that its refusal can be seen."""
    return Draft(
        statement=f"{turn.speaker}: {sentence}",
        subject=turn.speaker,
        kind=kind,
        quote=sentence,
        message_ids=(turn.message.id,),
        importance=importance,
    )


def _user_drafts(
    turn: _Turn, sentence: str, talk: _Talk, question: _Question | None
) -> Iterator[Draft]:
    """The drafts of a sentence; the talk goes on from what it says."""
    readings = read_sentence(sentence)
    for reading in readings:
        slot = reading.slot
        if slot is not None:
            slot = replace(
                slot,
                attribute=qualify(slot.attribute, sentence, talk.topics.get(turn.speaker)),
            )
            talk.stated[turn.speaker] = _Stated(slot, turn.message.id)
            talk.topics[turn.speaker] = topic_of(slot.attribute) or talk.topics.get(turn.speaker)
        # An attribute is understood without the question.
        context = question if len(readings) == 1 and slot is None else None
        yield _user_draft(turn, replace(reading, slot=slot), context)
    talk.topics[turn.speaker] = find_topic(sentence) or talk.topics.get(turn.speaker)


def _user_draft(turn: _Turn, reading: Reading, question: _Question | None) -> Draft:
    words, slot = reading.words, reading.slot
    mentions = resolve_dates(words, turn.said_on)
    dated = annotate(words, mentions)
    statement = name_speaker(dated, turn.speaker)
    message_ids: tuple[str, ...] = (turn.message.id,)
    if question is not None and len(words) < _SHORT_ANSWER and not is_image(words):
        statement = f"{question.asked_by}: {question.text} {turn.speaker}: {dated}"
        message_ids += (question.message_id,)
    weight = weigh(strip_filler(words), is_dated=bool(mentions))
    draft = Draft(
        statement=statement,
        subject=turn.speaker,
        kind=weight.kind,
        quote=reading.quote,
        message_ids=message_ids,
        importance=_IMAGE_IMPORTANCE if is_image(words) else weight.importance,
        event_at=None if slot else _happened_at(mentions, turn),
    )
    return _with_slot(draft, slot, turn.speaker) if slot else draft


def _with_slot(draft: Draft, slot: SlotValue, speaker: str) -> Draft:
    subject = slot.subject or speaker
    if slot.subject and not slot.is_named:
        subject = f"{speaker}'s {slot.subject}"
    return replace(
        draft,
        subject=subject,
        attribute=slot.attribute,
        value=slot.value,
        ends=slot.ends,
    )


def _correct(sentence: str, last: _Stated | None) -> _Stated | None:
    slot = find_correction(sentence, last.slot) if last else None
    return _Stated(slot, last.message_id) if last and slot else None


def _corrected_draft(turn: _Turn, sentence: str, stated: _Stated) -> Draft:
    slot, whose = stated.slot, stated.slot.subject or turn.speaker
    draft = Draft(
        statement=f"{whose[:1].upper()}{whose[1:]}'s {slot.attribute} is {slot.value}.",
        subject=turn.speaker,
        kind=Kind.PROFILE,
        quote=sentence,
        message_ids=tuple(dict.fromkeys((turn.message.id, stated.message_id))),
        importance=_CORRECTION_IMPORTANCE,
    )
    return _with_slot(draft, slot, turn.speaker)


def _happened_at(mentions: list[DateMention], turn: _Turn) -> datetime | None:
    """Noon of the first past day that is named; what is planned has not happened.

    A present value ("I moved to Berlin last month") holds when it is said, so slots have none.
    """
    past = (mention.first for mention in mentions if mention.last < turn.said_on)
    day = next(past, None)
    return midday(day, turn.time_zone) if day else None


def _question_before(
    turn: _Turn, previous: _Turn | None, people: frozenset[str]
) -> _Question | None:
    """The question that a turn may answer: the last one of the other speaker before it."""
    if previous is None or turn.message.role is not Role.USER:
        return None
    if (previous.message.role, previous.speaker) == (turn.message.role, turn.speaker):
        return None
    asked = [text for text in previous.sentences if is_question(text)]
    if not asked or len(asked[-1]) > _LONGEST_QUESTION or not informative_words(asked[-1], people):
        return None
    return _Question(previous.speaker, previous.message.id, asked[-1])
