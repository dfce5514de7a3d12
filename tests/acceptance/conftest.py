"""Deployments for acceptance tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.deployment import Deployment
from tests.endpoint import ScriptedEndpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def endpoint() -> Iterator[ScriptedEndpoint]:
    """A scripted model endpoint."""
    with ScriptedEndpoint() as served:
        yield served


@pytest.fixture
def deployment(
    database_url: str, redis_url: str, key_prefix: str, tmp_path: Path
) -> Iterator[Deployment]:
    """Offline distiller, pgvector, delays short enough for a test."""
    env = {
        "MEMSTILL_DATABASE_URL": database_url,
        "MEMSTILL_REDIS_URL": redis_url,
        "MEMSTILL_KEY_PREFIX": key_prefix,
        "MEMSTILL_INDEX_URL": "pgvector",
        "MEMSTILL_SCHEDULE": '{"sweep": 0.5}',
        "MEMSTILL_RETRY_BASE_SECONDS": "0.2",
        "MEMSTILL_PROBE_SECONDS": "0.2",
        "MEMSTILL_DATABASE_POOL": "6",
        "MEMSTILL_CONSOLIDATE_LEASE_SECONDS": "3",
    }
    made = Deployment(env, tmp_path)
    yield made
    made.close()


@pytest.fixture
def modelled(deployment: Deployment, endpoint: ScriptedEndpoint) -> Deployment:
    """The same with chat model and embeddings behind the scripted endpoint."""
    deployment.env |= {
        "MEMSTILL_DISTILLER": "model",
        "MEMSTILL_MODEL_BASE_URL": endpoint.base_url,
        "MEMSTILL_MODEL_API_KEY": "test-key",
        "MEMSTILL_MODEL_TIMEOUT_SECONDS": "1.5",
        "MEMSTILL_EMBEDDER": "remote",
        "MEMSTILL_EMBED_SIZE": "64",
        "MEMSTILL_MAX_ATTEMPTS": "3",
    }
    return deployment
