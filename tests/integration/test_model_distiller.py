"""A transcript goes through windows, the model and the stored replies to drafts."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from config.policy import DistillPolicy, RetryPolicy
from pipelines.adapters.minilm import MiniLmEmbedder
from pipelines.adapters.model_distiller import ModelDistiller
from pipelines.adapters.openai_chat import OpenAiChatModel
from pipelines.adapters.openai_client import make_openai_client
from pipelines.adapters.paid_chat import load_prompt
from pipelines.errors import BadReply, ModelUnavailable
from pipelines.model import Kind, Message, Owner, ReceiptId, Role, Transcript
from pipelines.testing.models import InMemoryReplies, ScriptedChatModel
from tests.endpoint import Scripted, ScriptedEndpoint, completion, fact_from

if TYPE_CHECKING:
    from pipelines.ports import ChatReply, ChatRequest, PaidFor

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
POLICY = DistillPolicy(window_chars=400, overlap_messages=1, max_repairs=2)
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
    lines = [{"id": f"m{number}", "content": f"I own {number} boats."} for number in numbers]
    return json.dumps({"facts": [fact_from(line) for line in lines]})


class BrokenReplies(InMemoryReplies):
    """Fails after the reply was stored, as a process that dies there."""

    def keep_reply(self, request_hash: str, reply: ChatReply, paid_for: PaidFor) -> None:
        super().keep_reply(request_hash, reply, paid_for)
        raise ConnectionAbortedError


def test_distill_asks_once_when_the_transcript_fits_a_window() -> None:
    """A short session costs one call, and its drafts come out."""
    chat = ScriptedChatModel([an_answer(0, 1)])
    drafts = ModelDistiller(chat, InMemoryReplies(), DistillPolicy()).distill(a_transcript(), idle)
    assert [draft.statement for draft in drafts] == ["I own 0 boats.", "I own 1 boats."]
    assert len(chat.requests) == 1


def test_distill_gives_nothing_when_the_model_finds_nothing() -> None:
    """An empty answer is a result."""
    distiller = ModelDistiller(ScriptedChatModel([NOTHING]), InMemoryReplies(), DistillPolicy())
    assert distiller.distill(a_transcript(), idle) == []


def test_distill_joins_windows_without_repetitions_in_message_order() -> None:
    """What two windows find is one draft, and the order is the conversation's."""

    def answer(request: ChatRequest) -> str:
        ids = [json.loads(line)["id"] for line in request.user.split("\n")[1:]]
        return an_answer(*sorted((int(name[1:]) for name in ids), reverse=True))

    chat = ScriptedChatModel(answer)
    drafts = ModelDistiller(chat, InMemoryReplies(), POLICY).distill(a_transcript(12), idle)
    assert len(chat.requests) > 2
    assert [f"m{number}" for number in range(12)] == [draft.message_ids[0] for draft in drafts]


def test_distill_pays_once_when_it_runs_again() -> None:
    """A second run of the same transcript asks nobody and finds the same."""
    replies, chat = InMemoryReplies(), ScriptedChatModel([an_answer(0)])
    first = ModelDistiller(chat, replies, DistillPolicy()).distill(a_transcript(), idle)
    second = ModelDistiller(chat, replies, DistillPolicy()).distill(a_transcript(), idle)
    assert first == second
    assert len(chat.requests) == 1


def test_distill_pays_once_when_it_dies_after_the_call() -> None:
    """The reply is stored before anything else happens to it."""
    replies, chat = BrokenReplies(), ScriptedChatModel([an_answer(0)])
    with pytest.raises(ConnectionAbortedError):
        ModelDistiller(chat, replies, DistillPolicy()).distill(a_transcript(), idle)
    assert len(ModelDistiller(chat, replies, DistillPolicy()).distill(a_transcript(), idle)) == 1


def test_distill_stores_a_reply_under_its_transcript_even_if_it_is_useless() -> None:
    """What was paid is kept, and erased with the transcript it came from."""
    replies, transcript = InMemoryReplies(), a_transcript()
    ModelDistiller(ScriptedChatModel(["nonsense", NOTHING]), replies, POLICY).distill(
        transcript, idle
    )
    assert [reply.text for reply in replies.replies.values()] == ["nonsense", NOTHING]
    assert {(transcript.id,)} == {item.receipts for item in replies.paid_for.values()}


def test_distill_asks_again_with_the_problem_when_the_answer_is_malformed() -> None:
    """A repair names the field that was wrong."""
    wrong = json.dumps({"facts": [fact_from({"id": "m0", "content": "x"}, kind="hobby")]})
    chat = ScriptedChatModel([wrong, an_answer(0)])
    drafts = ModelDistiller(chat, InMemoryReplies(), POLICY).distill(a_transcript(), idle)
    assert len(drafts) == 1
    (answer, problem), *others = chat.requests[1].earlier
    assert (wrong, []) == (answer, others)
    assert problem.startswith("facts.0.kind")


def test_distill_asks_again_when_the_answer_was_cut_off() -> None:
    """An answer that the endpoint could not finish is repaired like a malformed one."""
    chat = ScriptedChatModel([BadReply("cut off"), NOTHING])
    assert ModelDistiller(chat, InMemoryReplies(), POLICY).distill(a_transcript(), idle) == []
    assert chat.requests[1].earlier == (("", "cut off"),)


def test_distill_raises_bad_reply_when_no_repair_helps() -> None:
    """Bad output is an error after a counted number of calls, never an empty result."""
    chat = ScriptedChatModel(["one", "two", "three"])
    with pytest.raises(BadReply):
        ModelDistiller(chat, InMemoryReplies(), POLICY).distill(a_transcript(), idle)
    assert len(chat.requests) == 3


def test_distill_asks_nobody_when_all_stored_replies_are_useless() -> None:
    """Stored nonsense ends, too: no loop, no second bill."""
    replies = InMemoryReplies()
    for chat in (ScriptedChatModel(["one", "two", "three"]), ScriptedChatModel([])):
        with pytest.raises(BadReply):
            ModelDistiller(chat, replies, POLICY).distill(a_transcript(), idle)


def test_distill_hands_on_that_the_model_is_unavailable() -> None:
    """A missing model is the task's business, and nothing is stored."""
    replies = InMemoryReplies()
    chat = ScriptedChatModel([ModelUnavailable("down")])
    with pytest.raises(ModelUnavailable):
        ModelDistiller(chat, replies, POLICY).distill(a_transcript(), idle)
    assert replies.replies == {}


def test_distill_does_not_share_replies_between_users() -> None:
    """The same words of two users are two questions."""
    replies, chat = InMemoryReplies(), ScriptedChatModel([NOTHING, NOTHING])
    distiller = ModelDistiller(chat, replies, POLICY)
    distiller.distill(a_transcript(user_id="alice"), idle)
    distiller.distill(a_transcript(user_id="bob"), idle)
    assert len(replies.replies) == 2


def test_distill_asks_anew_when_the_model_is_another() -> None:
    """A reply stands in only for the very model that gave it."""
    replies = InMemoryReplies()
    for name in ("small", "large"):
        chat = ScriptedChatModel([NOTHING], name=name)
        ModelDistiller(chat, replies, POLICY).distill(a_transcript(), idle)
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
        distiller = ModelDistiller(chat, InMemoryReplies(), DistillPolicy())
        with pytest.raises(BadReply):
            distiller.distill(marked, idle)
        drafts = distiller.distill(a_transcript(), idle)
    assert [draft.kind for draft in drafts] == [Kind.KNOWLEDGE, Kind.KNOWLEDGE]
    assert len(endpoint.chat_calls) == 4


def test_version_names_the_prompt_by_its_content() -> None:
    """A changed prompt is another distiller."""
    version = ModelDistiller(ScriptedChatModel([]), InMemoryReplies(), POLICY).version
    name, digest = version.split("/")
    assert (name, len(digest)) == ("distill-v1", 8)


def test_prompt_is_short_and_names_every_kind() -> None:
    """The prefix of every call stays small and knows the seven kinds."""
    prompt = load_prompt("distill_v1")
    assert MiniLmEmbedder().count([prompt])[0] <= 900
    assert all(f"`{kind.value}`" in prompt for kind in Kind)


def _not_facts() -> Scripted:
    return completion('{"answer": 42}')
