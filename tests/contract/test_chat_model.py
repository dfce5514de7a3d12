"""Every chat model answers once per request, or says in memstill's errors why not."""

from __future__ import annotations

import time
import traceback
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from config.operation import RetryPolicy
from pipelines.adapters.openai_chat import OpenAiChatModel
from pipelines.adapters.openai_client import make_openai_client
from pipelines.errors import BadReply, MemstillError, ModelRefused, ModelUnavailable
from pipelines.ports import ChatRequest
from pipelines.testing.models import ScriptedChatModel
from tests.endpoint import (
    Scripted,
    ScriptedEndpoint,
    completion,
    facts,
    garbage,
    hang,
    status,
    trickle,
    truncated,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipelines.ports import ChatModel

    Maker = Callable[[str], ChatModel]

KEY = "sk-very-secret-key"
CONTENT = "the user's own words"
RETRY = RetryPolicy(in_call_attempts=3, in_call_wait=timedelta(milliseconds=5))
REQUEST = ChatRequest(
    system="You distill.",
    user=f'{{"time_zone": "UTC"}}\n{{"id": "m0", "role": "user", "content": "{CONTENT}"}}',
    schema_name="facts",
    schema={"type": "object"},
)


@pytest.fixture
def endpoint() -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint() as server:
        yield server


@pytest.fixture
def chat(endpoint: ScriptedEndpoint) -> Iterator[OpenAiChatModel]:
    with make_openai_client(endpoint.base_url, KEY, 5) as client:
        yield OpenAiChatModel(client, "some-model", RETRY, budget_seconds=5)


@pytest.fixture
def hasty(endpoint: ScriptedEndpoint) -> Iterator[OpenAiChatModel]:
    """One try of half a second."""
    once = RetryPolicy(in_call_attempts=1)
    with make_openai_client(endpoint.base_url, KEY, 0.5) as client:
        yield OpenAiChatModel(client, "some-model", once, budget_seconds=0.5)


@pytest.fixture(params=["scripted", "openai"])
def make_chat(
    request: pytest.FixtureRequest, endpoint: ScriptedEndpoint, chat: OpenAiChatModel
) -> Maker:
    """A model that will answer the next request with the given text."""

    def make(text: str) -> ChatModel:
        if request.param == "scripted":
            return ScriptedChatModel([text])
        endpoint.queue(completion(text))
        return chat

    return make


def test_complete_gives_the_text_as_the_model_wrote_it(make_chat: Maker) -> None:
    """Reading the answer is not the model's business."""
    model = make_chat("no JSON at all, ünïcode")
    reply = model.complete(REQUEST)
    assert reply.text == "no JSON at all, ünïcode"
    assert model.name
    assert reply.model


def test_complete_gives_the_cost_of_the_answer(
    chat: OpenAiChatModel, endpoint: ScriptedEndpoint
) -> None:
    """What was paid is known."""
    endpoint.queue(completion("text"))
    reply = chat.complete(REQUEST)
    assert (reply.model, reply.prompt_tokens, reply.completion_tokens) == ("scripted-model", 11, 7)


def test_complete_asks_for_structured_output(
    chat: OpenAiChatModel, endpoint: ScriptedEndpoint
) -> None:
    """The endpoint gets prompt, question, schema and key, and no more than that."""
    chat.complete(REQUEST)
    call = endpoint.chat_calls[0]
    assert f"Bearer {KEY}" == call.headers["authorization"]
    assert {
        "model": "some-model",
        "messages": [
            {"role": "system", "content": REQUEST.system},
            {"role": "user", "content": REQUEST.user},
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "facts", "schema": {"type": "object"}, "strict": True},
        },
    } == call.body


def test_complete_tells_what_was_wrong_when_asked_again(
    chat: OpenAiChatModel, endpoint: ScriptedEndpoint
) -> None:
    """A repair shows the model its answer and the problem."""
    again = ChatRequest("s", REQUEST.user, "facts", {}, earlier=(("{", "no JSON"), ("", "empty")))
    chat.complete(again)
    roles = [item["role"] for item in endpoint.chat_calls[0].body["messages"]]
    assert roles == ["system", "user", "assistant", "user", "user"]
    assert "no JSON" in endpoint.chat_calls[0].body["messages"][3]["content"]


@pytest.mark.parametrize(
    "fault", [status(429), status(408), status(409), status(500), status(503), truncated()]
)
def test_complete_answers_when_the_fault_passes(
    chat: OpenAiChatModel, endpoint: ScriptedEndpoint, fault: Scripted
) -> None:
    """One failed request and one reply."""
    endpoint.queue(fault, facts([]))
    assert chat.complete(REQUEST).text == '{"facts": []}'
    assert len(endpoint.calls) == 2


@pytest.mark.parametrize("fault", [status(429), status(500), truncated()])
def test_complete_is_unavailable_when_the_fault_stays(
    chat: OpenAiChatModel, endpoint: ScriptedEndpoint, fault: Scripted
) -> None:
    """The tries are counted, and then it is the task's turn to wait."""
    endpoint.fail_on(CONTENT, fault)
    with pytest.raises(ModelUnavailable):
        chat.complete(REQUEST)
    assert RETRY.in_call_attempts == len(endpoint.calls)


def test_complete_tries_no_further_when_something_speaks_against_it(
    chat: OpenAiChatModel, endpoint: ScriptedEndpoint
) -> None:
    """Asked before each further try, never before the first."""

    def object_to_it() -> None:
        raise LookupError

    assert chat.complete(REQUEST, object_to_it).text
    endpoint.queue(status(500))
    with pytest.raises(LookupError):
        chat.complete(REQUEST, object_to_it)
    assert 2 == len(endpoint.calls)


def test_complete_waits_as_long_as_it_is_asked_to(
    chat: OpenAiChatModel, endpoint: ScriptedEndpoint
) -> None:
    """A short Retry-After is kept inside the call."""
    endpoint.queue(status(429, retry_after="1"))
    started = time.monotonic()
    chat.complete(REQUEST)
    assert 1.0 <= time.monotonic() - started < 3.0


@pytest.mark.parametrize(
    ("asked", "told"), [("120", 120), ("99999999", 3600), ("inf", 3600), ("11", 11)]
)
def test_complete_gives_up_at_once_when_the_wait_is_long(
    endpoint: ScriptedEndpoint, asked: str, told: float
) -> None:
    """A long Retry-After is handed on instead of blocking a worker, with budget or without."""
    endpoint.queue(status(429, retry_after=asked))
    with make_openai_client(endpoint.base_url, KEY, 5) as client:
        model = OpenAiChatModel(client, "some-model", RETRY, budget_seconds=60)
        with pytest.raises(ModelUnavailable) as caught:
            model.complete(REQUEST)
    assert (caught.value.retry_after_seconds, len(endpoint.calls)) == (told, 1)


@pytest.mark.parametrize(
    ("code", "asked", "expected"), [(429, "120", True), (429, None, False), (503, "120", False)]
)
def test_complete_tells_patience_that_is_asked_for_from_a_fault(
    chat: OpenAiChatModel,
    endpoint: ScriptedEndpoint,
    code: int,
    asked: str | None,
    *,
    expected: bool,
) -> None:
    """Whoever says when to come back is there: that uses up no attempt."""
    endpoint.fail_on(CONTENT, status(code, retry_after=asked))
    with pytest.raises(ModelUnavailable) as caught:
        chat.complete(REQUEST)
    assert expected is caught.value.is_outage


@pytest.mark.parametrize("asked", ["soon", "-5", "nan", "Mon, 02 Mar 2020 09:00:00 GMT"])
def test_complete_tries_again_soon_when_the_wait_says_nothing(
    chat: OpenAiChatModel, endpoint: ScriptedEndpoint, asked: str
) -> None:
    """An unreadable Retry-After is no Retry-After."""
    endpoint.queue(status(429, retry_after=asked))
    chat.complete(REQUEST)
    assert len(endpoint.calls) == 2


@pytest.mark.parametrize("code", [400, 401, 403, 404, 422])
def test_complete_is_refused_at_once_when_the_request_is_wrong(
    chat: OpenAiChatModel, endpoint: ScriptedEndpoint, code: int
) -> None:
    """Repeating a refused request is useless, so it is not repeated."""
    endpoint.queue(status(code))
    with pytest.raises(ModelRefused, match=str(code)):
        chat.complete(REQUEST)
    assert len(endpoint.calls) == 1


def test_complete_names_the_setting_when_the_key_is_wrong(
    chat: OpenAiChatModel, endpoint: ScriptedEndpoint
) -> None:
    """The operator reads what to check."""
    endpoint.queue(status(401))
    with pytest.raises(ModelRefused, match="MEMSTILL_MODEL_API_KEY"):
        chat.complete(REQUEST)


@pytest.mark.parametrize(
    "answer",
    [
        garbage(),
        Scripted(body=b"not json"),
        Scripted(body=b"[]"),
        Scripted(body=b'{"choices": []}'),
        Scripted(body=b'{"choices": [{"message": 5}]}'),
        Scripted(body=b"[" * 100_000),
        Scripted(body=b"\xff\xfe"),
        Scripted(body=b""),
        completion(""),
        completion(" \n"),
        completion(None),
        completion('{"facts": [', finish_reason="length"),
        completion('{"facts": []}', finish_reason="content_filter"),
        completion(None, refusal="I cannot help with that."),
    ],
)
def test_complete_raises_bad_reply_when_the_answer_is_useless(
    chat: OpenAiChatModel, endpoint: ScriptedEndpoint, answer: Scripted
) -> None:
    """An answer without usable text is never an empty result."""
    endpoint.queue(answer)
    with pytest.raises(BadReply):
        chat.complete(REQUEST)


@pytest.mark.parametrize("fault", [hang(20), trickle(0.05)])
def test_complete_ends_in_time_when_the_answer_does_not(
    hasty: OpenAiChatModel, endpoint: ScriptedEndpoint, fault: Scripted
) -> None:
    """Silence and an endless trickle both end with the budget."""
    endpoint.queue(fault)
    started = time.monotonic()
    with pytest.raises(ModelUnavailable, match="in time"):
        hasty.complete(REQUEST)
    assert time.monotonic() - started < 3


def test_complete_shares_one_budget_among_its_tries(endpoint: ScriptedEndpoint) -> None:
    """Many slow failures take no longer than one."""
    endpoint.fail_on(CONTENT, Scripted(500, b"{}", hang_seconds=0.3))
    patient = RetryPolicy(in_call_attempts=50, in_call_wait=timedelta(milliseconds=1))
    with make_openai_client(endpoint.base_url, KEY, 60) as client:
        started = time.monotonic()
        with pytest.raises(ModelUnavailable):
            OpenAiChatModel(client, "m", patient, budget_seconds=1).complete(REQUEST)
    assert time.monotonic() - started < 4
    assert 2 <= len(endpoint.calls) <= 5


def test_complete_is_unavailable_when_nobody_listens() -> None:
    """A refused connection is a passing fault."""
    with ScriptedEndpoint() as gone:
        address = gone.base_url
    with make_openai_client(address, KEY, 1) as client:
        model = OpenAiChatModel(client, "m", RETRY, budget_seconds=1)
        with pytest.raises(ModelUnavailable):
            model.complete(REQUEST)


@pytest.mark.parametrize(
    "fault",
    [
        status(401, message=f"Incorrect API key {KEY}, you said {CONTENT}"),
        status(400, message=f"{KEY} {CONTENT}"),
        status(500, message=f"{KEY} {CONTENT}"),
        Scripted(body=f"{KEY} {CONTENT}".encode()),
        completion(f"{KEY} {CONTENT}", finish_reason="length"),
        completion(None, refusal=f"{KEY} {CONTENT}"),
    ],
)
def test_complete_keeps_key_and_content_out_of_errors_and_logs(
    chat: OpenAiChatModel,
    endpoint: ScriptedEndpoint,
    fault: Scripted,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """What an endpoint echoes ends at the boundary, also in a printed traceback."""
    endpoint.fail_on(CONTENT, fault)
    with pytest.raises(MemstillError) as caught:
        chat.complete(REQUEST)
    printed = "".join(traceback.format_exception(caught.value)) + "".join(capfd.readouterr())
    assert KEY not in printed
    assert CONTENT not in printed
