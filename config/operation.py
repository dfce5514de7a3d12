"""Tunables of how work is held, tried again, brought into the index, compared and erased."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

TASK_BUDGET = timedelta(seconds=60)
"""A task that waits for others ends within this: each of its waits is bounded below it."""

STOP_GRACE = TASK_BUDGET + timedelta(seconds=45)
"""A worker that is told to stop is given so long before it is killed."""


@dataclass(frozen=True, slots=True)
class LeasePolicy:
    """How long a worker may hold a piece of work before another may take it."""

    distill: timedelta = timedelta(minutes=5)
    consolidate: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class ProjectPolicy:
    """How changed memories get into the index.

    Attributes:
        batch: Memories written by one request.
        max_batches: A worker goes on to other work after so many.
        lease: So long nobody else projects them; longer than a request may take.
        pause: An index that is away is tried again after this.
    """

    batch: int = 500
    max_batches: int = 20
    lease: timedelta = timedelta(minutes=1)
    pause: timedelta = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class ErasePolicy:
    """How an erasure goes on after its first transaction, which makes the subject invisible.

    Attributes:
        lease: So long nobody else goes on with it.
        pause: What could not be done is tried again after this.
        settle: Whatever was under way has ended by then; all is looked for once more.
        deadline: By law it must be proven by then.
        warn: One that is not proven by then is reported as overdue.
    """

    lease: timedelta = timedelta(minutes=5)
    pause: timedelta = timedelta(seconds=30)
    settle: timedelta = timedelta(minutes=10)
    deadline: timedelta = timedelta(days=30)
    warn: timedelta = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often failed work is tried again, and when.

    The n-th delay is ``base * factor^(n-1)`` up to ``longest``, with jitter of a quarter.

    Attributes:
        in_call_attempts: Tries of one model request inside one task, for passing faults.
        max_attempts: Tries of one piece of work in all; then it is a dead letter.
        max_deaths: So many workers may die over it; then it is one, too.
        patience: A result that is at hand waits so long for PostgreSQL to come back.
    """

    in_call_attempts: int = 3
    in_call_wait: timedelta = timedelta(seconds=0.5)
    max_attempts: int = 5
    max_deaths: int = 3
    patience: timedelta = timedelta(seconds=45)
    base: timedelta = timedelta(seconds=30)
    factor: float = 4.0
    longest: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class ReconcilePolicy:
    """How the index is compared with the rows that it is derived from.

    Attributes:
        batch: Rows and points compared at once; each is held in memory meanwhile.
        turn: What is left then is left to the next turn.
        asked_turn: The same where somebody waits for the answer.
        interval: From the beginning of one scheduled round to that of the next.
        examples: Ids reported of each kind of difference.
    """

    batch: int = 1_000
    turn: timedelta = timedelta(seconds=25)
    asked_turn: timedelta = timedelta(seconds=5)
    interval: timedelta = timedelta(days=1)
    examples: int = 10


@dataclass(frozen=True, slots=True)
class DeadPolicy:
    """How many dead letters are handled at once.

    Attributes:
        batch: In one transaction.
        turn: Whoever asked is answered after this, and asks for the rest.
    """

    batch: int = 500
    turn: timedelta = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How backfill is handed to the model in batches, which take hours and cost less.

    Attributes:
        is_on: Else backfill goes the live road, behind all else.
        min_requests: Fewer are not worth a batch.
        max_transcripts: Gathered into one batch; each is held in memory meanwhile.
        max_bytes: Of stored text in one batch; a file of requests may have 200 MB.
        wait: Backfill that got into no batch for so long goes the live road.
        interval: A batch is looked at this often.
        window: So long the provider may take.
        grace: After that and this, it is distilled without the batch.
        lease: So long nobody else looks at a batch that is worked on; longer than a turn.
        turn: What is left then is left to the next turn.
    """

    is_on: bool = False
    min_requests: int = 20
    max_transcripts: int = 1_000
    max_bytes: int = 32 * 1024 * 1024
    wait: timedelta = timedelta(hours=1)
    interval: timedelta = timedelta(minutes=1)
    window: timedelta = timedelta(hours=24)
    grace: timedelta = timedelta(hours=1)
    lease: timedelta = timedelta(minutes=5)
    turn: timedelta = timedelta(seconds=30)
