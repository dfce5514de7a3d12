"""What is deleted when its time is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime


class RetentionStore(Protocol):
    """Deletes what expired before a time, at most ``limit`` rows in one transaction.

    Each returns how many rows it took: fewer than ``limit`` say that there are no more now. What
    a legal hold is on stays, and so does what anybody has locked at this moment.
    """

    def strip_transcripts(self, before: datetime, limit: int) -> int:
        """Delete the text of sessions that were done by then.

        The words that their memories are found by are kept, in no order.
        """
        ...

    def delete_replies(self, before: datetime, limit: int) -> int:
        """Delete what models answered by then for sessions that are done, or gone."""
        ...

    def delete_dead(self, before: datetime, limit: int) -> int:
        """Delete dead letters of before then."""
        ...

    def delete_refused(self, before: datetime, limit: int) -> int:
        """Delete facts that were not kept, of sessions that were done by then."""
        ...

    def delete_receipts(self, before: datetime, limit: int) -> int:
        """Delete receipts of sessions that were archived by then."""
        ...

    def delete_batches(self, before: datetime, limit: int) -> int:
        """Delete batches that had ended by then."""
        ...
