"""Replies that a model invented, through the real flow: refused, counted, never stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.model import TranscriptState
from tests.acceptance.answering import answering
from tests.evals.replies import Reply, dialogues, invented, supported

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipelines.model import Transcript
    from tests.acceptance.deployment import Deployment
    from tests.endpoint import Line


def _answer_with(replies: Sequence[Reply]) -> Callable[[list[Line]], list[dict[str, Any]]]:
    """A model that answers about a conversation what is told of it."""
    known = {
        message.content: name
        for name, transcript in dialogues().items()
        for message in transcript.messages
    }

    def answer(lines: list[Line]) -> list[dict[str, Any]]:
        name = next(known[line["content"]] for line in lines[::-1] if line["content"] in known)
        return [reply.as_answer() for reply in replies if reply.dialogue == name]

    return answer


def _pushed(name: str, transcript: Transcript) -> dict[str, Any]:
    """A conversation as its agent pushes it; each is of a user of its own."""
    return {
        "schema_version": 1,
        "user_id": name,
        "session_id": name,
        "started_at": transcript.started_at.isoformat(),
        "messages": [
            {"id": message.id, "role": message.role.value, "content": message.content}
            | ({"name": message.name} if message.name else {})
            for message in transcript.messages
        ],
    }


def _told(deployment: Deployment, replies: Sequence[Reply]) -> list[Any]:
    """Push every conversation that has a reply, and wait until all are final."""
    names = {reply.dialogue for reply in replies}
    deployment.start_beat()
    deployment.start_worker()
    with deployment.client() as client:
        receipts = client.enqueue_many(
            _pushed(name, transcript) for name, transcript in dialogues().items() if name in names
        )
        return deployment.wait_final(*receipts)


def test_invented_replies_leave_no_memory_and_are_kept_with_their_reasons(
    modelled: Deployment,
) -> None:
    """Of two hundred replies none is stored; each refusal is a row with its reason, counted."""
    replies = invented()
    with answering(modelled, _answer_with(replies)):
        statuses = _told(modelled, replies)

    assert {TranscriptState.DONE} == {status.state for status in statuses}
    assert [(0,)] == modelled.query("SELECT count(*) FROM memories")
    rows = modelled.query("SELECT statement, outcome, reason FROM facts")
    assert sorted(reply.draft.statement for reply in replies) == sorted(row[0] for row in rows)
    assert {"refused"} == {row[1] for row in rows}
    assert all(row[2] for row in rows)
    assert len(replies) == sum(status.counts.get("refused", 0) for status in statuses)
    assert {frozenset({"refused"})} == {frozenset(status.counts) for status in statuses}


def test_supported_replies_are_stored_beside_invented_ones(
    modelled: Deployment,
) -> None:
    """Of one answer with both, all that is supported is kept and nothing that is invented."""
    bad, good = invented(), supported()
    with answering(modelled, _answer_with([*bad, *good])):
        _told(modelled, good)

    kept = modelled.query(
        "SELECT statement FROM facts WHERE outcome <> 'refused' AND distilled_by LIKE 'distill-%%'"
    )
    assert sorted(reply.draft.statement for reply in good) == sorted(row[0] for row in kept)
    statements = {row[0] for row in modelled.query("SELECT statement FROM memories")}
    assert set() == statements & {reply.draft.statement for reply in bad}


def test_answer_of_another_form_is_a_dead_letter_and_leaves_no_memory(
    modelled: Deployment,
) -> None:
    """What has not even the form of an answer is asked again, then kept as failed."""
    first = supported()[:1]
    malformed = [first[0].as_answer() | {"kind": "rumour"}]
    with answering(modelled, lambda _: malformed):
        statuses = _told(modelled, first)

    assert ["BadReply"] == [status.reason for status in statuses]
    assert [(0,)] == modelled.query("SELECT count(*) FROM memories")
