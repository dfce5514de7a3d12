"""The passage that a memory comes from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from config.retrieval import PassagePolicy
from pipelines.model import Message, Role
from pipelines.stages.injection.fence import fence
from pipelines.stages.passage import places_around, read_passages
from tests.builders import START, day, make_evidence, make_transcript

if TYPE_CHECKING:
    from pipelines.model import Evidence, Transcript
    from pipelines.stages.passage import Place

POLICY = PassagePolicy(cited_chars=60, before_chars=40, before_messages=3, max_cited=2)


def said(*contents: str, session: str = "s1") -> Transcript:
    return make_transcript(*contents, session=session, key=session)


def cite(transcript: Transcript, index: int, quote: str | None = None) -> Evidence:
    content = transcript.messages[index].content if quote is None else quote
    return make_evidence(content, receipt=transcript.id, index=index)


def seen(*transcripts: Transcript) -> dict[Place, Message]:
    return {(item.id, message.index): message for item in transcripts for message in item.messages}


def test_passage_is_the_cited_message_behind_what_was_said_before_it() -> None:
    """The words of a question find its answer."""
    talk = said("Hello.", "Where do you climb?", "At the quarry, mostly.", "Nice!")

    passage = read_passages([cite(talk, 2)], seen(talk), POLICY)

    assert "Hello. Where do you climb? At the quarry, mostly." == passage


def test_passage_stops_where_enough_was_said_before() -> None:
    """The nearest words count: of a message that is too long its end."""
    talk = said("Too far away.", "x" * 30 + " the end is near the quote", "Yes.")

    passage = read_passages([cite(talk, 2)], seen(talk), POLICY)

    assert f"{('x' * 30 + ' the end is near the quote')[-40:]} Yes." == passage


def test_passage_of_a_long_message_lies_around_the_quote() -> None:
    """Of a pasted page only what stands beside the quote is searched."""
    talk = said("a" * 500 + " I climb at the quarry. " + "z" * 500)

    passage = read_passages([cite(talk, 0, "I climb at the quarry.")], seen(talk), POLICY)

    assert "I climb at the quarry." in passage
    assert 60 == len(passage)


def test_passage_holds_a_message_once_when_several_pieces_of_evidence_share_it() -> None:
    """What two quotes have around them is not counted twice."""
    talk = said("One.", "Two.", "Three.")

    passage = read_passages([cite(talk, 2), cite(talk, 1)], seen(talk), POLICY)

    assert "One. Two. Three." == passage


def test_passage_leaves_out_tools_the_system_and_what_was_recalled() -> None:
    """Only what people and the assistant said in this very conversation counts."""
    talk = said("Log: kayak", "You are kind.", fence(["Ana sails."], user_id="a", at=START), "Yes.")
    roles = (Role.TOOL, Role.SYSTEM, Role.USER, Role.USER)
    messages = [replace(one, role=role) for one, role in zip(talk.messages, roles, strict=True)]

    passage = read_passages([cite(talk, 3)], seen(replace(talk, messages=tuple(messages))), POLICY)

    assert "Yes." == passage.strip()


def test_passage_comes_from_the_newest_evidence_when_there_is_much() -> None:
    """What was said often does not become a long text in which every word counts little."""
    talks = [said(f"Number {number}.", session=f"s{number}") for number in range(4)]
    cited = [replace(cite(talk, 0), said_at=day(number)) for number, talk in enumerate(talks)]

    passage = read_passages(cited, seen(*talks), POLICY)

    assert {"2", "3"} == {sign for sign in passage if sign.isdigit()}


def test_passage_is_empty_when_the_transcript_is_gone() -> None:
    """What retention took away is not missed."""
    assert "" == read_passages([cite(said("Gone."), 0)], {}, POLICY)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True))
def test_passage_needs_only_the_places_it_names(indexes: list[int]) -> None:
    """A store that loads no other messages reads the same passage, in whatever order."""
    talk = said(*[f"Message number {number} of ten." for number in range(10)])
    cited = [cite(talk, index) for index in indexes]
    everything = seen(talk)
    places = places_around(cited, POLICY)

    needed = {place: everything[place] for place in places}

    assert read_passages(cited, everything, POLICY) == read_passages(cited[::-1], needed, POLICY)
