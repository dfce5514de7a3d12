"""Conditions on many keys at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ARRAY, UUID, any_, literal

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement


def is_among(column: ColumnElement[Any], keys: Collection[Any]) -> ColumnElement[bool]:
    """Whether a key is one of these, of which there may be any number.

    They are one parameter together: ``IN`` takes one for each, and a statement has 65,535 at most.
    """
    return column == any_(literal(list(keys), ARRAY(UUID)))
