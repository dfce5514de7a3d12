"""``Reranker`` behind ``POST /rerank``, as Cohere, Jina, vLLM and others have it."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

import httpx2
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.adapters.openai_client import make_bounded_client
from pipelines.errors import BadReply, ModelRefused, ModelUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


class RerankResult(BaseModel):
    """One document's score, by its place in the request."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    index: Annotated[int, Field(ge=0)]
    relevance_score: Annotated[float, Field(allow_inf_nan=False)]


class RerankReply(BaseModel):
    """The whole answer, in whatever order."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    results: tuple[RerankResult, ...]


class HttpReranker:
    """Asks once and waits no longer than it was told to: somebody is waiting for the answer.

    Args:
        base_url: The endpoint without ``/rerank``.
        timeout_seconds: For the whole exchange.
    """

    def __init__(
        self, base_url: str, api_key: str | None, model: str, timeout_seconds: float
    ) -> None:
        self._url = f"{base_url.rstrip('/')}/rerank"
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._model = model
        self._http = make_bounded_client(timeout_seconds)

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        body = {"model": self._model, "query": query, "documents": list(texts), "top_n": len(texts)}
        reply = _read(self._post(body))
        scores = {item.index: item.relevance_score for item in reply.results}
        if scores.keys() != set(range(len(texts))) or len(reply.results) != len(texts):
            raise BadReply("the reranker did not score each text once")
        return [scores[index] for index in range(len(texts))]

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _post(self, body: dict[str, object]) -> httpx2.Response:
        try:
            answer = self._http.post(self._url, json=body, headers=self._headers)
        except httpx2.TimeoutException:
            raise ModelUnavailable("the reranker did not answer in time") from None
        except httpx2.RequestError:
            raise ModelUnavailable("the connection to the reranker failed or broke off") from None
        status = answer.status_code
        if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ModelUnavailable(f"the reranker answered {status}")
        if status != HTTPStatus.OK:
            raise ModelRefused(f"the reranker answered {status}", status=status)
        return answer


def _read(answer: httpx2.Response) -> RerankReply:
    try:
        return RerankReply.model_validate_json(answer.content)
    except ValidationError:
        raise BadReply("the reranker's answer is no list of scores") from None
