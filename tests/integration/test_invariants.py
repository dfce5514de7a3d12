"""What must always hold, under any interleaving of workers, deaths and outages.

The long form is ``make fuzz``; see docs/fuzzing.md.
"""

from __future__ import annotations

from pipelines.adapters.postgres import Database
from tests.interleavings.machine import run_interleavings

EXAMPLES = 10


def test_invariants_hold_under_any_interleaving(database_url: str) -> None:
    """Nothing lost, nothing twice, one order, nobody else's, every quote where it is cited."""
    database = Database(database_url, pool_size=2)

    run_interleavings(database, EXAMPLES, seed=None)

    database.close()
