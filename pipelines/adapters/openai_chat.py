"""``ChatModel`` on any OpenAI-compatible endpoint, with structured output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.adapters.openai_client import ask_with_retries, post_json
from pipelines.errors import BadReply
from pipelines.ports import ChatReply, go_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx2
    import openai

    from config.operation import RetryPolicy
    from pipelines.ports import ChatRequest

_CUT_OFF = "length"
_FILTERED = "content_filter"


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Message(_Wire):
    content: str | None = None
    refusal: str | None = None


class _Choice(_Wire):
    message: _Message
    finish_reason: str | None = None


class _Usage(_Wire):
    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)


class _Completion(_Wire):
    choices: list[_Choice]
    model: str | None = None
    usage: _Usage | None = None


class OpenAiChatModel:
    """Asks one model; retries passing faults within ``budget_seconds`` for all tries together."""

    def __init__(
        self, client: openai.OpenAI, model: str, retry: RetryPolicy, budget_seconds: float = 40.0
    ) -> None:
        self._client = client
        self._model = model
        self._retry = retry
        self._budget_seconds = budget_seconds

    @property
    def name(self) -> str:
        return self._model

    def complete(self, request: ChatRequest, before_retry: Callable[[], None] = go_on) -> ChatReply:
        body = ask_with_retries(
            lambda timeout: self._post(request, timeout),
            self._retry,
            self._budget_seconds,
            before_retry,
        )
        return read_completion(body, self._model)

    def _post(self, request: ChatRequest, timeout: httpx2.Timeout) -> bytes:
        body = make_body(self._model, request)
        return post_json(self._client, "/chat/completions", body, timeout)


def make_body(model: str, request: ChatRequest) -> dict[str, Any]:
    """What is posted to ask this, alone or as a line of a batch."""
    return {
        "model": model,
        "messages": list(_messages(request)),
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": request.schema_name,
                "schema": request.schema,
                "strict": True,
            },
        },
    }


def _messages(request: ChatRequest) -> Iterator[Any]:
    yield {"role": "system", "content": request.system}
    yield {"role": "user", "content": request.user}
    for answer, problem in request.earlier:
        if answer:
            yield {"role": "assistant", "content": answer}
        yield {
            "role": "user",
            "content": f"Your answer could not be used. {problem}\nAnswer again, in full.",
        }


def read_completion(body: bytes, asked: str) -> ChatReply:
    """Read an answer; the driver's parser takes any JSON for a completion, HTML for a string.

    Raises:
        BadReply: It is no chat completion, is empty or was cut off.
    """
    try:
        completion = _Completion.model_validate_json(body)
    except ValidationError:
        raise BadReply("the endpoint's answer is no chat completion") from None
    if not completion.choices:
        raise BadReply("the endpoint's answer holds no choice")
    usage = completion.usage or _Usage()
    return ChatReply(
        text=_text_of(completion.choices[0], usage),
        model=completion.model or asked,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
    )


def _text_of(choice: _Choice, usage: _Usage) -> str:
    problem, text = _problem_of(choice), choice.message.content
    if problem is None and text and text.strip():
        return text
    raise BadReply(
        problem or "the answer was empty",
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
    )


def _problem_of(choice: _Choice) -> str | None:
    if choice.finish_reason == _CUT_OFF:
        return "the answer was cut off at the token limit: give fewer and shorter facts"
    if choice.finish_reason == _FILTERED or choice.message.refusal:
        return "the model or a content filter declined to answer"
    return None
