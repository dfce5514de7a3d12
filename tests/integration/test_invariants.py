"""What must always hold, under any interleaving of workers, deaths and outages.

The long form is ``make fuzz``; see docs/fuzzing.md.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from pipelines.adapters.postgres import Database
from tests.interleavings.machine import Interleavings

EXAMPLES = int(os.environ.get("MEMSTILL_INTERLEAVINGS", "12"))
STEPS = 30


def test_invariants_hold_under_any_interleaving(database_url: str) -> None:
    """Nothing lost, nothing twice, one order, nobody else's, every quote where it is cited."""
    database = Database(database_url, pool_size=2)

    class Machine(Interleavings):
        pass

    Machine.database = database
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=EXAMPLES < 100,
            suppress_health_check=list(HealthCheck),
        ),
    )
    database.close()
