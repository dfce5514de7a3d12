"""Working memory: what an agent holds in mind during one session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pipelines.model import Owner
    from pipelines.ports.sessions import Write


@dataclass(frozen=True, slots=True)
class WorkingItem:
    """One thing that the agent holds in mind, word for word but for secrets."""

    id: str
    content: str
    tokens: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Summary:
    """What stands in the place of items that were folded away.

    Attributes:
        folded: How many items it stands for, those of the summaries before it included.
        summarised_by: Model and prompt, or ``extractive/1``.
    """

    id: str
    content: str
    tokens: int
    folded: int
    summarised_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Working:
    """A working memory as it was found: the items in the order in which they came."""

    summary: Summary | None = None
    items: tuple[WorkingItem, ...] = ()

    @property
    def tokens(self) -> int:
        """Of all of it."""
        earlier = 0 if self.summary is None else self.summary.tokens
        return earlier + sum(item.tokens for item in self.items)


class WorkingStore(Protocol):
    """Working memories, in the session tier: for a while from their last use.

    Each call is one round trip, and may raise ``SessionsUnavailable``; one that writes
    ``ErasedMeanwhile``.
    """

    def append_items(
        self, owner: Owner, session_id: str, items: Sequence[WorkingItem], write: Write
    ) -> Working:
        """Append; gives all that there is now."""
        ...

    def read_items(self, owner: Owner, session_id: str) -> Working:
        """All that there is."""
        ...

    def fold_items(
        self, owner: Owner, session_id: str, seen: Working, summary: Summary, write: Write
    ) -> bool:
        """Put a summary in the place of the summary and of all items that were seen.

        What was appended behind them since stays. False, and nothing is changed, where they are
        not there any more as they were seen: somebody else has folded them.
        """
        ...


class Summariser(Protocol):
    """Says more briefly what an agent held in mind."""

    @property
    def version(self) -> str:
        """Model and prompt, stored with each summary."""
        ...

    def summarise(self, owner: Owner, texts: Sequence[str], max_tokens: int) -> str:
        """One text that says what these say, in about so many tokens at most.

        Raises:
            ModelUnavailable, ModelRefused, BadReply: As ``ChatModel.complete``.
            BudgetExceeded: The call was not made.
        """
        ...
