"""How much memory a graph is made in."""

from __future__ import annotations

import pytest

from pipelines.adapters.pgvector_graphs import memory_for


@pytest.mark.parametrize(
    ("memories", "size", "megabytes"),
    [(5_000, 384, 64), (50_000, 1_536, 203), (10_000_000, 1_536, 1_024)],
)
def test_graph_is_made_in_as_much_memory_as_it_takes_within_reason(
    memories: int, size: int, megabytes: int
) -> None:
    assert megabytes == memory_for(memories, size) // 1024
