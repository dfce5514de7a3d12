"""Models without a model: scripted answers, hashed words, replies in a dictionary."""

from __future__ import annotations

import hashlib
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipelines.ports import ChatReply, Purpose, go_on
from pipelines.stages.merging.relate import PERSON
from pipelines.testing.ledger import InMemoryLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from pipelines.model import Owner, ReceiptId, Vector
    from pipelines.ports import ChatRequest, Distiller, Hold, PaidFor
    from pipelines.stages.merging.relate import Pair, Relation

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

    def complete(self, request: ChatRequest, before_retry: Callable[[], None] = go_on) -> ChatReply:
        del before_retry
        with self._lock:
            self.requests.append(request)
            answer = self._answer(request)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, ChatReply) else ChatReply(answer, self._name)


@dataclass(frozen=True, slots=True)
class OneDistiller:
    """``Distillers`` with the same one for everybody."""

    distiller: Distiller

    def of(self, owner: Owner) -> Distiller:
        del owner
        return self.distiller


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
    """``ReplyStore`` in a dictionary that shows what it holds; without a ledger, no budgets."""

    def __init__(self, ledger: InMemoryLedger | None = None) -> None:
        self._lock = threading.Lock()
        self.ledger = ledger or InMemoryLedger()
        self.replies: dict[str, ChatReply] = {}
        self.paid_for: dict[str, PaidFor] = {}

    def find_reply(self, request_hash: str) -> ChatReply | None:
        with self._lock:
            return self.replies.get(request_hash)

    def find_companies(
        self, owner: Owner, receipts: Collection[ReceiptId]
    ) -> dict[ReceiptId, tuple[ReceiptId, ...]]:
        with self._lock:
            paid = [
                item.receipts
                for item in self.paid_for.values()
                if item.owner == owner and item.purpose is Purpose.DISTILL
            ]
        # The first request that names a transcript is written last.
        named = {receipt: company for company in reversed(paid) for receipt in company}
        return {receipt: named[receipt] for receipt in receipts if receipt in named}

    def keep_reply(
        self, request_hash: str, reply: ChatReply, paid_for: PaidFor, hold: Hold
    ) -> None:
        with self._lock:
            if request_hash not in self.replies:
                self.replies[request_hash] = reply
                self.paid_for[request_hash] = paid_for
                self.ledger.book_reply(hold, reply, paid_for)
            self.ledger.release(hold)

    def keep_paid(self, request_hash: str, reply: ChatReply, paid_for: PaidFor, hold: Hold) -> None:
        """As ``keep_reply``, but booked also where there is a reply already."""
        with self._lock:
            if request_hash not in self.replies:
                self.replies[request_hash] = reply
                self.paid_for[request_hash] = paid_for
            self.ledger.book_reply(hold, reply, paid_for)
            self.ledger.release(hold)


class InMemoryVerdicts:
    """``VerdictStore`` in a dictionary."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._verdicts: dict[tuple[Owner, str], tuple[Relation, str]] = {}

    def find_verdicts(self, owner: Owner, keys: Collection[str]) -> dict[str, Relation]:
        with self._lock:
            return {
                key: self._verdicts[owner, key][0] for key in keys if (owner, key) in self._verdicts
            }

    def keep_verdicts(
        self, owner: Owner, verdicts: Mapping[str, Relation], judged_by: str, now: datetime
    ) -> None:
        del now
        with self._lock:
            for key, relation in verdicts.items():
                if judged_by == PERSON or (owner, key) not in self._verdicts:
                    self._verdicts[owner, key] = (relation, judged_by)


class ScriptedJudge:
    """``Judge`` that answers by a rule of the test and remembers what it was asked."""

    def __init__(self, rule: Callable[[Pair], Relation]) -> None:
        self.asked: list[tuple[Pair, ...]] = []
        self._rule = rule

    @property
    def version(self) -> str:
        return "scripted/1"

    def judge(self, owner: Owner, pairs: Sequence[Pair]) -> dict[str, Relation]:
        del owner
        self.asked.append(tuple(pairs))
        return {pair.key: self._rule(pair) for pair in pairs}


def _in_order(answers: Iterable[Answer]) -> Callable[[ChatRequest], Answer]:
    waiting = iter(list(answers))

    def answer(_: ChatRequest) -> Answer:
        try:
            return next(waiting)
        except StopIteration:
            raise AssertionError("the scripted model has no answer left") from None

    return answer
