"""Memory does not only grow: a slice of the simulated year, on real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.year.campaign import Year
from tests.year.household import Household, Plan
from tests.year.life import lives_of
from tests.year.world import Place, open_world

if TYPE_CHECKING:
    from pathlib import Path


def test_memory_levels_off_and_keeps_what_it_must(
    database_url: str, redis_url: str, key_prefix: str, tmp_path: Path
) -> None:
    """What nobody uses goes after a while, explained; what is pinned, held or used stays."""
    plan = Plan(users=2, days=200, sessions=0.2, every=50, nights=10)
    with open_world(Place(database_url, redis_url, key_prefix, tmp_path / "archive")) as world:
        everybody = Household(world, lives_of(plan), plan)
        found = Year(world, plan, everybody.live, note=print).run()

    assert [] == found.problems
    assert found.evicted > found.purged > 0
    assert 2 == found.pinned
    assert found.held > 0
    written = found.sizes[-1].rows["facts"] + found.purged
    assert found.sizes[-1].points < written
