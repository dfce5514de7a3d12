"""Whose a row is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from pipelines.model import Owner


def is_of(table: Any, owner: Owner) -> ColumnElement[bool]:  # noqa: ANN401 - or an alias of one
    """Whether a row is this owner's."""
    return and_(table.c.tenant_id == owner.tenant_id, table.c.user_id == owner.user_id)
