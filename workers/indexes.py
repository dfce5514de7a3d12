"""The index that the settings choose; an adapter is imported where it is chosen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.adapters.postgres import Database

if TYPE_CHECKING:
    from config.settings import Settings
    from pipelines.ports import Embedder, RebuildableIndex


def make_index(settings: Settings, embedder: Embedder) -> RebuildableIndex:
    """The index that ``MEMSTILL_INDEX_URL`` names."""
    url, model, size = settings.index_url, embedder.model, embedder.size
    if url == "pgvector":
        from pipelines.adapters.pgvector import PgvectorIndex

        # Connections of its own: whoever projects holds one of the store's meanwhile.
        own = Database(settings.database_url.get_secret_value(), pool_size=settings.database_pool)
        return PgvectorIndex(own.engine, settings.key_prefix, model, size)
    if url.startswith("edge:"):
        from pipelines.adapters.qdrant_edge import EdgeIndex

        return EdgeIndex(Path(url.removeprefix("edge:")), model, size)
    from qdrant_client import QdrantClient

    from pipelines.adapters.qdrant_server import QdrantServerIndex

    key = settings.index_api_key
    client = QdrantClient(url=url, api_key=key.get_secret_value() if key else None, timeout=10)
    return QdrantServerIndex(client, settings.key_prefix, model, size)
