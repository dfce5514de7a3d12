"""Recalling from all tiers, composed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from config.retrieval import Tier
from pipelines.flows.recall_tiers import RecallTiers

if TYPE_CHECKING:
    from pipelines.flows.procedures import Procedures
    from pipelines.flows.recall import Recall
    from workers.ground import Ground
    from workers.session_tier import SessionTier

# Tiers of one server that are asked at the same moment, for all recalls together.
_LOOKUPS = 16


def make_recall_tiers(
    ground: Ground, recall: Recall, sessions: SessionTier, procedures: Procedures
) -> RecallTiers:
    """What answers from all tiers, with threads of its own."""
    redis, postgres = (
        ThreadPoolExecutor(_LOOKUPS, thread_name_prefix=f"recall-{server}")
        for server in ("redis", "postgres")
    )
    for executor in (redis, postgres):
        ground.clients.callback(executor.shutdown, wait=False, cancel_futures=True)
    executors = {Tier.EPISODES: redis, Tier.WORKING: redis, Tier.PROCEDURES: postgres}
    return RecallTiers(
        recall, sessions.sessions, sessions.working, procedures, executors, ground.policies.recall
    )
