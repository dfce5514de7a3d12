"""What PostgreSQL's own words mean for whoever waits."""

from __future__ import annotations

import pytest

from pipelines.adapters.postgres import Database
from pipelines.errors import StoreUnavailable


def test_database_that_only_reads_is_away_when_it_is_written_to(database_url: str) -> None:
    """A standby after a failover refuses no value: what was to be written waits for a primary."""
    database = Database(database_url)
    try:
        with pytest.raises(StoreUnavailable):
            _write_where_it_only_reads(database)
    finally:
        database.close()


def _write_where_it_only_reads(database: Database) -> None:
    with database.transaction() as connection:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        connection.exec_driver_sql("DELETE FROM transcripts")
