"""A transcript goes through windows, the model and the stored replies to drafts."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from config.operation import RetryPolicy
from config.policy import DistillPolicy
from pipelines.adapters.minilm import MiniLmEmbedder
from pipelines.adapters.model_distiller import ModelDistiller
from pipelines.adapters.openai_chat import OpenAiChatModel
from pipelines.adapters.openai_client import make_openai_client
from pipelines.errors import BadReply, ModelUnavailable
from pipelines.model import Draft, Kind, Message, Owner, ReceiptId, Role, Transcript, receipt_id
from pipelines.testing.models import InMemoryReplies, ScriptedChatModel
from tests.builders import PROMPT
from tests.endpoint import Scripted, ScriptedEndpoint, completion, fact_from

if TYPE_CHECKING:
    from pipelines.ports import ChatReply, ChatRequest, Hold, PaidFor

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
POLICY = DistillPolicy(window_chars=200, overlap_messages=1, max_repairs=2)
NOTHING = '{"facts": []}'


def idle() -> None:
    """Nobody holds a lease here."""


def a_transcript(count: int = 2, user_id: str = "alice") -> Transcript:
    messages = tuple(
        Message(index, f"m{index}", Role.USER, f"I own {index} boats.", START + timedelta(hours=1))
        for index in range(count)
    )
    return Transcript(
        ReceiptId(uuid.uuid5(uuid.NAMESPACE_URL, user_id)),
        Owner("acme", user_id),
        "s-1",
        START,
        messages,
        "key",
        "hash",
    )


def an_answer(*numbers: int) -> str:
    lines = [{"id": number, "content": f"I own {number} boats."} for number in numbers]
    return json.dumps({"facts": [fact_from(line) for line in lines]})


def three_sessions() -> list[Transcript]:
    """Short sessions of one user, whose message ids are the same."""
    return [
        replace(a_transcript(count), id=receipt_id(Owner("acme", "alice"), str(count)))
        for count in (2, 3, 4)
    ]


def distill(distiller: ModelDistiller, transcript: Transcript) -> list[Draft]:
    (drafts,) = distiller.distill([transcript], idle)
    return drafts


class BrokenReplies(InMemoryReplies):
    """Fails after the reply was stored, as a process that dies there."""

    def keep_reply(
        self, request_hash: str, reply: ChatReply, paid_for: PaidFor, hold: Hold
    ) -> None:
        super().keep_reply(request_hash, reply, paid_for, hold)
        raise ConnectionAbortedError


def test_distill_asks_once_when_the_transcript_fits_a_window() -> None:
    """A short session costs one call, and its drafts come out."""
    chat = ScriptedChatModel([an_answer(0, 1)])
    drafts = distill(
        ModelDistiller(chat, InMemoryReplies(), PROMPT, DistillPolicy()), a_transcript()
    )
    assert [draft.statement for draft in drafts] == ["I own 0 boats.", "I own 1 boats."]
    assert len(chat.requests) == 1


def test_distill_gives_nothing_when_the_model_finds_nothing() -> None:
    """An empty answer is a result."""
    distiller = ModelDistiller(
        ScriptedChatModel([NOTHING]), InMemoryReplies(), PROMPT, DistillPolicy()
    )
    assert distill(distiller, a_transcript()) == []


def test_distill_joins_windows_without_repetitions_in_message_order() -> None:
    """What two windows find is one draft, and the order is the conversation's."""

    def answer(request: ChatRequest) -> str:
        rows = [json.loads(line) for line in request.user.split("\n")]
        return an_answer(*sorted((row[0] for row in rows if len(row) > 2), reverse=True))

    chat = ScriptedChatModel(answer)
    drafts = distill(ModelDistiller(chat, InMemoryReplies(), PROMPT, POLICY), a_transcript(12))
    assert len(chat.requests) > 2
    assert [f"m{number}" for number in range(12)] == [draft.message_ids[0] for draft in drafts]


def test_distill_keeps_a_repetition_that_has_another_quote() -> None:
    """Which quote stands in its message, grounding tells; what cites nothing comes last."""
    line = {"id": 0, "content": "I own 0 boats."}
    facts = [
        fact_from(line, message_ids=[]),
        fact_from(line, quote="I own"),
        fact_from(line),
        fact_from(line, subject="User"),
    ]
    chat = ScriptedChatModel([json.dumps({"facts": facts})])
    drafts = distill(
        ModelDistiller(chat, InMemoryReplies(), PROMPT, DistillPolicy()), a_transcript()
    )
    assert [draft.quote for draft in drafts] == ["I own", "I own 0 boats.", "I own 0 boats."]
    assert [draft.message_ids for draft in drafts] == [("m0",), ("m0",), ()]
    assert len(chat.requests) == 1


def test_distill_pays_once_when_it_runs_again() -> None:
    """A second run of the same transcript asks nobody and finds the same."""
    replies, chat = InMemoryReplies(), ScriptedChatModel([an_answer(0)])
    first = distill(ModelDistiller(chat, replies, PROMPT, DistillPolicy()), a_transcript())
    second = distill(ModelDistiller(chat, replies, PROMPT, DistillPolicy()), a_transcript())
    assert first == second
    assert len(chat.requests) == 1


def test_distill_pays_once_when_it_dies_after_the_call() -> None:
    """The reply is stored before anything else happens to it."""
    replies, chat = BrokenReplies(), ScriptedChatModel([an_answer(0)])
    with pytest.raises(ConnectionAbortedError):
        distill(ModelDistiller(chat, replies, PROMPT, DistillPolicy()), a_transcript())
    assert len(distill(ModelDistiller(chat, replies, PROMPT, DistillPolicy()), a_transcript())) == 1


def test_distill_stores_a_reply_under_its_transcript_even_if_it_is_useless() -> None:
    """What was paid is kept, and erased with the transcript it came from."""
    replies, transcript = InMemoryReplies(), a_transcript()
    distill(
        ModelDistiller(ScriptedChatModel(["nonsense", NOTHING]), replies, PROMPT, POLICY),
        transcript,
    )
    assert [reply.text for reply in replies.replies.values()] == ["nonsense", NOTHING]
    assert {(transcript.id,)} == {item.receipts for item in replies.paid_for.values()}


def test_distill_asks_again_with_the_problem_when_the_answer_is_malformed() -> None:
    """A repair names the field that was wrong."""
    wrong = json.dumps({"facts": [fact_from({"id": "m0", "content": "x"}, kind="hobby")]})
    chat = ScriptedChatModel([wrong, an_answer(0)])
    drafts = distill(ModelDistiller(chat, InMemoryReplies(), PROMPT, POLICY), a_transcript())
    assert len(drafts) == 1
    (answer, problem), *others = chat.requests[1].earlier
    assert (wrong, []) == (answer, others)
    assert problem.startswith("facts.0.kind")


def test_distill_asks_again_when_the_answer_was_cut_off() -> None:
    """An answer that the endpoint could not finish is repaired like a malformed one."""
    chat = ScriptedChatModel([BadReply("cut off"), NOTHING])
    assert distill(ModelDistiller(chat, InMemoryReplies(), PROMPT, POLICY), a_transcript()) == []
    assert chat.requests[1].earlier == (("", "cut off"),)


def test_distill_raises_bad_reply_when_no_repair_helps() -> None:
    """Bad output is an error after a counted number of calls, never an empty result."""
    chat = ScriptedChatModel(["one", "two", "three"])
    with pytest.raises(BadReply):
        distill(ModelDistiller(chat, InMemoryReplies(), PROMPT, POLICY), a_transcript())
    assert len(chat.requests) == 3


def test_distill_asks_anew_when_all_stored_replies_are_useless() -> None:
    """A later attempt is not bound to nonsense: it buys an answer and its repairs once more."""
    replies = InMemoryReplies()
    first = ScriptedChatModel(["one", "two", "three"])
    with pytest.raises(BadReply):
        distill(ModelDistiller(first, replies, PROMPT, POLICY), a_transcript())
    second = ScriptedChatModel(["four", an_answer(0)])
    assert len(distill(ModelDistiller(second, replies, PROMPT, POLICY), a_transcript())) == 1
    assert second.requests[0].earlier == ()
    # Whoever reads it again finds the good one behind the bad ones, and asks nobody.
    third = ScriptedChatModel([])
    assert len(distill(ModelDistiller(third, replies, PROMPT, POLICY), a_transcript())) == 1


def test_distill_buys_one_series_of_answers_an_attempt_when_none_is_usable() -> None:
    """Useless answers cost no more than the retry table allows attempts."""
    replies, chat = InMemoryReplies(), ScriptedChatModel(lambda _: "nonsense")
    for attempt in (1, 2, 3):
        with pytest.raises(BadReply):
            distill(ModelDistiller(chat, replies, PROMPT, POLICY), a_transcript())
        assert len(chat.requests) == 3 * attempt


def test_distill_goes_on_with_the_repairs_when_it_died_between_them() -> None:
    """The answers that are stored are not paid again, also the bad ones."""
    replies = InMemoryReplies()
    with pytest.raises(ModelUnavailable):
        distill(
            ModelDistiller(
                ScriptedChatModel(["one", ModelUnavailable("")]), replies, PROMPT, POLICY
            ),
            a_transcript(),
        )
    chat = ScriptedChatModel([an_answer(0)])
    assert len(distill(ModelDistiller(chat, replies, PROMPT, POLICY), a_transcript())) == 1
    assert [answer for answer, _ in chat.requests[0].earlier] == ["one"]


def test_distill_asks_once_for_several_short_sessions() -> None:
    """One call, and each session gets what was said in it, under its own message ids."""
    chat = ScriptedChatModel(
        [json.dumps({"facts": [fact_from({"id": n, "content": f"{n}"}) for n in (8, 0, 3)]})]
    )
    replies, sessions = InMemoryReplies(), three_sessions()
    drafts = ModelDistiller(chat, replies, PROMPT, DistillPolicy()).distill(sessions, idle)
    assert [["m0"], ["m1"], ["m3"]] == [[it.message_ids[0] for it in found] for found in drafts]
    assert len(chat.requests) == 1
    assert [tuple(item.id for item in sessions)] == [
        it.receipts for it in replies.paid_for.values()
    ]


def test_distill_finds_the_company_in_which_a_session_was_paid() -> None:
    """What shared a call shares it again after a crash, and nothing is paid twice."""
    replies, sessions = BrokenReplies(), three_sessions()
    distiller = ModelDistiller(ScriptedChatModel([NOTHING]), replies, PROMPT, DistillPolicy())
    with pytest.raises(ConnectionAbortedError):
        distiller.distill(sessions, idle)
    together = tuple(item.id for item in sessions)
    assert dict.fromkeys(together, together) == distiller.find_companies(
        Owner("acme", "alice"), together
    )
    assert [[], [], []] == distiller.distill(sessions, idle)


def test_distill_does_not_repeat_a_shared_call_when_its_replies_are_useless() -> None:
    """The sessions are asked for alone instead: a shared request has one series of answers."""
    replies, chat = InMemoryReplies(), ScriptedChatModel(["one", "two", "three"])
    distiller = ModelDistiller(chat, replies, PROMPT, DistillPolicy())
    for _ in range(2):
        with pytest.raises(BadReply):
            distiller.distill(three_sessions(), idle)
    assert len(chat.requests) == 3


def test_distill_asks_for_each_alone_when_the_sessions_do_not_fit_together() -> None:
    """A policy that has become smaller since they were brought together does no harm."""
    chat = ScriptedChatModel([NOTHING] * 3)
    policy = DistillPolicy(window_chars=300)
    drafts = ModelDistiller(chat, InMemoryReplies(), PROMPT, policy).distill(three_sessions(), idle)
    assert ([[], [], []], 3) == (drafts, len(chat.requests))


def test_distill_hands_on_that_the_model_is_unavailable() -> None:
    """A missing model is the task's business, and nothing is stored."""
    replies = InMemoryReplies()
    chat = ScriptedChatModel([ModelUnavailable("down")])
    with pytest.raises(ModelUnavailable):
        distill(ModelDistiller(chat, replies, PROMPT, POLICY), a_transcript())
    assert replies.replies == {}


def test_distill_does_not_share_replies_between_users() -> None:
    """The same words of two users are two questions."""
    replies, chat = InMemoryReplies(), ScriptedChatModel([NOTHING, NOTHING])
    distiller = ModelDistiller(chat, replies, PROMPT, POLICY)
    distill(distiller, a_transcript(user_id="alice"))
    distill(distiller, a_transcript(user_id="bob"))
    assert len(replies.replies) == 2


def test_distill_asks_anew_when_the_model_is_another() -> None:
    """A reply stands in only for the very model that gave it."""
    replies = InMemoryReplies()
    for name in ("small", "large"):
        chat = ScriptedChatModel([NOTHING], name=name)
        distill(ModelDistiller(chat, replies, PROMPT, POLICY), a_transcript())
    assert len(replies.replies) == 2


def test_distill_works_over_http_when_one_session_always_fails() -> None:
    """A session that the endpoint chokes on does not touch another one."""
    marked = replace(
        a_transcript(user_id="bob"),
        messages=(Message(0, "m0", Role.USER, "POISON", START),),
    )
    with ScriptedEndpoint() as endpoint, make_openai_client(endpoint.base_url, None, 5) as client:
        endpoint.fail_on("POISON", _not_facts())
        chat = OpenAiChatModel(client, "m", RetryPolicy(), budget_seconds=5)
        distiller = ModelDistiller(chat, InMemoryReplies(), PROMPT, DistillPolicy())
        with pytest.raises(BadReply):
            distill(distiller, marked)
        drafts = distill(distiller, a_transcript())
    assert [draft.kind for draft in drafts] == [Kind.KNOWLEDGE, Kind.KNOWLEDGE]
    assert len(endpoint.chat_calls) == 4


def test_version_names_the_prompt_by_its_content() -> None:
    """A changed prompt is another distiller."""
    version = ModelDistiller(ScriptedChatModel([]), InMemoryReplies(), PROMPT, POLICY).version
    name, digest = version.split("/")
    assert (name, len(digest)) == ("distill-v1", 8)


def test_prompt_is_short_and_names_every_kind() -> None:
    """The prefix of every call stays small and knows the seven kinds."""
    prompt = PROMPT.text
    assert MiniLmEmbedder().count([prompt])[0] <= 760
    assert all(f"`{kind.value}`" in prompt for kind in Kind)


def _not_facts() -> Scripted:
    return completion('{"answer": 42}')
