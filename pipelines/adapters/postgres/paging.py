"""Pages of a list that begins with the newest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, exists, or_, true

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import ColumnElement, Table


def is_behind(table: Table, time: str, after: UUID | None) -> ColumnElement[bool]:
    """Whether a row comes behind another one of its tenant, in falling order of a time.

    Rows of one time are in the order of their ids. Behind a row that is not there comes nothing.

    Args:
        table: With ``id`` and ``tenant_id``.
        time: Name of the column by which it is ordered.
        after: The last row of the page before; None for the first page.
    """
    if after is None:
        return true()
    last = table.alias()
    is_older = or_(
        table.c[time] < last.c[time],
        and_(table.c[time] == last.c[time], table.c.id > last.c.id),
    )
    is_theirs = last.c.tenant_id == table.c.tenant_id if "tenant_id" in table.c else true()
    return exists().where(last.c.id == after, is_theirs, is_older)
