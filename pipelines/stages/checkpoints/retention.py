"""Which checkpoints of a thread are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from config.checkpoints import CheckpointPolicy
    from pipelines.stages.checkpoints.chain import Checkpoint


def select_kept(
    newest: Sequence[Checkpoint], now: datetime, policy: CheckpointPolicy
) -> Sequence[Checkpoint]:
    """Those that are kept, the newest first; none where the thread is given up.

    They are always the last ones of the thread without a gap, so that nothing rests on what goes.

    Args:
        newest: The newest of a thread first.
        now: The time.
        policy: How many are kept, and for how long.
    """
    kept = newest[: policy.keep]
    old = (place for place, item in enumerate(kept) if item.saved_at < now - policy.retention)
    return kept[: next(old, len(kept))]
