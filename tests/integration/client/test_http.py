"""The client over real HTTP on loopback; blocking and asynchronous alike."""

from __future__ import annotations

import json
import socket
import uuid
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from memstill_client import InvalidTranscript, NotFinished, NotFound, Receipt, Refused, Unavailable
from memstill_client.wire import parse_transcript, to_json
from tests.integration.client.doubles import FIELDS, NOW, RECALL, RECEIPT, STATUS, Api, sessions

if TYPE_CHECKING:
    from collections.abc import Callable


def test_enqueue_posts_the_transcript_when_only_an_api_is_known(
    call: Callable[..., Any], api: Api
) -> None:
    """The body is the wire format, and the headers say who asks for whom."""
    api.say(202, {"receipt": str(RECEIPT), "duplicate": True})
    client = {"api_url": api.url + "/", "tenant_id": "acme", "api_key": "k-1"}
    receipt = call(client, "enqueue", **FIELDS)

    assert receipt == Receipt(RECEIPT, is_duplicate=True, tenant_id="acme")
    method, path, headers, body = api.asked[0]
    assert (method, path) == ("POST", "/v1/transcripts")
    assert headers["content-type"] == "application/json"
    assert (headers["x-memstill-tenant"], headers["authorization"]) == ("acme", "Bearer k-1")
    expected = parse_transcript({"schema_version": 1, "tenant_id": "acme", **FIELDS}, now=NOW)
    assert body == to_json(expected)


def test_enqueue_leaves_the_tenant_to_the_server_when_none_is_named(
    call: Callable[..., Any], api: Api
) -> None:
    """An API key may stand for its tenant."""
    api.say(202, {"receipt": str(RECEIPT), "duplicate": False})
    call({"api_url": api.url}, "enqueue", {"schema_version": 1, **FIELDS})
    assert "tenant_id" not in api.bodies[0]
    assert "x-memstill-tenant" not in api.asked[0][2]


def test_enqueue_tries_again_when_the_server_is_busy(call: Callable[..., Any], api: Api) -> None:
    """The same push is sent once more, and the caller notices nothing."""
    api.refuse(503, "unavailable", None, "PostgreSQL did not answer")
    api.say(202, {"receipt": str(RECEIPT), "duplicate": False})
    receipt = call({"api_url": api.url}, "enqueue", **FIELDS)
    assert receipt.id == RECEIPT
    assert [body for *_, body in api.asked] == [api.asked[0][3]] * 2


def test_enqueue_is_unavailable_when_the_server_stays_busy(
    call: Callable[..., Any], api: Api
) -> None:
    """Three tries, then the error, with the server's own reason."""
    for _ in range(5):
        api.refuse(503, "unavailable", None, "PostgreSQL did not answer")
    with pytest.raises(Unavailable, match="503: PostgreSQL did not answer"):
        call({"api_url": api.url}, "enqueue", **FIELDS)
    assert len(api.asked) == 3


def test_enqueue_does_not_wait_when_the_server_asks_for_minutes(
    call: Callable[..., Any], api: Api
) -> None:
    """A long back-off is the agent's decision, so it is told."""
    api.say(429, {}, Retry_After="120")
    with pytest.raises(Unavailable) as caught:
        call({"api_url": api.url}, "enqueue", **FIELDS)
    assert caught.value.retry_after_seconds == 120
    assert len(api.asked) == 1


def test_enqueue_is_unavailable_with_a_remedy_when_nobody_listens(
    call: Callable[..., Any],
) -> None:
    """A refused connection says where it knocked, what to check, and that repeating is safe."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Unavailable, match="MEMSTILL_API_URL is right") as caught:
            call({"api_url": url}, "enqueue", **FIELDS)
    assert url in str(caught.value)
    assert "pushing again is safe" in str(caught.value)


def test_enqueue_is_unavailable_when_the_server_is_silent(call: Callable[..., Any]) -> None:
    """A server that takes the connection and says nothing does not hold the agent."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Unavailable, match="ReadTimeout"):
            call({"api_url": url, "timeout": 0.1}, "enqueue", **FIELDS)


def test_enqueue_is_invalid_when_the_server_says_so(call: Callable[..., Any], api: Api) -> None:
    """A rule that only the server has comes out as the client's own would."""
    api.refuse(422, "invalid_transcript", "messages[0].role", "must be user")
    with pytest.raises(InvalidTranscript) as caught:
        call({"api_url": api.url}, "enqueue", **FIELDS)
    assert (caught.value.field, caught.value.reason) == ("messages[0].role", "must be user")
    assert len(api.asked) == 1


def test_enqueue_is_refused_when_the_key_was_used_for_something_else(
    call: Callable[..., Any], api: Api
) -> None:
    """A conflict is no passing fault: it is told at once."""
    api.refuse(409, "idempotency_conflict", "idempotency_key", "was used before")
    with pytest.raises(Refused) as caught:
        call({"api_url": api.url}, "enqueue", **FIELDS)
    assert (caught.value.type, caught.value.field) == ("idempotency_conflict", "idempotency_key")
    assert len(api.asked) == 1


def test_enqueue_sends_nothing_when_the_transcript_is_invalid(
    call: Callable[..., Any], api: Api
) -> None:
    """The refusal is local, with the field and the reason."""
    with pytest.raises(InvalidTranscript, match=r"messages\[0\]\.role"):
        call({"api_url": api.url}, "enqueue", **FIELDS | {"messages": [{"content": "x"}]})
    with pytest.raises(InvalidTranscript, match="tenant_id: is another"):
        call({"api_url": api.url, "tenant_id": "acme"}, "enqueue", tenant_id="umbrella", **FIELDS)
    with pytest.raises(TypeError, match="not both"):
        call({"api_url": api.url}, "enqueue", {"schema_version": 1, **FIELDS}, user_id="bob")
    assert api.asked == []


def test_enqueue_many_posts_lines_when_only_an_api_is_known(
    call: Callable[..., Any], api: Api
) -> None:
    """A thousand transcripts a request, the receipts in the order of the transcripts."""
    receipts = [uuid.uuid4() for _ in range(1_002)]
    for chunk in (receipts[:1_000], receipts[1_000:]):
        results = [
            {"line": line, "receipt": str(receipt), "duplicate": False}
            for line, receipt in enumerate(chunk, 1)
        ]
        api.say(200, {"results": results})
    found = call({"api_url": api.url}, "enqueue_many", sessions(1_002))

    assert receipts == [receipt.id for receipt in found]
    assert {(method, path) for method, path, *_ in api.asked} == {("POST", "/v1/transcripts:bulk")}
    lines = [json.loads(line) for *_, body in api.asked for line in body.splitlines()]
    assert [line["session_id"] for line in lines] == [f"s-{n}" for n in range(1_002)]


def test_enqueue_many_names_the_transcript_when_one_is_refused(
    call: Callable[..., Any], api: Api
) -> None:
    """By its position, whether the client or the server refuses it."""
    good = {"line": 1, "receipt": str(RECEIPT), "duplicate": False}
    bad = {"type": "invalid_transcript", "field": "user_id", "reason": "is unknown"}
    api.say(200, {"results": [good, {"line": 2, "error": bad}]})
    with pytest.raises(InvalidTranscript) as caught:
        call({"api_url": api.url}, "enqueue_many", sessions(2))
    assert caught.value.field == "transcripts[1].user_id"

    with pytest.raises(InvalidTranscript) as caught:
        call({"api_url": api.url}, "enqueue_many", [*sessions(2), {"schema_version": 1}])
    assert caught.value.field == "transcripts[2].user_id"
    assert len(api.asked) == 1


def test_status_is_read_when_a_receipt_is_known(call: Callable[..., Any], api: Api) -> None:
    """A receipt of another tenant than the client's is asked for as that tenant's."""
    api.say(200, STATUS)
    status = call({"api_url": api.url}, "status", Receipt(RECEIPT, tenant_id="acme"))
    assert (status.state, status.counts, status.is_final) == ("done", {"inserted": 1}, True)
    assert status.facts[0].memory_id == RECEIPT
    assert api.asked[0][:2] == ("GET", f"/v1/transcripts/{RECEIPT}")
    assert api.asked[0][2]["x-memstill-tenant"] == "acme"


@pytest.mark.parametrize("receipt", [str(RECEIPT), "no receipt"])
def test_status_is_not_found_when_the_receipt_is_unknown(
    call: Callable[..., Any], api: Api, receipt: str
) -> None:
    """To the server, or as a receipt at all."""
    with pytest.raises(NotFound):
        call({"api_url": api.url}, "status", receipt)


def test_wait_asks_on_when_the_transcript_is_not_there_yet(
    call: Callable[..., Any], api: Api
) -> None:
    """Not yet read, a server that restarts, queued: all of it passes until it is done."""
    api.refuse(404, "not_found", None, "no such receipt")
    api.say(503, {}, Retry_After="60")
    api.say(200, STATUS | {"state": "queued"})
    api.say(200, STATUS)
    assert call({"api_url": api.url}, "wait", RECEIPT, 30).state == "done"
    assert len(api.asked) == 4


def test_wait_returns_the_dead_letter_when_the_transcript_failed_for_good(
    call: Callable[..., Any], api: Api
) -> None:
    """A dead letter is an end too, with its reason."""
    api.say(200, STATUS | {"state": "dead", "reason": "the model's reply is no JSON"})
    assert call({"api_url": api.url}, "wait", RECEIPT).reason == "the model's reply is no JSON"


def test_wait_says_where_it_stands_when_time_is_up(call: Callable[..., Any], api: Api) -> None:
    """Giving up waiting is told apart from failing."""
    api.say(200, STATUS | {"state": "distilling"})
    with pytest.raises(NotFinished) as caught:
        call({"api_url": api.url}, "wait", RECEIPT, timeout=0)
    assert caught.value.status.state == "distilling"


def test_states_counts_when_many_receipts_are_followed(call: Callable[..., Any], api: Api) -> None:
    """One question for all of them."""
    api.say(200, {"states": {"done": 1, "queued": 1}})
    receipts = [Receipt(RECEIPT), str(RECEIPT)]
    assert call({"api_url": api.url}, "states", receipts) == {"done": 1, "queued": 1}
    assert api.asked[0][:2] == ("POST", "/v1/transcripts:states")
    assert api.bodies == [{"receipts": [str(RECEIPT)] * 2}]


def test_recall_answers_data_and_block_when_something_is_known(
    call: Callable[..., Any], api: Api
) -> None:
    """What is not asked for is left to the server."""
    api.say(200, RECALL)
    found = call({"api_url": api.url}, "recall", "where?", "alice", max_memories=5)
    assert api.asked[0][:2] == ("POST", "/v1/recall")
    assert api.bodies == [{"query": "where?", "user_id": "alice", "max_memories": 5}]
    assert (found.block, found.tokens) == (RECALL["block"], 7)
    assert found.memories[0].source_message_ids == ("m1",)
    assert found.memories[0].said_at == datetime(2026, 3, 2, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("as_of", "sent"),
    [
        (date(2026, 3, 2), "2026-03-02"),
        ("2026-03-02", "2026-03-02"),
        (datetime(2026, 3, 2, 8, tzinfo=UTC), "2026-03-02T08:00:00+00:00"),
    ],
)
def test_recall_asks_for_a_date_when_one_is_given(
    call: Callable[..., Any], api: Api, as_of: date | str, sent: str
) -> None:
    """A date, a time or their text are sent as the server reads them."""
    api.say(200, RECALL)
    call({"api_url": api.url}, "recall", "where?", "alice", as_of=as_of)
    assert api.bodies == [{"query": "where?", "user_id": "alice", "as_of": sent}]


def test_inject_puts_the_block_below_the_prompt_when_something_is_known(
    call: Callable[..., Any], api: Api
) -> None:
    """The next session starts with what is known."""
    api.say(200, RECALL)
    found = call(
        {"api_url": api.url}, "inject", "Be kind.", "where?", "alice", "s-43", max_tokens=99
    )
    assert found == f"Be kind.\n\n{RECALL['block']}"
    assert api.bodies[0]["session_id"] == "s-43"
    assert api.bodies[0]["max_tokens"] == 99
