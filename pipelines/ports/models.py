"""Models: what embeds, counts, answers and proposes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipelines.model import (
        Draft,
        Owner,
        ReceiptId,
        Transcript,
        Vector,
    )


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


class ChatModel(Protocol):
    """A chat model behind an endpoint."""

    @property
    def name(self) -> str:
        """The model asked for."""
        ...

    def complete(self, request: ChatRequest) -> ChatReply:
        """Ask once, with bounded retries of passing faults.

        Raises:
            ModelUnavailable: Timeout, connection failure, 429 or 5xx to the last try.
            ModelRefused: The endpoint rejects the request (other 4xx).
            BadReply: The answer is no chat completion, is empty or was cut off.
        """
        ...


class Purpose(StrEnum):
    """What a model call is paid for."""

    DISTILL = "distill"
    JUDGE = "judge"


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

    def find_reply(self, request_hash: str) -> ChatReply | None:
        """The stored reply to this very request, if it was ever paid."""
        ...

    def keep_reply(self, request_hash: str, reply: ChatReply, paid_for: PaidFor) -> None:
        """Store a reply; the first one stored for a hash stays."""
        ...


class Distiller(Protocol):
    """Proposes statements worth keeping."""

    @property
    def version(self) -> str:
        """Distiller and prompt version, stored with each fact: ``offline/1``."""
        ...

    def distill(self, transcript: Transcript, keep_alive: Callable[[], None]) -> list[Draft]:
        """Drafts in the order of the messages they rest on; an empty list is a result.

        Calls ``keep_alive`` after each part of a long transcript; what it raises passes.

        Raises:
            ModelUnavailable, ModelRefused, BadReply: As ``ChatModel.complete``.
        """
        ...
