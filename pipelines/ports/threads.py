"""What cleaning asks of the tables that LangGraph keeps its threads in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from pipelines.stages.threads import Position

    Choose = Callable[[Mapping[str, Sequence[Position]]], dict[str, list[str]]]


@dataclass(frozen=True, slots=True)
class Amount:
    """So much of each table; bytes as the rows are stored, without indexes."""

    checkpoints: int = 0
    writes: int = 0
    blobs: int = 0
    size_bytes: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            self.checkpoints + other.checkpoints,
            self.writes + other.writes,
            self.blobs + other.blobs,
            self.size_bytes + other.size_bytes,
        )

    def __sub__(self, other: Amount) -> Amount:
        return Amount(
            self.checkpoints - other.checkpoints,
            self.writes - other.writes,
            self.blobs - other.blobs,
            self.size_bytes - other.size_bytes,
        )


class ThreadTables(Protocol):
    """One database of LangGraph's, while it is connected."""

    def find_long(self, keep: int, after: str | None, limit: int) -> list[str]:
        """Threads with more than ``keep`` checkpoints in a namespace, in order, after that id.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        ...

    def remove(self, thread_id: str, choose: Choose, *, is_dry: bool = False) -> Amount | None:
        """Take the chosen checkpoints of a thread away in one transaction, on one sight of it.

        Their writes go with them, and the blobs that only they need. What is saved meanwhile is
        neither seen nor touched.

        Args:
            thread_id: Whose.
            choose: Gets the thread newest first, names the ids that may go by namespace.
            is_dry: Only say what would go.

        Returns:
            What went; None where somebody else changes the same rows, or the thread is of a kind
            that cannot be told apart from here: nothing was changed.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        ...

    def measure(self) -> Amount:
        """All that the tables hold; every row is looked at."""
        ...


class ThreadStore(Protocol):
    """Where LangGraph keeps its threads."""

    def open(self) -> AbstractContextManager[ThreadTables]:
        """Connect, and check that the tables are of a form that is known.

        Raises:
            ConfigurationError: There are none, or their form is not known; nothing was changed.
            StoreUnavailable: The database does not answer.
        """
        ...
