"""The composition root: settings in, flows out. Opened once in each process that works.

An adapter is imported where the settings choose it: a process starts with what it uses.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from config.settings import Settings
from pipelines.adapters.postgres import (
    Database,
    PostgresInbox,
    PostgresMemoryStore,
    PostgresOutbox,
    PostgresReplies,
    PostgresWorkTable,
    check_embedder,
)
from pipelines.flows.consolidate import Consolidate
from pipelines.flows.distill import Distill
from pipelines.flows.ingest import Ingest
from pipelines.flows.project import Project
from pipelines.flows.recall import Recall
from pipelines.flows.sweep import Sweep
from workers.payloads import SystemClock
from workers.retry import judge
from workers.waker import CeleryWaker

if TYPE_CHECKING:
    from celery import Celery
    from openai import OpenAI
    from pydantic import SecretStr

    from config.policy import Policies
    from pipelines.ports import Distiller, Embedder, TokenCounter, VectorIndex


@dataclass(frozen=True, slots=True)
class Container:
    """Everything a process needs to work, connected."""

    settings: Settings
    policies: Policies
    database: Database
    index: VectorIndex
    inbox: PostgresInbox
    store: PostgresMemoryStore
    ingest: Ingest
    distill: Distill
    consolidate: Consolidate
    project: Project
    recall: Recall
    sweep: Sweep

    def close(self) -> None:
        """Give back files and connections."""
        self.index.close()
        self.database.close()


def open_container(settings: Settings, app: Celery) -> Container:
    """Connect everything and check that it fits together.

    Raises:
        ConfigurationError: A setting is missing, or contradicts what is stored.
        DependencyUnavailable: A server does not answer.
    """
    policies = settings.policies()
    database = Database(settings.database_url.get_secret_value(), pool_size=settings.database_pool)
    embedder, tokens = _make_embedder(settings, policies)
    check_embedder(database, embedder)
    index = make_index(settings, embedder)
    index.prepare()
    return _compose(
        settings=settings,
        policies=policies,
        database=database,
        index=index,
        embedder=embedder,
        tokens=tokens,
        app=app,
    )


def _compose(
    *,
    settings: Settings,
    policies: Policies,
    database: Database,
    index: VectorIndex,
    embedder: Embedder,
    tokens: TokenCounter,
    app: Celery,
) -> Container:
    clock, waker = SystemClock(), CeleryWaker(app)
    inbox, store = PostgresInbox(database), PostgresMemoryStore(database)
    return Container(
        settings=settings,
        policies=policies,
        database=database,
        index=index,
        inbox=inbox,
        store=store,
        ingest=Ingest(inbox, waker, clock),
        distill=Distill(
            inbox,
            _make_distiller(settings, policies, database),
            waker,
            clock,
            lease=policies.lease.distill,
            max_attempts=policies.retry.max_attempts,
            judge=partial(judge, policy=policies.retry),
        ),
        consolidate=Consolidate(
            store, index, embedder, waker, clock, policies, retry_delay=policies.retry.base
        ),
        project=Project(PostgresOutbox(database), index),
        recall=Recall(store, index, embedder, tokens, clock, policies.rank),
        sweep=Sweep(PostgresWorkTable(database), waker, clock),
    )


def _make_embedder(settings: Settings, policies: Policies) -> tuple[Embedder, TokenCounter]:
    if settings.embedder == "minilm":
        from pipelines.adapters.minilm import MiniLmEmbedder

        minilm = MiniLmEmbedder(threads=settings.embed_threads)
        return minilm, minilm
    from pipelines.adapters.openai_embedder import CharacterTokenCounter, OpenAiEmbedder

    base_url = settings.embed_base_url or settings.model_base_url
    client = _make_client(base_url, settings.embed_api_key or settings.model_api_key, settings)
    embedder = OpenAiEmbedder(
        client,
        settings.embed_model,
        settings.embed_size,
        policies.retry,
        budget_seconds=settings.model_timeout_seconds,
    )
    return embedder, CharacterTokenCounter()


def _make_distiller(settings: Settings, policies: Policies, database: Database) -> Distiller:
    if settings.distiller == "offline":
        from pipelines.adapters.offline_distiller import OfflineDistiller

        return OfflineDistiller()
    from pipelines.adapters.model_distiller import ModelDistiller
    from pipelines.adapters.openai_chat import OpenAiChatModel

    client = _make_client(settings.model_base_url, settings.model_api_key, settings)
    chat = OpenAiChatModel(
        client,
        settings.model_name,
        policies.retry,
        budget_seconds=settings.model_timeout_seconds,
    )
    return ModelDistiller(chat, PostgresReplies(database), policies.distill)


def _make_client(base_url: str | None, key: SecretStr | None, settings: Settings) -> OpenAI:
    from pipelines.adapters.openai_client import make_openai_client

    return make_openai_client(
        base_url, key.get_secret_value() if key else None, settings.model_timeout_seconds
    )


def make_index(settings: Settings, embedder: Embedder) -> VectorIndex:
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


_lock = threading.Lock()
_opened: Container | None = None


def current_container() -> Container:
    """This process's container, opened by its first task: always after the pool has forked."""
    global _opened  # noqa: PLW0603 - one per process is the point
    with _lock:
        if _opened is None:
            from workers.app import app

            _opened = open_container(Settings(), app)
        return _opened


def close_container() -> None:
    """Close this process's container, if it ever opened one."""
    global _opened  # noqa: PLW0603
    with _lock:
        if _opened is not None:
            _opened.close()
            _opened = None
