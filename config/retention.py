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
        receipts: What a session that is pushed again is answered from, after it was archived.
        batch: Rows that one transaction takes.
        turn: No further transaction is begun after this in one turn of the job.
    """

    transcripts: timedelta = 7 * _DAY
    replies: timedelta = 30 * _DAY
    dead: timedelta = 90 * _DAY
    refused: timedelta = 90 * _DAY
    batches: timedelta = 30 * _DAY
    receipts: timedelta = 400 * _DAY
    batch: int = 200
    turn: timedelta = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class ArchivePolicy:
    """When the event log of a user is summed up, and what leaves the database for the archive.

    Attributes:
        snapshot_each: So many events of a user make a snapshot of what they tell.
        events: Events that a snapshot covers, by their age.
        sessions: Sessions of which neither text nor memories are left, after they were done.
        least_events: Fewer of a user are not worth a file.
        least_sessions: The same of sessions.
        batch: Rows of a file, and of a transaction.
        users: Looked at by one query.
        turn: No further user is begun after this in one turn of a job.
    """

    snapshot_each: int = 1_000
    events: timedelta = 90 * _DAY
    sessions: timedelta = 90 * _DAY
    least_events: int = 500
    least_sessions: int = 10
    batch: int = 2_000
    users: int = 100
    turn: timedelta = timedelta(seconds=20)
