"""What is asked for beforehand is what distilling asks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from config.policy import DistillPolicy
from pipelines.adapters.model_distiller import ModelDistiller
from pipelines.ports import ChatReply
from pipelines.testing.ledger import InMemoryLedger
from pipelines.testing.models import InMemoryReplies, ScriptedChatModel
from tests.builders import PROMPT, day, make_transcript

POLICY = DistillPolicy(window_chars=400, overlap_messages=2, max_sessions=4)
SESSIONS = st.lists(st.lists(st.text(max_size=150), min_size=1, max_size=8), min_size=1, max_size=4)


@given(SESSIONS)
def test_prepared_requests_are_all_that_distilling_asks(sessions: list[list[str]]) -> None:
    """With their replies in the store the model is not called, however sessions are cut."""
    transcripts = [
        make_transcript(*said, session=f"s{number}", at=day(number))
        for number, said in enumerate(sessions)
    ]
    chat = ScriptedChatModel([])
    replies = InMemoryReplies(InMemoryLedger())
    distiller = ModelDistiller(chat, replies, PROMPT, POLICY)
    prepared = distiller.list_requests(transcripts)
    for request in prepared:
        hold = replies.ledger.reserve(chat.name, request.prompt_bytes, request.paid_for)
        reply = ChatReply('{"facts": []}', chat.name, 1, 1)
        replies.keep_reply(request.request_hash, reply, request.paid_for, hold)

    assert [[] for _ in transcripts] == distiller.distill(transcripts, lambda: None)
    assert [] == chat.requests
    named = {receipt for request in prepared for receipt in request.paid_for.receipts}
    assert {item.id for item in transcripts} == named
