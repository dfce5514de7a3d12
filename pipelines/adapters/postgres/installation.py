"""What this installation was set up with, checked whenever a process starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.tables import installation
from pipelines.errors import ConfigurationError, EmbeddingMismatch, StoreRefused

if TYPE_CHECKING:
    from pipelines.adapters.postgres.database import Database
    from pipelines.ports import Embedder

# What a restore that is not finished yet is called here.
RESTORE = "restore"


def check_restored(database: Database) -> None:
    """Make sure that no restore into the database was left half done.

    Raises:
        ConfigurationError: One was; what was erased since the backup may be there again.
    """
    statement = select(installation.c.name).where(installation.c.name == RESTORE)
    with database.transaction() as connection:
        if connection.execute(statement).scalar_one_or_none() is not None:
            raise ConfigurationError(
                "a restore into this database is under way or was not finished: let it end, or "
                "run `memstill restore` again"
            )


def check_embedder(database: Database, embedder: Embedder) -> None:
    """Record the embedding model at the first start, and refuse another one afterwards.

    Raises:
        EmbeddingMismatch: The memories were embedded by another model.
        ConfigurationError: The database has no schema yet.
    """
    wanted = {"model": embedder.model, "size": embedder.size}
    try:
        found = _record_or_read(database, wanted)
    except StoreRefused as error:
        raise ConfigurationError(
            f"the database has no schema of memstill yet ({error}): run `memstill migrate` first"
        ) from None
    # A newer release may have noted more.
    if any(found[name] != value for name, value in wanted.items()):
        raise EmbeddingMismatch(
            f"the memories here were embedded by {found['model']} ({found['size']} dimensions), "
            f"but {wanted['model']} ({wanted['size']}) is configured: set MEMSTILL_EMBEDDER, "
            "MEMSTILL_EMBED_MODEL and MEMSTILL_EMBED_SIZE back, or start on an empty database"
        )


def _record_or_read(database: Database, wanted: dict[str, Any]) -> dict[str, Any]:
    with database.transaction() as connection:
        connection.execute(
            upsert(installation).on_conflict_do_nothing(), {"name": "embedding", "value": wanted}
        )
        found: dict[str, Any] = connection.execute(
            select(installation.c.value).where(installation.c.name == "embedding")
        ).scalar_one()
    return found
