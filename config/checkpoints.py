"""How checkpoints of running agents are stored, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

SHORTEST = timedelta(hours=1)
LONGEST = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class CheckpointPolicy:
    """Sizes, deltas and retention.

    Attributes:
        max_bytes: Of one state as canonical JSON.
        max_metadata_bytes: The same of what is noted beside a state.
        max_depth: So many deltas are applied, one after the other, to one full snapshot.
        max_delta_share: Of the state's size; a larger delta is stored as a full snapshot.
        max_compared_bytes: Larger states are stored in full: comparing two takes about a second
            for each 3 MB of them.
        hot: So long after its last use the newest state of a thread stays in Redis.
        retention: An older checkpoint goes, also the newest: its thread is given up.
        keep: So many of a thread are kept, the newest.
        batch: Threads looked up at once; rows removed by one transaction.
        turn: What is left to clean up then is left to the next turn.
        asked_turn: The same where somebody waits for the answer.
    """

    max_bytes: int = 10 * 1024 * 1024
    max_metadata_bytes: int = 16 * 1024
    max_depth: int = 15
    max_delta_share: float = 0.5
    max_compared_bytes: int = 1024 * 1024
    hot: timedelta = timedelta(hours=1)
    retention: timedelta = LONGEST
    keep: int = 5
    batch: int = 500
    turn: timedelta = timedelta(seconds=30)
    asked_turn: timedelta = timedelta(seconds=5)

    def __post_init__(self) -> None:
        if not SHORTEST <= self.retention <= LONGEST:
            raise ValueError("retention: checkpoints are kept for one hour to thirty days")
        if self.keep < 1:
            raise ValueError("keep: a thread without its newest checkpoint cannot go on")
