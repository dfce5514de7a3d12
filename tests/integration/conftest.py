"""Worlds for integration tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.generations import World, open_world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(database_url: str, redis_url: str, key_prefix: str, tmp_path: Path) -> Iterator[World]:
    """Users whose sessions can be distilled again with the prompt ``v2``."""
    with open_world(database_url, redis_url, key_prefix, tmp_path) as opened:
        yield opened
