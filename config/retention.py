"""How long what is not a memory is kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """Periods of each table; what somebody still works on, or a legal hold is on, stays longer.

    How long memories are told is the business of decay.

    Attributes:
        transcripts: The text of a session, after everything in it was consolidated. Evidence keeps
            its quotes, and a memory the words that it is found by. Without the text a session
            cannot be distilled again.
        replies: What a model answered, after its sessions were consolidated.
        dead: Dead letters; until then they can be replayed.
        refused: Facts that were not kept, with the reason.
        batches: Batches of model calls that have ended.
        batch: Rows that one transaction takes.
    """

    transcripts: timedelta = 7 * _DAY
    replies: timedelta = 30 * _DAY
    dead: timedelta = 90 * _DAY
    refused: timedelta = 90 * _DAY
    batches: timedelta = 30 * _DAY
    batch: int = 200
