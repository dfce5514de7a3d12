"""Conditions on many keys or owners at once, and on names that indexes know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ARRAY, UUID, and_, any_, false, func, literal, literal_column, or_

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement, CompoundSelect, Select, Table

    from pipelines.model import Owner


def is_among(column: ColumnElement[Any], keys: Collection[Any]) -> ColumnElement[bool]:
    """Whether a key is one of these, of which there may be any number.

    They are one parameter together: ``IN`` takes one for each, and a statement has 65,535 at most.
    """
    return column == any_(literal(list(keys), ARRAY(UUID)))


def is_found(
    column: ColumnElement[Any], keys: Select[Any] | CompoundSelect[Any]
) -> ColumnElement[bool]:
    """Whether a key is one of those that a query finds.

    The query is done first and each key looked up, always: where it is ``IN``, a plan that was
    made while the tables were nearly empty joins all rows, for as long as it is kept.
    """
    return column == any_(func.array(keys.scalar_subquery(), type_=ARRAY(column.type)))


def is_named(column: ColumnElement[str], *names: str) -> ColumnElement[bool]:
    """Whether a column has one of these values, spelled out as a partial index does it.

    A prepared plan does not know what a parameter will be, and leaves such an index aside.
    """
    return column.in_([literal_column(f"'{name}'") for name in names])


def is_any(table: Table, whose: Collection[Owner]) -> ColumnElement[bool]:
    """Whether a row is one of these owners'."""
    if not whose:
        return false()
    return or_(
        *(
            and_(table.c.tenant_id == owner.tenant_id, table.c.user_id == owner.user_id)
            for owner in whose
        )
    )
