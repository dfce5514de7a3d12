"""Alembic runs inside the transaction that ``migrate`` opened."""

from alembic import context

from pipelines.adapters.postgres.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=False,
)
context.run_migrations()
