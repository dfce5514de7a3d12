"""Comparing: the rows of memories with the points of an index, in the order of their ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.ports import Difference

if TYPE_CHECKING:
    from pipelines.model import MemoryId, Owner
    from pipelines.ports import Expected, IndexedPoint, IndexTruth, VectorIndex


@dataclass(frozen=True, slots=True)
class Found:
    """A difference.

    Attributes:
        owner: The row's; the point's where there is no row.
        version: The row's; None where there is none.
    """

    kind: Difference
    memory_id: MemoryId
    owner: Owner
    version: int | None


@dataclass(frozen=True, slots=True)
class Page:
    """What a part of the ids shows.

    Attributes:
        compared: Rows in it.
        end: Its last id; None where nothing lies behind it.
    """

    found: tuple[Found, ...]
    compared: int
    end: MemoryId | None


def compare_page(truth: IndexTruth, index: VectorIndex, after: MemoryId | None, limit: int) -> Page:
    """Compare what lies behind ``after``, at most so many rows and points.

    Rows first: what changes in between is newer in the index, or waits, and both are told apart
    by a second look.
    """
    rows, points = truth.list_expected(after, limit), index.scan(after, limit)
    ends = [part[-1].memory_id for part in (rows, points) if len(part) == limit]
    end = min(ends, default=None)
    expected = {row.memory_id: row for row in rows if end is None or row.memory_id <= end}
    present = {point.memory_id: point for point in points if end is None or point.memory_id <= end}
    differences = (
        _compare(expected.get(key), present.get(key))
        for key in sorted(expected.keys() | present.keys())
    )
    return Page(tuple(item for item in differences if item), len(expected), end)


def _compare(row: Expected | None, point: IndexedPoint | None) -> Found | None:
    kind = _judge(row, point)
    known = row or point
    if kind is None or known is None:
        return None
    return Found(kind, known.memory_id, known.owner, row.version if row else None)


def _judge(row: Expected | None, point: IndexedPoint | None) -> Difference | None:
    if point is None:
        return Difference.MISSING if row is not None and row.is_indexed else None
    if row is None:
        return Difference.ORPHANED
    if point.version > row.version:
        return Difference.AHEAD
    if not row.is_indexed:
        return Difference.ORPHANED
    if point.owner != row.owner:
        return Difference.FOREIGN
    is_same = (point.version, point.state, point.scope) == (row.version, row.state, row.scope)
    return None if is_same else Difference.STALE
