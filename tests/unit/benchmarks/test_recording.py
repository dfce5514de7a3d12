"""Recorded sessions are recognised in real requests, and answered with what was found in them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.recorded_endpoint import RecordedEndpoint, as_recorded
from benchmarks.recording import RecordedFact, RecordedSession, Recording, Truth, Turn, first_facts
from config.operation import RetryPolicy
from config.policy import DistillPolicy
from pipelines.adapters.model_distiller import ModelDistiller
from pipelines.adapters.model_judge import ModelJudge
from pipelines.adapters.openai_chat import OpenAiChatModel
from pipelines.adapters.openai_client import make_openai_client
from pipelines.adapters.paid_chat import PaidChat
from pipelines.stages.merging.relate import Pair, Relation, Said
from pipelines.stages.windows import cut_windows, join_window, render_window
from pipelines.testing.models import HashEmbedder, InMemoryReplies
from pipelines.testing.requests import read_lines
from tests.builders import ALICE, PROMPT, START, make_transcript

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.model import Transcript
    from pipelines.stages.windows import Window

SESSIONS = [
    RecordedSession(
        user_id="ana",
        session_id="s1",
        turns=(
            Turn(turn_id="D1:1", text="Hi!"),
            Turn(turn_id="D1:2", text="I moved to Bern in May."),
            Turn(turn_id="D1:3", text="Hi!"),
            Turn(turn_id="D1:4", text="I play the flute."),
        ),
        facts=(
            RecordedFact(text="Ana moved to Bern.", source_turn_ids=("D1:2",), speaker="Ana"),
            RecordedFact(
                text="Ana plays the flute.", source_turn_ids=("D1:4", "D1:2"), speaker="Ana"
            ),
        ),
    ),
    RecordedSession(
        user_id="ana",
        session_id="s2",
        turns=(
            Turn(turn_id="D2:1", text="Hi!"),
            Turn(turn_id="D2:2", text="My dog is called Rex. He is old."),
        ),
        facts=(RecordedFact(text="Ana has a dog.", source_turn_ids=("D2:2",), speaker="Ana"),),
    ),
]


def transcript_of(session: RecordedSession) -> Transcript:
    """As it is pushed under other ids."""
    return make_transcript(*(turn.text for turn in session.turns), session=session.session_id)


def ask(window: Window | None, recording: Recording | None = None) -> list[dict[str, Any]]:
    """What the recording answers to a window, as the model distiller renders it."""
    assert window is not None
    lines = list(read_lines(render_window(window)))
    return (recording or Recording(SESSIONS)).answer(lines, as_recorded)


def cited(answer: list[dict[str, Any]]) -> list[tuple[str, str, list[int]]]:
    return [(fact["statement"], fact["quote"], fact["message_ids"]) for fact in answer]


def test_recording_answers_the_facts_of_a_session_with_their_lines() -> None:
    """A fact quotes the whole of its first message, and cites all that the request shows."""
    (window,) = cut_windows(transcript_of(SESSIONS[0]), DistillPolicy())

    assert [
        ("Ana moved to Bern.", "I moved to Bern in May.", [1]),
        ("Ana plays the flute.", "I play the flute.", [3, 1]),
    ] == cited(ask(window))


def test_recording_answers_each_session_when_several_share_a_request() -> None:
    """Messages are numbered through, and what two sessions begin with tells neither apart."""
    transcripts = [transcript_of(session) for session in reversed(SESSIONS)]

    answer = ask(join_window(transcripts, DistillPolicy()))

    assert [
        ("Ana has a dog.", "My dog is called Rex. He is old.", [1]),
        ("Ana moved to Bern.", "I moved to Bern in May.", [3]),
        ("Ana plays the flute.", "I play the flute.", [5, 3]),
    ] == cited(answer)


@pytest.mark.parametrize("window_chars", [330, 400, 480])
def test_recording_gives_a_fact_once_when_its_session_is_cut(window_chars: int) -> None:
    """It stands in the window that shows its first message fresh, not where that is context."""
    turns = tuple(Turn(turn_id=f"D:{n}", text=f"I saw bird {n // 2}.") for n in range(24))
    facts = tuple(
        RecordedFact(text=f"Ana saw bird {n}.", source_turn_ids=(turn.turn_id,), speaker="Ana")
        for n, turn in enumerate(turns)
    )
    session = RecordedSession(user_id="ana", session_id="s", turns=turns, facts=facts)
    policy = DistillPolicy(window_chars=window_chars, overlap_messages=2)
    windows = cut_windows(transcript_of(session), policy)

    found = [cited(ask(window, Recording([session]))) for window in windows]

    assert len(windows) > 1
    assert any(piece.is_context for piece in windows[1].passages[0].pieces)
    assert [fact.text for fact in facts] == [item[0] for part in found for item in part]
    assert list(range(24)) == [number for part in found for item in part for number in item[2]]


def test_recording_gives_a_fact_once_when_its_message_is_split() -> None:
    """The quote is the whole message, though the request shows a part of it."""
    text = " ".join(f"I saw bird number {number} today." for number in range(60))
    session = RecordedSession(
        user_id="ana",
        session_id="s3",
        turns=(Turn(turn_id="D3:1", text=text),),
        facts=(RecordedFact(text="Ana saw birds.", source_turn_ids=("D3:1",), speaker="Ana"),),
    )
    windows = cut_windows(transcript_of(session), DistillPolicy(window_chars=600))

    found = [item for window in windows for item in cited(ask(window, Recording([session])))]

    assert len(windows) > 1
    assert [("Ana saw birds.", text, [0])] == found


def test_recording_finds_nothing_when_the_session_was_not_recorded() -> None:
    """It says so, instead of answering another session's facts."""
    recording = Recording(SESSIONS)
    (window,) = cut_windows(make_transcript("I like cake."), DistillPolicy())

    assert ([], 1) == (ask(window, recording), recording.missing)


def test_first_facts_end_inside_a_session() -> None:
    """So many facts, and no session beyond the last of them."""
    counted = {
        count: [len(session.facts) for session in first_facts(SESSIONS, count)]
        for count in (1, 2, 3, 9)
    }

    assert {1: [1], 2: [2], 3: [2, 1], 9: [2, 1]} == counted


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("Ana moved to Bern.", "ANA MOVED TO BERN.", "same"),
        ("Ana moved to Bern.", "Ana moved  to Bern.", "same"),
        ("Ana moved to Bern.", "Ana plays the flute.", "both"),
        ("Ana moved to Bern.", "Ana lives in Bern.", "both"),
    ],
)
def test_truth_knows_which_statements_are_one_fact(a: str, b: str, expected: str) -> None:
    """Two wordings of one recorded fact are the same; what nobody recorded is not."""
    truth = Truth(SESSIONS, [as_recorded, str.upper])

    assert expected == truth.judge({"a": {"statement": a}, "b": {"statement": b}})


@pytest.fixture
def endpoint() -> Iterator[RecordedEndpoint]:
    with RecordedEndpoint(SESSIONS, tokens=HashEmbedder()) as running:
        yield running


def test_endpoint_distils_and_judges_over_http(endpoint: RecordedEndpoint) -> None:
    """Distiller and judge understand it, and each call is counted with its tokens."""
    replies = InMemoryReplies()
    with make_openai_client(endpoint.base_url, None, 10) as client:
        chat = OpenAiChatModel(client, "recorded", RetryPolicy())
        distiller = ModelDistiller(chat, replies, PROMPT, DistillPolicy())
        judge = ModelJudge(PaidChat(chat, replies, 0))

        (drafts,) = distiller.distill([transcript_of(SESSIONS[1])], lambda: None)
        pair = Pair(said("Ana has a dog."), said("Ana plays the flute."), 0.8)
        verdicts = judge.judge(ALICE, [pair])

    reported = [reply.prompt_tokens for reply in replies.replies.values()]
    assert [("Ana has a dog.", ("m1",))] == [(item.statement, item.message_ids) for item in drafts]
    assert {pair.key: Relation.BOTH} == verdicts
    assert (2, 1, 1) == (
        endpoint.counts.calls,
        endpoint.counts.judgements,
        endpoint.counts.pairs,
    )
    assert sum(reported) == endpoint.counts.prompt_tokens
    assert endpoint.counts.tokens_by_chars > 500
    assert ["Ana has a dog."] == [item["a"]["statement"] for item in endpoint.asked]


def test_endpoint_words_facts_as_it_is_told(endpoint: RecordedEndpoint) -> None:
    """The same session may be told again in other words."""
    endpoint.wording = str.upper
    (window,) = cut_windows(transcript_of(SESSIONS[1]), DistillPolicy())
    content = render_window(window)

    answer = endpoint.answer({"messages": [{"role": "user", "content": content}], "model": "m"})

    text = answer["choices"][0]["message"]["content"]
    assert ["ANA HAS A DOG."] == [fact["statement"] for fact in json.loads(text)["facts"]]


def said(statement: str) -> Said:
    return Said(statement, "Ana", None, None, START, statement)
