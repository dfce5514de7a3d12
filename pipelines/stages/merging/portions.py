"""Which facts are merged at one blow."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from pipelines.model import Fact


def cut(facts: Sequence[Fact], deaths: int) -> Iterator[Sequence[Fact]]:
    """All of them, as long as no worker died over it.

    After a death the portions begin with a single fact and double, so that a death says more and
    more exactly over which; after another the first fact goes alone.
    """
    if deaths > 1:
        facts = facts[:1]
    size = 1 if deaths else len(facts)
    while facts:
        yield facts[:size]
        facts = facts[size:]
        size *= 2


def session_end(fact: Fact) -> datetime:
    """When the latest of what it rests on was said."""
    return max(item.said_at for item in fact.evidence)
