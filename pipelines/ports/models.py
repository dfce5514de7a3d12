"""Models: what embeds, counts, answers and proposes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from pipelines.model import (
        Draft,
        Owner,
        ReceiptId,
        Transcript,
        Vector,
    )
    from pipelines.ports.ledger import Hold, Ledger


class Embedder(Protocol):
    """Turns texts into unit vectors of one frozen model."""

    @property
    def model(self) -> str:
        """Name of the model: part of the collection's name."""
        ...

    @property
    def size(self) -> int:
        """Dimensions of a vector."""
        ...

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """One float32 unit vector of shape ``(size,)`` per text, in order.

        Raises:
            ModelUnavailable: A remote embedding endpoint did not answer.
        """
        ...


class TokenCounter(Protocol):
    """Counts tokens for budgets; an estimate that does not depend on the network."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, in order."""
        ...


class Reranker(Protocol):
    """Judges how well texts answer a query, better and slower than an index does."""

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """One score per text, in order; the higher, the better. Only their order means anything.

        Raises:
            ModelUnavailable: It did not answer, or not in time.
            ModelRefused: It rejects the request.
            BadReply: It answered, but not with a score for each text.
        """
        ...


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One structured question to a chat model.

    Attributes:
        system: The fixed, cacheable prefix.
        user: What changes.
        schema_name: Name of the JSON schema, as the endpoint wants it.
        schema: JSON schema that the answer must satisfy.
        earlier: Answers to this request that were unusable, each with what was wrong.
    """

    system: str
    user: str
    schema_name: str
    schema: dict[str, object]
    earlier: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ChatReply:
    """What the model answered, unparsed, and what it cost."""

    text: str
    model: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


def go_on() -> None:
    """Nothing speaks against another try."""


class ChatModel(Protocol):
    """A chat model behind an endpoint."""

    @property
    def name(self) -> str:
        """The model asked for."""
        ...

    def complete(self, request: ChatRequest, before_retry: Callable[[], None] = go_on) -> ChatReply:
        """Ask once, with bounded retries of passing faults.

        What ``before_retry`` raises ends the tries and is raised.

        Raises:
            ModelUnavailable: Timeout, connection failure, 429 or 5xx to the last try.
            ModelRefused: The endpoint rejects the request (other 4xx).
            BadReply: The answer is no chat completion, is empty or was cut off; it carries
                the tokens that were paid for it.
        """
        ...


class Purpose(StrEnum):
    """What a model call is paid for."""

    DISTILL = "distill"
    JUDGE = "judge"
    SUMMARISE = "summarise"


@dataclass(frozen=True, slots=True)
class PaidFor:
    """On whose account a call goes, and what it served.

    Attributes:
        receipts: The transcripts whose text the request carries; empty for a judgement.
    """

    owner: Owner
    purpose: Purpose
    receipts: tuple[ReceiptId, ...] = ()


class ReplyStore(Protocol):
    """Model replies, kept under the hash of their request before they are parsed."""

    @property
    def ledger(self) -> Ledger:
        """Where the calls behind these replies are held to their budgets and booked."""
        ...

    def find_reply(self, request_hash: str) -> ChatReply | None:
        """The stored reply to this very request, if it was ever paid."""
        ...

    def find_companies(
        self, owner: Owner, receipts: Collection[ReceiptId]
    ) -> dict[ReceiptId, tuple[ReceiptId, ...]]:
        """For each transcript all those of the first paid request that distilled it.

        Itself included, in the order of the request. One that was never paid for is left out.
        """
        ...

    def keep_reply(
        self, request_hash: str, reply: ChatReply, paid_for: PaidFor, hold: Hold
    ) -> None:
        """Store a reply, book its call and end its hold, all or nothing.

        The first reply stored for a hash stays, and only that one is booked.
        """
        ...


class Distiller(Protocol):
    """Proposes statements worth keeping."""

    @property
    def version(self) -> str:
        """Distiller and prompt version, stored with each fact: ``offline/1``."""
        ...

    @property
    def is_selective(self) -> bool:
        """Whether it leaves out what it thinks is not worth keeping, as a model does."""
        ...

    @property
    def max_company(self) -> int:
        """How many further transcripts one call may carry; 0 where sharing saves nothing."""
        ...

    def select_company(self, lead: Transcript, waiting: Sequence[Transcript]) -> list[Transcript]:
        """Those of the waiting, in their order, that one call can distill beside ``lead``."""
        ...

    def find_companies(
        self, owner: Owner, receipts: Collection[ReceiptId]
    ) -> dict[ReceiptId, tuple[ReceiptId, ...]]:
        """For each transcript all those of the request that was already paid for it.

        Distilled together with them again, in this order, it costs nothing. One that was not
        paid for is left out.
        """
        ...

    def distill(
        self,
        transcripts: Sequence[Transcript],
        keep_alive: Callable[[], None],
        *,
        was_asked: bool = True,
    ) -> list[list[Draft]]:
        """The drafts of each transcript, in the order of the messages they rest on.

        All of one owner. An empty list is a result. Calls ``keep_alive`` between two calls; what
        it raises passes. No stored reply is looked for first where none ``was_asked`` for.

        Raises:
            ModelUnavailable, ModelRefused, BadReply: As ``ChatModel.complete``.
        """
        ...
