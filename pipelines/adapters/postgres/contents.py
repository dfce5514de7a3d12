"""What tables hold: counted and hashed row by row, from a database or from a dump's script.

Both give a row as the same line of text (COPY's), and in whatever order: so each line is hashed by
itself, and the hashes are added up.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from psycopg import sql

from pipelines.ports import TableContent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from psycopg import Connection

_MODULUS = 1 << 256
_COPY = re.compile(rb'COPY (?:.+\.)?"?(\w+)"? \(.*\) FROM stdin;\n')
_END = b"\\.\n"
# Settings of psql's own session, comments, and what only psql understands.
_NOT_SAID = (b"SET ", b"SELECT pg_catalog.set_config('search_path'", b"--", b"\\")


class Tally:
    """Counts and hashes the rows of a table."""

    def __init__(self) -> None:
        self._rows = 0
        self._sum = 0

    def add(self, row: bytes) -> None:
        """Take in a line as COPY writes it, with its end."""
        self._rows += 1
        self._sum = (self._sum + int.from_bytes(sha256(row).digest())) % _MODULUS

    def content(self) -> TableContent:
        """Of all that was taken in."""
        return TableContent(self._rows, f"{self._sum:064x}")


@dataclass(frozen=True, slots=True)
class ScriptPart:
    """Statements, or one COPY.

    Attributes:
        statement: Without rows, any number of statements.
        table: None where they are statements.
        rows: Of a COPY; have to be read before the next part is.
    """

    statement: bytes
    table: str | None
    rows: Iterator[bytes]


def read_contents(connection: Connection, tables: Iterable[str]) -> dict[str, TableContent]:
    """Read every row of these tables, in the transaction that is open."""
    found = {}
    for table in tables:
        tally = Tally()
        copied = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))
        with connection.cursor() as cursor, cursor.copy(copied) as rows:
            for row in rows:
                tally.add(bytes(row))
        found[table] = tally.content()
    return found


def tally_script(lines: Iterator[bytes]) -> dict[str, TableContent]:
    """What the script of a dump would load."""
    found: dict[str, Tally] = defaultdict(Tally)
    for part in split_script(lines):
        if part.table is not None:
            tally = found[part.table]
            for row in part.rows:
                tally.add(row)
    return {table: tally.content() for table, tally in found.items()}


def split_script(lines: Iterator[bytes]) -> Iterator[ScriptPart]:
    """The parts of a script that pg_restore wrote, for whoever speaks to the server without psql.

    Names in it are qualified, so nothing of the session's settings is needed.
    """
    said: list[bytes] = []
    for line in lines:
        copy = _COPY.fullmatch(line)
        if copy is None:
            if not line.startswith(_NOT_SAID):
                said.append(line)
            continue
        yield _statements(said)
        said = []
        yield ScriptPart(line, copy[1].decode(), _rows(lines))
    yield _statements(said)


def _statements(said: list[bytes]) -> ScriptPart:
    return ScriptPart(b"".join(said), None, iter(()))


def _rows(lines: Iterator[bytes]) -> Iterator[bytes]:
    for line in lines:
        if line == _END:
            return
        yield line
