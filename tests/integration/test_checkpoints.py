"""Checkpoints over HTTP, with clients of both kinds, and on the command line."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from memstill_client import (
    AsyncMemstill,
    AsyncResumableTask,
    CheckpointConflict,
    DamagedCheckpoint,
    Memstill,
    NotFound,
    Refused,
    ResumableTask,
)
from pipelines.stages.keys import KeyScope
from tests.integration.serving import Served, serve
from workers.cli import app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memstill_client import Step

STATE = {"messages": [{"role": "user", "content": "ünïcode\x00 \U0001f600"}], "n": 1.0, "i": 1}


@pytest.fixture(scope="module")
def monkeymodule() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture
def served(database_url: str, redis_url: str, key_prefix: str) -> Iterator[Served]:
    """An API that asks for no key."""
    with serve(database_url, redis_url, key_prefix, "off") as opened:
        yield opened


@pytest.fixture
def memstill(served: Served) -> Iterator[Memstill]:
    with Memstill(api_url=served.url, redis_url="", tenant_id="acme") as client:
        yield client


def test_smoke(served: Served, memstill: Memstill) -> None:
    """It works."""
    first = memstill.checkpoints.save("alice", "t", STATE, node="a", metadata={"x": 1.0})
    print(first)
    again = memstill.checkpoints.load("alice", "t")
    assert STATE == again.state
    second = memstill.checkpoints.save("alice", "t", STATE | {"more": [1]}, parent=first.id)
    print(second)
    with pytest.raises(CheckpointConflict) as caught:
        memstill.checkpoints.save("alice", "t", STATE, parent=first.id)
    assert second.id == caught.value.newest
    print(list(memstill.checkpoints.history("alice", "t")), list(memstill.checkpoints.threads()))
    print(memstill.checkpoints.fork("alice", "t", "t2"))
    print(memstill.checkpoints.clean(dry_run=True))
    done = CliRunner().invoke(app, ["checkpoints", "list", "--api", served.url, "--tenant", "acme"])
    print(done.output, done.exception)
