"""Tending the index: what goes on by itself once it is begun, and what is due once a day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.outcome import Done, Outcome

if TYPE_CHECKING:
    from config.operation import ReconcilePolicy
    from pipelines.flows.reconcile import ReconcileRounds
    from pipelines.flows.reindex import Reindex


@dataclass(frozen=True, slots=True)
class TendIndex:
    """A rebuild whose driver is gone is brought on.

    Without one, large users get what they are searched by faster, and all is reconciled when due.
    """

    reindex: Reindex
    rounds: ReconcileRounds
    policy: ReconcilePolicy

    def run(self) -> Outcome:
        """Do one turn; whoever fires it twice, or at the same time, does no harm."""
        latest = self.reindex.rebuilds.find()
        if latest is None or not latest.is_under_way:
            self.reindex.index.tend()
            return self.rounds.run()
        found = self.reindex.proceed(self.policy.turn)
        return Done({"compared": found.compared})
