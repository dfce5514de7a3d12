"""Any number of rows in one statement: they travel together, as one document of JSON.

A statement for each row has the server begin anew with each, and the driver turn each value into
a parameter. One list of ``VALUES`` would be another statement for each number of rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import JSON, Text, bindparam, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Table
    from sqlalchemy.dialects.postgresql import Insert


def insert_rows(table: Table, *columns: str) -> Insert:
    """What inserts these columns of the rows that it is given by ``as_document``, in their order.

    A column that a row does not name is NULL there: what the table has defaults for is left out
    here.
    """
    given = func.json_populate_recordset(
        literal_column(f"CAST(NULL AS {table.name})"), cast(bindparam("rows", type_=Text), JSON)
    ).table_valued(*(table.c[name] for name in columns), name="given")
    return insert(table).from_select(columns, select(*(given.c[name] for name in columns)))


def as_document(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The parameters of such a statement: rows with plain values, times, ids and bytes."""
    return {"rows": orjson.dumps(rows, default=_hexadecimal).decode()}


def _hexadecimal(value: object) -> str:
    """Bytes as PostgreSQL reads them."""
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    raise TypeError(f"{type(value).__name__} is no value of a column")
