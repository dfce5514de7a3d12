"""Bring a database to the newest schema; safe to call from many processes at once."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from pipelines.adapters.postgres.database import Database

# Any fixed number: whoever migrates this database takes the same lock.
LOCK = 7_262_645_455


def migrate(url: str) -> None:
    """Run every migration that the database does not have yet.

    Raises:
        StoreUnavailable: The server does not answer.
    """
    database = Database(url, pool_size=1)
    config = Config()
    # The parser of the configuration reads a percent sign as the start of a name.
    folder = str(Path(__file__).parent / "migrations").replace("%", "%%")
    config.set_main_option("script_location", folder)
    try:
        with database.transaction() as connection:
            # A migration may take long, and so may waiting for the one before it.
            connection.execute(text("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        database.close()
