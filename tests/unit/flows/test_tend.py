"""Tending the index, by the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from config.operation import ReconcilePolicy
from pipelines.flows.tend import TendIndex
from pipelines.outcome import Done, Outcome
from pipelines.ports import Rebuild, Standing
from pipelines.testing.index import InMemoryIndex
from tests.builders import START

if TYPE_CHECKING:
    from pipelines.flows.reconcile import ReconcileRounds
    from pipelines.flows.reindex import Reindex


class Rebuilding:
    """As much of ``Reindex`` and its store as is looked at."""

    def __init__(self, standing: Standing | None) -> None:
        self.index = InMemoryIndex()
        self.rebuilds = self
        self._standing = standing

    def find(self) -> Rebuild | None:
        if self._standing is None:
            return None
        return Rebuild("token", START, 1, self._standing, compared=1)

    def proceed(self, turn: object) -> Rebuild:
        del turn
        return cast("Rebuild", self.find())


class Rounds:
    """Nothing to compare."""

    def run(self) -> Outcome:
        return Done({"compared": 0})


@pytest.mark.parametrize(
    ("standing", "tended"), [(None, 1), (Standing.SWITCHED, 1), (Standing.BUILDING, 0)]
)
def test_large_users_are_tended_unless_the_index_is_built_anew(
    standing: Standing | None, tended: int
) -> None:
    """What is made for an index that is about to go would be made for nothing."""
    reindex = Rebuilding(standing)

    TendIndex(cast("Reindex", reindex), cast("ReconcileRounds", Rounds()), ReconcilePolicy()).run()

    assert tended == reindex.index.tended
