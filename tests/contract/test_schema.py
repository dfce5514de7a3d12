"""The migrations make the schema that the code reads and writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from pipelines.adapters.postgres.tables import metadata

if TYPE_CHECKING:
    from sqlalchemy import Engine


def test_migrated_database_has_the_tables_of_the_code(engine: Engine) -> None:
    """No table, column, index or constraint is missing, left over, or of another type."""
    with engine.begin() as connection:
        names = set(metadata.tables)
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "include_name": lambda name, kind, _: kind != "table" or name in names,
            },
        )
        differences = compare_metadata(context, metadata)

    assert [] == differences
