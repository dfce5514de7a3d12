"""What keeps the index as it should be, composed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.adapters.postgres import PostgresIndexTruth, PostgresRounds
from pipelines.flows.reconcile import Reconcile, ReconcileRounds
from pipelines.flows.reindex import Reindex
from pipelines.flows.tend import TendIndex

if TYPE_CHECKING:
    from config.operation import ReconcilePolicy
    from pipelines.flows.gated import GatedIndex
    from pipelines.flows.project import Project
    from pipelines.ports import Waker
    from workers.ground import Ground


@dataclass(frozen=True, slots=True)
class IndexUpkeep:
    """Comparing the index, building it anew, and what of it goes by the clock."""

    reconcile: Reconcile
    reindex: Reindex
    tend: TendIndex
    policy: ReconcilePolicy


def make_upkeep(ground: Ground, index: GatedIndex, project: Project, waker: Waker) -> IndexUpkeep:
    """All of it, on the index of a process."""
    clock, policy = ground.clock, ground.policies.reconcile
    truth = PostgresIndexTruth(ground.database)
    reconcile = Reconcile(truth, index, waker, clock, policy)
    reindex = Reindex(truth, index.live, index.rebuilds, project, clock, policy)
    rounds = ReconcileRounds(reconcile, PostgresRounds(ground.database), clock, policy)
    return IndexUpkeep(reconcile, reindex, TendIndex(reindex, rounds, policy), policy)
