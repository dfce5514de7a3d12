"""Conditions on many keys or owners at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ARRAY, UUID, and_, any_, false, literal, or_

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement, Table

    from pipelines.model import Owner


def is_among(column: ColumnElement[Any], keys: Collection[Any]) -> ColumnElement[bool]:
    """Whether a key is one of these, of which there may be any number.

    They are one parameter together: ``IN`` takes one for each, and a statement has 65,535 at most.
    """
    return column == any_(literal(list(keys), ARRAY(UUID)))


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
