"""``Embedder`` on any OpenAI-compatible endpoint, and the token estimate that goes with it."""

from __future__ import annotations

import base64
import itertools
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from pipelines.adapters.openai_client import ask_with_retries, post_json
from pipelines.errors import ConfigurationError, ModelUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import httpx2
    import openai

    from config.operation import RetryPolicy
    from pipelines.model import Vector

_BATCH = 256
_CHARS_PER_TOKEN = 4


class _Item(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    index: int
    embedding: str | list[float]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    data: list[_Item]


class OpenAiEmbedder:
    """Embeds in requests of at most 256 texts, each retried within ``budget_seconds``.

    The driver asks for base64 by default, which takes a tenth of the CPU time of floats;
    endpoints that answer floats all the same are understood too.
    """

    def __init__(
        self,
        client: openai.OpenAI,
        model: str,
        size: int,
        retry: RetryPolicy,
        budget_seconds: float = 40.0,
    ) -> None:
        self._client = client
        self._model = model
        self._size = size
        self._retry = retry
        self._budget_seconds = budget_seconds

    @property
    def model(self) -> str:
        return self._model

    @property
    def size(self) -> int:
        return self._size

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        return list(itertools.chain.from_iterable(self._batches(texts)))

    def _batches(self, texts: Sequence[str]) -> Iterator[list[Vector]]:
        for start in range(0, len(texts), _BATCH):
            # An endpoint refuses the empty text.
            batch = [text or " " for text in texts[start : start + _BATCH]]
            yield self._embed_batch(batch)

    def _embed_batch(self, batch: list[str]) -> list[Vector]:
        def ask(timeout: httpx2.Timeout) -> list[Vector]:
            # As text they would take ten times as long to read.
            body = {"model": self._model, "input": batch, "encoding_format": "base64"}
            answer = post_json(self._client, "/embeddings", body, timeout)
            return _read_vectors(answer, len(batch))

        vectors = ask_with_retries(ask, self._retry, self._budget_seconds)
        return [self._unit(vector) for vector in vectors]

    def _unit(self, vector: Vector) -> Vector:
        if vector.shape != (self._size,):
            raise ConfigurationError(
                f"{self._model} answers {vector.size} dimensions, not {self._size}:"
                f" set MEMSTILL_EMBED_SIZE={vector.size}"
            )
        return vector / np.linalg.norm(vector)


class CharacterTokenCounter:
    """Tokens as a quarter of the characters, rounded up: tokenizers' tables are downloads."""

    def count(self, texts: Sequence[str]) -> list[int]:
        return [-(-len(text) // _CHARS_PER_TOKEN) for text in texts]


def _read_vectors(body: bytes, count: int) -> list[Vector]:
    """What is no list of ``count`` usable vectors is a passing fault of the endpoint."""
    try:
        items = sorted(_Answer.model_validate_json(body).data, key=lambda item: item.index)
        vectors = [_decode(item.embedding) for item in items]
    except ValueError:
        raise ModelUnavailable("the endpoint's answer is no list of embeddings") from None
    if [item.index for item in items] != list(range(count)):
        raise ModelUnavailable(f"the endpoint gave {len(items)} embeddings for {count} texts")
    if not all(_is_direction(vector) for vector in vectors):
        raise ModelUnavailable("the endpoint gave an embedding without a direction")
    return vectors


def _decode(embedding: str | list[float]) -> Vector:
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding), dtype="<f4").astype(np.float32)
    return np.asarray(embedding, dtype=np.float32)


def _is_direction(vector: Vector) -> bool:
    norm = float(np.linalg.norm(vector))
    return bool(np.isfinite(norm)) and norm > 0
