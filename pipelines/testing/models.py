"""Models without a model: scripted answers, hashed words, replies in a dictionary."""

from __future__ import annotations

import hashlib
import re
import threading
from typing import TYPE_CHECKING

import numpy as np

from pipelines.ports import ChatReply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pipelines.model import Vector
    from pipelines.ports import ChatRequest, PaidFor

Answer = str | ChatReply | Exception
_WORD = re.compile(r"\w+")


class ScriptedChatModel:
    """``ChatModel`` that answers from a script and remembers what it was asked.

    The script is either the answers in order or a function of the request. A string becomes a
    reply, an error is raised. Answers that run out fail the test that asked once too often.
    """

    def __init__(
        self,
        script: Iterable[Answer] | Callable[[ChatRequest], Answer],
        name: str = "scripted",
    ) -> None:
        self._answer = script if callable(script) else _in_order(script)
        self._name = name
        self._lock = threading.Lock()
        self.requests: list[ChatRequest] = []

    @property
    def name(self) -> str:
        return self._name

    def complete(self, request: ChatRequest) -> ChatReply:
        with self._lock:
            self.requests.append(request)
            answer = self._answer(request)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, ChatReply) else ChatReply(answer, self._name)


class HashEmbedder:
    """``Embedder`` and ``TokenCounter`` on words: each word is a fixed direction.

    Texts that share words are near each other, texts that share none are far; meaning is not
    known. The same on every machine and in every process.
    """

    def __init__(self, size: int = 256) -> None:
        self._size = size

    @property
    def model(self) -> str:
        return f"hash-{self._size}"

    @property
    def size(self) -> int:
        return self._size

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        return [self._embed_one(text) for text in texts]

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(_WORD.findall(text)) for text in texts]

    def _embed_one(self, text: str) -> Vector:
        words = _WORD.findall(text.lower()) or [""]
        total = np.sum([self._direction(word) for word in words], axis=0)
        unit: Vector = (total / np.linalg.norm(total)).astype(np.float32)
        return unit

    def _direction(self, word: str) -> Vector:
        seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest())
        return np.random.default_rng(seed).standard_normal(self._size, dtype=np.float32)


class InMemoryReplies:
    """``ReplyStore`` in a dictionary that shows what it holds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.replies: dict[str, ChatReply] = {}
        self.paid_for: dict[str, PaidFor] = {}

    def find_reply(self, request_hash: str) -> ChatReply | None:
        with self._lock:
            return self.replies.get(request_hash)

    def keep_reply(self, request_hash: str, reply: ChatReply, paid_for: PaidFor) -> None:
        with self._lock:
            self.replies.setdefault(request_hash, reply)
            self.paid_for.setdefault(request_hash, paid_for)


def _in_order(answers: Iterable[Answer]) -> Callable[[ChatRequest], Answer]:
    waiting = iter(list(answers))

    def answer(_: ChatRequest) -> Answer:
        try:
            return next(waiting)
        except StopIteration:
            raise AssertionError("the scripted model has no answer left") from None

    return answer
