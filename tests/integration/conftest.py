"""Worlds for integration tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conftest import copied_database
from tests.fuzzing.campaign import Campaign, Limits, open_campaign
from tests.integration.generations import World, open_world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workers.embedded.postgres import PostgresServer


@pytest.fixture
def world(database_url: str, redis_url: str, key_prefix: str, tmp_path: Path) -> Iterator[World]:
    """Users whose sessions can be distilled again with the prompt ``v2``."""
    with open_world(database_url, redis_url, key_prefix, tmp_path) as opened:
        yield opened


@pytest.fixture
def campaign(database_url: str, redis_url: str, key_prefix: str) -> Iterator[Campaign]:
    """A container with its API and its intake, for what nobody should send."""
    with open_campaign(database_url, redis_url, key_prefix, Limits(10.0, 10.0, 20.0)) as opened:
        yield opened


@pytest.fixture
def empty_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A database without a schema."""
    with copied_database(postgres_server, "template1") as url:
        yield url
