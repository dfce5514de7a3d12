"""Which schema this release knows, and whether the database has one that it can work on.

Revisions are numbered, each in a file of ``migrations/versions`` that begins with its number. One
that says ``kind = "contract"`` takes something away that older releases still use; every other
one only adds, so that those go on working beside it.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.tables import installation
from pipelines.errors import ConfigurationError, StoreRefused
from pipelines.formats import SCHEMA_MARK

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pipelines.adapters.postgres.database import Database

FOLDER = Path(__file__).parent / "migrations"
# Everything up to here was made before the first release: no worker ever ran beside it.
BASELINE = "0014"

_CONTRACT = re.compile(r'^kind = "contract"$', re.MULTILINE)
_REMEDY = "run `memstill migrate`"


@cache
def known_revisions() -> dict[str, bool]:
    """Every revision of this release in order, and whether it is one that contracts."""
    files = sorted((FOLDER / "versions").glob("[0-9]*.py"))
    return {
        file.name.partition("_")[0]: bool(_CONTRACT.search(file.read_text(encoding="utf-8")))
        for file in files
    }


def check_schema(database: Database) -> None:
    """Make sure that this release can work on the schema as it is.

    A schema that has grown beyond it serves it too, until a revision of a newer release has
    taken something away.

    Raises:
        ConfigurationError: It is too old, or has gone too far; the message says what to do.
    """
    try:
        with database.transaction() as connection:
            heads = set(connection.scalars(text("SELECT version_num FROM alembic_version")))
            oldest = read_mark(connection)
    except StoreRefused as error:
        raise ConfigurationError(
            f"the database has no schema of memstill yet ({error}): {_REMEDY} first"
        ) from None
    compare_schema(heads, oldest)


def note_contract(connection: Connection, revision: str) -> None:
    """Record that releases which do not know this revision cannot work here any more."""
    statement = upsert(installation)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[installation.c.name], set_={"value": statement.excluded.value}
        ),
        {"name": SCHEMA_MARK.name, "value": mark_value(revision)},
    )


def read_mark(connection: Connection) -> str:
    """The newest revision that every release has to know to work here; empty if any may."""
    value: dict[str, Any] | None = connection.scalar(
        select(installation.c.value).where(installation.c.name == SCHEMA_MARK.name)
    )
    return "" if value is None else read_mark_value(value)


def mark_value(revision: str) -> dict[str, Any]:
    """What is stored of the newest revision that contracts."""
    return {"schema_version": SCHEMA_MARK.version, "oldest": revision}


def read_mark_value(value: dict[str, Any]) -> str:
    """The revision in what is stored.

    Raises:
        NewerFormat: It is of a newer release.
    """
    SCHEMA_MARK.check(value["schema_version"])
    oldest: str = value["oldest"]
    return oldest


def compare_schema(heads: set[str], oldest: str) -> None:
    """Whether this release works on a schema.

    Args:
        heads: Its newest revisions.
        oldest: As ``read_mark`` found it.

    Raises:
        ConfigurationError: It does not.
    """
    known = known_revisions()
    newest = max(known)
    needed = max(revision for revision, contracts in known.items() if not contracts)
    # A release adds all that it adds before it takes anything away, each in order.
    reached = max((head for head in heads if not known.get(head, False)), default="")
    if reached < needed:
        raise ConfigurationError(
            f"the schema of the database is at revision {reached or 'none'}, and this release "
            f"needs {needed}: {_REMEDY}"
        )
    if newest < oldest:
        raise ConfigurationError(
            f"revision {oldest} took out of the database what this release, which ends with "
            f"{newest}, still uses: start a newer release of memstill"
        )
