"""Pages of a list: how long one may be, and where the next one begins.

Everywhere the same: ``limit`` items behind ``after``, and ``next`` is the ``after`` of the
following page, or null where there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Protocol

from fastapi import Query

from workers.callers import read_id

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_PAGE = 1_000

After = Annotated[str | None, Query(description="The `next` of the page before.")]
PageSize = Annotated[int, Query(ge=1, le=MAX_PAGE)]


class Identified(Protocol):
    """What can be on a page."""

    @property
    def id(self) -> object:
        """By which it is found again."""
        ...


def read_after(after: str | None) -> Any:  # noqa: ANN401 - any NewType of UUID
    """Behind which id a page begins; None for the first page.

    Raises:
        InputError: It is no UUID.
    """
    return None if after is None else read_id(after, "after")


def next_of(page: Sequence[Identified], limit: int) -> str | None:
    """Where the following page begins, if this one is full."""
    return str(page[-1].id) if len(page) == limit else None
