"""What holds for the reranker behind HTTP: one score for each text, or a clear failure, in time."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.adapters.http_reranker import HttpReranker
from pipelines.errors import BadReply, ModelRefused, ModelUnavailable
from tests.endpoint import Scripted, ScriptedEndpoint, garbage, hang, status, truncated

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXTS = ["Ana keeps bees.", "Ana sails."]
SECRET = "sk-not-to-be-told"


@pytest.fixture
def endpoint() -> Iterator[ScriptedEndpoint]:
    """A server of its own for each test."""
    with ScriptedEndpoint() as running:
        yield running


@pytest.fixture
def reranker(endpoint: ScriptedEndpoint) -> Iterator[HttpReranker]:
    """Half a second is all the time there is."""
    made = HttpReranker(f"{endpoint.base_url}/", SECRET, "some-reranker", 0.5)
    yield made
    made.close()


def scored(*results: tuple[int, float]) -> Scripted:
    """An answer as the endpoints that are in use give it, with what nobody asked for."""
    items = [
        {"index": index, "relevance_score": score, "document": {"text": "…"}}
        for index, score in results
    ]
    return Scripted(body=json.dumps({"id": "r1", "results": items, "meta": {}}).encode())


def test_reranker_gives_the_scores_in_the_order_of_the_texts(
    endpoint: ScriptedEndpoint, reranker: HttpReranker
) -> None:
    """The endpoint answers best first; the caller gets what belongs to each text."""
    endpoint.queue(scored((1, 0.9), (0, -1.5)))

    assert [-1.5, 0.9] == reranker.rerank("does she sail?", TEXTS)
    (call,) = endpoint.calls
    assert "/v1/rerank" == call.path
    expected: dict[str, Any] = {
        "model": "some-reranker",
        "query": "does she sail?",
        "documents": TEXTS,
        "top_n": 2,
    }
    assert expected == call.body
    assert f"Bearer {SECRET}" == {key.lower(): value for key, value in call.headers.items()}.get(
        "authorization"
    )


@pytest.mark.parametrize(
    "answer",
    [
        scored((0, 0.5)),
        scored((0, 0.5), (0, 0.6)),
        scored((0, 0.5), (1, 0.6), (2, 0.7)),
        scored((0, 0.5), (1, float("nan"))),
        scored((0, 0.5), (-1, 0.1)),
        garbage(),
        Scripted(body=b'{"results": "none"}'),
    ],
)
def test_reranker_refuses_an_answer_that_does_not_score_each_text(
    endpoint: ScriptedEndpoint, reranker: HttpReranker, answer: Scripted
) -> None:
    """Scores are never guessed, and the error repeats nothing of what was sent."""
    endpoint.queue(answer)

    with pytest.raises(BadReply) as failure:
        reranker.rerank("does she sail?", TEXTS)
    assert "sail" not in str(failure.value)


@pytest.mark.parametrize("answer", [status(429), status(500), status(503), truncated()])
def test_reranker_is_unavailable_when_the_endpoint_is_busy_or_breaks_off(
    endpoint: ScriptedEndpoint, reranker: HttpReranker, answer: Scripted
) -> None:
    """A passing fault is told as one, and not tried again while somebody waits."""
    endpoint.queue(answer)

    with pytest.raises(ModelUnavailable):
        reranker.rerank("does she sail?", TEXTS)
    assert 1 == len(endpoint.calls)


@pytest.mark.parametrize("code", [400, 401, 404, 422])
def test_reranker_is_refused_when_the_request_is_wrong(
    endpoint: ScriptedEndpoint, reranker: HttpReranker, code: int
) -> None:
    """A wrong key or model is no passing fault; the key is not told."""
    endpoint.queue(status(code))

    with pytest.raises(ModelRefused, match=str(code)) as failure:
        reranker.rerank("does she sail?", TEXTS)
    assert SECRET not in str(failure.value)


@pytest.mark.parametrize(
    "answer",
    [
        hang(5.0),
        Scripted(body=scored((0, 0.5), (1, 0.6)).body, trickle_seconds=0.1),
    ],
)
def test_reranker_waits_no_longer_than_it_was_told_to(
    endpoint: ScriptedEndpoint, reranker: HttpReranker, answer: Scripted
) -> None:
    """Neither silence nor an answer that trickles in holds a recall up."""
    endpoint.queue(answer)
    started = time.monotonic()

    with pytest.raises(ModelUnavailable):
        reranker.rerank("does she sail?", TEXTS)
    assert time.monotonic() - started < 3.0


def test_reranker_is_unavailable_when_nobody_listens() -> None:
    """An endpoint that is away is a passing fault."""
    with ScriptedEndpoint() as gone:
        url = gone.base_url
    made = HttpReranker(url, None, "some-reranker", 0.5)

    with pytest.raises(ModelUnavailable):
        made.rerank("does she sail?", TEXTS)
    made.close()
