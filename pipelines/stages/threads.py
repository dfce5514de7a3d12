"""Which checkpoints of a LangGraph thread are no longer needed by anything that stays."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

ROOT = ""
"""The namespace of the graph itself; those of its subgraphs have names."""
CALL_MARK = ":"
"""Before the task's id, in the namespace of one call of a subgraph."""


@dataclass(frozen=True, slots=True)
class Position:
    """One checkpoint, as far as it matters for what may go.

    Attributes:
        saved_at: Aware; None where it cannot be read, which counts as just now.
        root_id: The graph's checkpoint from which a subgraph was called.
        needs_parent: A part of its state is read from its parent: the writes since a snapshot of
            a delta channel, or what an old release sent to tasks.
    """

    id: str
    parent_id: str | None
    saved_at: datetime | None
    root_id: str | None = None
    needs_parent: bool = False


def select_superseded(
    thread: Mapping[str, Sequence[Position]], keep: int, cutoff: datetime, limit: int | None = None
) -> dict[str, list[str]]:
    """The ids that may go, by namespace; what a portion leaves is whole in itself.

    Of each namespace the newest ``keep`` that were there at the cutoff stay, all that are newer,
    and the ancestors without which one of them could not be read. One call of a subgraph goes
    with the checkpoint that it was called from. Children go before their parents and calls before
    their callers, so that after any portion each checkpoint that is left can still be read.

    Args:
        thread: Newest first in each namespace.
        keep: At least one.
        cutoff: Aware; younger checkpoints do not count, and do not go.
        limit: At most so many ids.
    """
    roots = _select(thread.get(ROOT, ()), keep, cutoff)
    ended = set(roots)
    calls = {name for name, line in thread.items() if _is_ended(name, line, ended, cutoff)}
    whole = ((name, item.id) for name in sorted(calls) for item in thread[name])
    states = (
        (name, checkpoint_id)
        for name, line in thread.items()
        if name != ROOT and name not in calls
        for checkpoint_id in _select(line, keep, cutoff)
    )
    picked: dict[str, list[str]] = {}
    for name, checkpoint_id in islice(chain(whole, states, ((ROOT, i) for i in roots)), limit):
        picked.setdefault(name, []).append(checkpoint_id)
    return picked


def _is_ended(name: str, line: Sequence[Position], ended: set[str], cutoff: datetime) -> bool:
    if CALL_MARK not in name or not line or line[0].root_id not in ended:
        return False
    return all(_is_settled(item, cutoff) for item in line)


def _select(line: Sequence[Position], keep: int, cutoff: datetime) -> list[str]:
    settled = [item for item in line if _is_settled(item, cutoff)]
    spare = {item.id for item in settled[keep:]}
    needed = set(_ancestors(line, spare))
    return [item.id for item in line if item.id in spare and item.id not in needed]


def _ancestors(line: Sequence[Position], spare: set[str]) -> Iterator[str]:
    """Those that one which stays is read from, and what these are read from in turn."""
    known = {item.id: item for item in line}
    seen: set[str] = set()
    waiting = [item for item in line if item.id not in spare]
    while waiting:
        item = waiting.pop()
        parent = known.get(item.parent_id or "") if item.needs_parent else None
        if parent is not None and parent.id not in seen:
            seen.add(parent.id)
            waiting.append(parent)
            yield parent.id


def _is_settled(item: Position, cutoff: datetime) -> bool:
    return item.saved_at is not None and item.saved_at <= cutoff
