"""What holds for the vector index inside the process: one folder, one process, no flush."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from qdrant_edge import UpdateOperation

from pipelines.adapters.edge_requests import LAYOUT_FIELD
from pipelines.adapters.qdrant_edge import EdgeIndex
from pipelines.errors import ConfigurationError, IndexUnavailable
from pipelines.ports import Removal
from tests.contract.points import ALICE, SIZE, along, make_point

if TYPE_CHECKING:
    from pathlib import Path

CHILD = """
import sys, uuid
import numpy as np
from datetime import UTC, datetime
from pathlib import Path
from pipelines.adapters.qdrant_edge import EdgeIndex
from pipelines.model import MemoryId, MemoryState, Owner, Scope
from pipelines.ports import IndexPoint, Removal

index = EdgeIndex(Path(sys.argv[1]), "some-model", 8)
index.prepare()
vector = np.eye(8, dtype=np.float32)[1]
for number in range(300):
    key = MemoryId(uuid.UUID(int=number))
    owner = Owner("acme", "alice")
    point = IndexPoint(
        key, owner, Scope.USER, "s1", 1, vector, "kayak", MemoryState.ACTIVE, datetime.now(UTC)
    )
    index.apply([point], [])
index.apply([], [Removal(MemoryId(uuid.UUID(int=0)), 1)])
print("applied", flush=True)
sys.stdin.read()
"""


def test_edge_index_keeps_all_that_was_applied_when_its_process_is_killed(tmp_path: Path) -> None:
    """What ``apply`` returned for is there after SIGKILL, without a flush or a close."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert "applied" in next(line for line in child.stdout if "applied" in line)
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=30)
    index = EdgeIndex(tmp_path, "some-model", SIZE)
    index.prepare()
    assert 299 == index.count(ALICE)
    (hit, *_) = index.search(ALICE, None, along(1), "kayak", 1)
    assert hit.lexical is not None
    index.close()


def test_edge_index_refuses_to_open_when_another_process_holds_it(tmp_path: Path) -> None:
    """The second process is told who is in the way and what to use instead."""
    holder = EdgeIndex(tmp_path, "some-model", SIZE)
    holder.prepare()
    result = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path)], capture_output=True, text=True, check=False
    )
    holder.close()
    last_line = result.stderr.strip().splitlines()[-1]
    assert "ConfigurationError" in last_line
    assert "another process holds" in last_line
    assert "MEMSTILL_INDEX_URL" in last_line


def test_edge_index_refuses_to_open_when_the_folder_is_unusable(tmp_path: Path) -> None:
    """A folder that is no shard is named, with what to do."""
    index = EdgeIndex(tmp_path, "some-model", SIZE)
    index.prepare()
    index.close()
    for segment in (tmp_path / "memstill.some-model-8" / "segments").rglob("*.json"):
        segment.write_text("{")
    with pytest.raises(ConfigurationError, match="move it away"):
        EdgeIndex(tmp_path, "some-model", SIZE).prepare()


def test_edge_index_starts_anew_when_its_layout_is_old(tmp_path: Path) -> None:
    """Points that no search would find any more are dropped; whoever opens it sees it empty."""
    index = EdgeIndex(tmp_path, "some-model", SIZE)
    index.prepare()
    index.apply([make_point("tea")], [])
    with index._using() as opened:
        opened.shard.update(UpdateOperation.delete_field_index(LAYOUT_FIELD))
    index.close()

    again = EdgeIndex(tmp_path, "some-model", SIZE)
    again.prepare()
    assert again.is_empty()
    again.apply([make_point("tea")], [])
    again.close()
    again.prepare()
    assert 1 == again.count(ALICE)
    again.close()


def test_edge_index_names_the_setting_when_the_folder_cannot_be_made(tmp_path: Path) -> None:
    """A path through a file is refused with the setting that holds it."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="MEMSTILL_INDEX_URL"):
        EdgeIndex(tmp_path / "file" / "index", "some-model", SIZE).prepare()


def test_edge_index_is_unavailable_when_it_is_not_open(tmp_path: Path) -> None:
    """Before ``prepare`` and after ``close`` a call fails as any absent server does."""
    index = EdgeIndex(tmp_path, "some-model", SIZE)
    with pytest.raises(IndexUnavailable):
        index.count(ALICE)
    index.prepare()
    index.close()
    with pytest.raises(IndexUnavailable):
        index.apply([make_point("tea")], [])


def test_edge_index_keeps_the_newest_when_it_vacuums_in_between(tmp_path: Path) -> None:
    """Points replaced thousands of times and then removed leave only what was kept."""
    index = EdgeIndex(tmp_path, "some-model", SIZE)
    index.prepare()
    points = [make_point(f"tea {number}", along(number % SIZE)) for number in range(1_200)]
    for version in range(1, 6):
        index.apply([replace(point, version=version) for point in points], [])
    index.apply([], [Removal(point.memory_id, None) for point in points[1:]])
    assert 1 == index.count(ALICE)
    assert [[points[0].memory_id]] == index.neighbours(ALICE, [along(0)], 5)
    index.close()
