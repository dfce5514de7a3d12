"""Every embedder turns texts into unit vectors of its size, in order."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.operation import RetryPolicy
from pipelines.adapters import minilm
from pipelines.adapters.minilm import MiniLmEmbedder
from pipelines.adapters.openai_client import make_openai_client
from pipelines.adapters.openai_embedder import CharacterTokenCounter, OpenAiEmbedder
from pipelines.errors import ConfigurationError, ModelUnavailable
from pipelines.stages.budget import SMALLEST_LINE, render_line
from pipelines.stages.injection.fence import bullet
from pipelines.testing.models import HashEmbedder
from tests.builders import make_fact, make_memory
from tests.endpoint import Scripted, ScriptedEndpoint, garbage, status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from pipelines.ports import Embedder, TokenCounter

RETRY = RetryPolicy(in_call_attempts=3, in_call_wait=timedelta(milliseconds=1))
TEXTS = ["User has two dogs.", "The deploy failed because the disk was full.", "", "Zürich 東京"]


@pytest.fixture
def hashed() -> HashEmbedder:
    return HashEmbedder()


@pytest.fixture(scope="module")
def local() -> MiniLmEmbedder:
    return MiniLmEmbedder()


@pytest.fixture
def endpoint() -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint() as server:
        yield server


@pytest.fixture
def remote(endpoint: ScriptedEndpoint) -> Iterator[OpenAiEmbedder]:
    with make_openai_client(endpoint.base_url, "sk-test", 5) as client:
        yield OpenAiEmbedder(client, "some-model", endpoint.embedding_size, RETRY)


@pytest.fixture
def remote_floats() -> Iterator[OpenAiEmbedder]:
    """An endpoint that knows no base64 and answers numbers all the same."""
    with (
        ScriptedEndpoint(base64_embeddings=False) as server,
        make_openai_client(server.base_url, "sk-test", 5) as client,
    ):
        yield OpenAiEmbedder(client, "some-model", server.embedding_size, RETRY)


@pytest.fixture(params=["hashed", "local", "remote", "remote_floats"])
def embedder(request: pytest.FixtureRequest) -> Embedder:
    found: Embedder = request.getfixturevalue(request.param)
    return found


def test_embed_gives_one_unit_vector_of_the_size_for_each_text(embedder: Embedder) -> None:
    """Cosine is a dot product, whatever the text."""
    vectors = embedder.embed(TEXTS)
    assert [(embedder.size,)] * len(TEXTS) == [vector.shape for vector in vectors]
    assert {np.dtype(np.float32)} == {vector.dtype for vector in vectors}
    assert [pytest.approx(1, abs=1e-5)] * len(TEXTS) == [
        float(np.linalg.norm(vector)) for vector in vectors
    ]


def test_embed_gives_nothing_when_asked_nothing(embedder: Embedder) -> None:
    """No text, no vector, no fault."""
    assert embedder.embed([]) == []


def test_embed_gives_the_same_vector_whatever_else_is_embedded(embedder: Embedder) -> None:
    """Order and neighbours do not matter, so a replay finds what it stored."""
    texts = [*TEXTS, *(f"filler {'word ' * count}" for count in range(30))]
    together = embedder.embed(texts)
    alone = [embedder.embed([text])[0] for text in texts]
    np.testing.assert_allclose(np.stack(together), np.stack(alone), atol=1e-5)


def test_embed_puts_related_texts_nearer_than_unrelated_ones(embedder: Embedder) -> None:
    """Vectors carry at least shared words."""
    one, near, far = embedder.embed(
        ["the user likes green tea", "the user likes black tea", "quarterly database migration"]
    )
    assert float(one @ near) > float(one @ far) + 0.2


def test_embed_is_safe_from_many_threads(embedder: Embedder) -> None:
    """One instance serves a whole process."""
    expected = embedder.embed(TEXTS)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: embedder.embed(TEXTS), range(16)))
    for vectors in results:
        np.testing.assert_allclose(np.stack(vectors), np.stack(expected), atol=1e-5)


@pytest.mark.parametrize(
    ("one", "other", "cosine"),
    [
        ("User has 2 dogs", "User has 3 dogs", 0.958),
        ("The user has two dogs.", "The user owns 2 dogs.", 0.928),
    ],
)
def test_minilm_embeds_as_the_published_model(
    local: MiniLmEmbedder, one: str, other: str, cosine: float
) -> None:
    """The graph put together here computes what the model's authors published."""
    first, second = local.embed([one, other])
    assert pytest.approx(cosine, abs=5e-4) == float(first @ second)


def test_minilm_embeds_the_beginning_when_a_text_is_too_long(local: MiniLmEmbedder) -> None:
    """What stands behind the 256th token changes nothing."""
    long = "alpha " * 300
    first, second = local.embed([long, long + "omega"])
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_minilm_is_refused_when_its_weights_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vectors of other weights never get into a collection."""
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    (tmp_path / "tokenizer.json").write_bytes(
        (minilm._find_model() / "tokenizer.json").read_bytes()
    )
    monkeypatch.setattr(minilm, "_find_model", lambda: tmp_path)
    # As in a process that has not loaded the right ones.
    monkeypatch.setattr(minilm, "_open", minilm._open.__wrapped__)
    with pytest.raises(ConfigurationError, match=hashlib.sha256(b"other weights").hexdigest()):
        MiniLmEmbedder().embed(["text"])


@pytest.fixture(scope="module", params=["minilm", "hash", "characters"])
def counter(request: pytest.FixtureRequest, local: MiniLmEmbedder) -> TokenCounter:
    counters: dict[str, TokenCounter] = {
        "minilm": local,
        "hash": HashEmbedder(),
        "characters": CharacterTokenCounter(),
    }
    return counters[request.param]


@given(statement=st.text(max_size=40), since=st.datetimes(), until=st.none() | st.datetimes())
def test_count_of_a_line_is_never_less_than_that_of_the_smallest(
    counter: TokenCounter, statement: str, since: datetime, until: datetime | None
) -> None:
    """Whatever is stated of any days, if anything: where that does not fit, nothing does."""
    memory = make_memory(make_fact(statement, at=since), valid_to=until)

    smallest, tokens = counter.count([bullet(SMALLEST_LINE), bullet(render_line(memory))])

    assert smallest <= tokens


def test_count_gives_the_tokens_of_each_text(counter: TokenCounter) -> None:
    """Budgets are met without a network."""
    short, longer, empty = counter.count(["two words", "two words " * 400, ""])
    assert empty == 0
    assert 2 <= short <= 3
    assert 300 * short < longer <= 500 * short


def test_remote_embedder_asks_in_batches_when_there_are_many_texts(
    remote: OpenAiEmbedder, endpoint: ScriptedEndpoint
) -> None:
    """No request grows beyond what endpoints take, and the order holds across requests."""
    texts = [f"text {number}" for number in range(600)]
    vectors = remote.embed(texts)
    assert [len(call.body["input"]) for call in endpoint.embedding_calls] == [256, 256, 88]
    expected = HashEmbedder(endpoint.embedding_size).embed(texts)
    np.testing.assert_allclose(np.stack(vectors), np.stack(expected), atol=1e-5)


def test_remote_embedder_asks_for_base64(
    remote: OpenAiEmbedder, endpoint: ScriptedEndpoint
) -> None:
    """The encoding that costs a tenth of the CPU time is the one asked for."""
    remote.embed(["text"])
    assert endpoint.embedding_calls[0].body["encoding_format"] == "base64"


def test_remote_embedder_tries_again_when_the_fault_passes(
    remote: OpenAiEmbedder, endpoint: ScriptedEndpoint
) -> None:
    """A busy endpoint and a broken page cost two tries, not the work."""
    endpoint.queue(status(429), garbage())
    assert len(remote.embed(["text"])) == 1
    assert len(endpoint.calls) == 3


@pytest.mark.parametrize(
    "answer",
    [
        Scripted(body=b'{"data": []}'),
        Scripted(body=b'{"data": [{"index": 0, "embedding": "!"}]}'),
        Scripted(body=b'{"data": [{"index": 0, "embedding": [0.0, 0.0]}]}'),
        Scripted(body=b'{"data": [{"index": 1, "embedding": [1.0, 0.0]}]}'),
        status(500),
    ],
)
def test_remote_embedder_is_unavailable_when_no_vector_comes(
    remote: OpenAiEmbedder, endpoint: ScriptedEndpoint, answer: Scripted
) -> None:
    """A useless answer is a fault of the endpoint, never a vector."""
    endpoint.queue(*[answer] * 3)
    with pytest.raises(ModelUnavailable):
        remote.embed(["text"])


def test_remote_embedder_is_refused_when_the_size_is_another(
    endpoint: ScriptedEndpoint,
) -> None:
    """A wrong dimension says which setting is wrong."""
    with make_openai_client(endpoint.base_url, None, 5) as client:
        wrong = OpenAiEmbedder(client, "some-model", 1536, RETRY)
        with pytest.raises(ConfigurationError, match="MEMSTILL_EMBED_SIZE=64"):
            wrong.embed(["text"])
