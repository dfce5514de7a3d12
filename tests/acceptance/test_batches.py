"""Backfill with real workers: one batch instead of many calls, and never in anybody's way."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.adapters.postgres import PostgresInbox
from pipelines.model import ReceiptId
from tests.acceptance.deployment import wait_until

if TYPE_CHECKING:
    from memstill_client import Receipt
    from memstill_client.wire import LaneName
    from tests.acceptance.deployment import Deployment
    from tests.endpoint import FactDict, Line, ScriptedEndpoint

SESSIONS = 30
# 11 tokens at 1 and 7 at 2 for a million: 25 micro-units, half of it in a batch, rounded up.
LIVE, BATCHED = 25, 13


@pytest.fixture
def batching(modelled: Deployment) -> Deployment:
    """Looks at its batches twice a second, and needs all of the sessions for one."""
    modelled.env |= {
        "MEMSTILL_MODEL_BATCH": "on",
        "MEMSTILL_MODEL_BATCH_MIN": str(SESSIONS),
        "MEMSTILL_SCHEDULE": '{"sweep": 0.5, "batches": 0.5}',
        "MEMSTILL_BATCH_LEASE_SECONDS": "3",
        "MEMSTILL_PRICES": '{"scripted-model": {"prompt": 1, "completion": 2}}',
        "MEMSTILL_BUDGETS": '{"default": {"tenant_day": {"hard": {"tokens": 100000000}}}}',
    }
    return modelled


def push(
    deployment: Deployment, count: int, lane: LaneName = "backfill", name: str = "old"
) -> list[Receipt]:
    """One short session of each of some users."""
    with deployment.client() as client:
        return client.enqueue_many([session(f"{name}-{it}") for it in range(count)], lane=lane)


def session(user: str) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "user_id": user,
        "session_id": "s1",
        "started_at": "2026-03-02T09:00:00Z",
        "messages": [{"role": "user", "content": f"My cat is called {user}."}],
    }


def states(deployment: Deployment, receipts: list[Receipt]) -> dict[str, int]:
    ids = [ReceiptId(receipt.id) for receipt in receipts]
    return PostgresInbox(deployment.database).states("default", ids)


def wait_batched(deployment: Deployment, endpoint: ScriptedEndpoint) -> list[Receipt]:
    """All sessions, when they wait for a batch that the endpoint has."""
    receipts = push(deployment, SESSIONS)
    wait_until(lambda: bool(endpoint.batch_api.batches), "a batch is created")
    wait_until(lambda: is_running(deployment), "the batch is written down as running")
    assert {"batched": SESSIONS} == states(deployment, receipts)
    return receipts


def is_running(deployment: Deployment) -> bool:
    return deployment.query("SELECT state FROM batches") == [("running",)]


def wait_done(deployment: Deployment, receipts: list[Receipt]) -> None:
    wait_until(
        lambda: states(deployment, receipts) == {"done": len(receipts)}, "all sessions are done"
    )
    for number in range(len(receipts)):
        said = [memory.statement for memory in deployment.memories(f"old-{number}")]
        assert [f"My cat is called old-{number}."] == said


def booked(deployment: Deployment) -> list[tuple[int, int]]:
    """All calls and their money; nothing is set aside any more."""
    assert [(0,)] == deployment.query("SELECT count(*) FROM holds")
    (row,) = deployment.query("SELECT sum(calls)::int, sum(micros)::int FROM ledger")
    return [tuple(row)]


def test_backfill_is_distilled_by_one_batch(
    batching: Deployment, endpoint: ScriptedEndpoint
) -> None:
    """Without a single live call, each session paid once at the price of batches."""
    batching.start_beat()
    batching.start_worker()
    batching.start_worker()
    receipts = wait_batched(batching, endpoint)

    endpoint.batch_api.end()
    wait_done(batching, receipts)

    (batch,) = endpoint.batch_api.batches
    assert (SESSIONS, []) == (len(batch.lines), endpoint.chat_calls)
    assert [(SESSIONS, SESSIONS * BATCHED)] == booked(batching)
    assert [("ended", "completed")] == batching.query("SELECT state, outcome FROM batches")
    wait_until(lambda: not endpoint.batch_api.files, "the provider's files are deleted")


def test_batch_is_paid_once_when_the_worker_is_killed_while_it_is_created(
    batching: Deployment, endpoint: ScriptedEndpoint
) -> None:
    """The provider has it, and nobody heard: the next worker finds it there."""
    endpoint.batch_api.create_hangs_seconds = 60
    batching.env |= {"MEMSTILL_MODEL_TIMEOUT_SECONDS": "50"}
    batching.start_beat()
    doomed = batching.start_worker()
    receipts = push(batching, SESSIONS)
    wait_until(lambda: bool(endpoint.batch_api.batches), "a batch is created")
    assert [("preparing", None)] == batching.query("SELECT state, provider_id FROM batches")
    batching.kill(doomed)

    endpoint.batch_api.create_hangs_seconds = 0
    batching.start_worker()
    wait_until(lambda: is_running(batching), "the batch is found again")
    endpoint.batch_api.end()
    wait_done(batching, receipts)

    assert (1, []) == (len(endpoint.batch_api.batches), endpoint.chat_calls)
    assert [(SESSIONS, SESSIONS * BATCHED)] == booked(batching)


def test_interactive_sessions_overtake_a_backlog_of_backfill(
    modelled: Deployment, endpoint: ScriptedEndpoint
) -> None:
    """Whatever waits in the other lane is asked for when nothing waits in this one."""
    usual = endpoint._distil

    def think(lines: list[Line]) -> list[FactDict]:
        time.sleep(0.1)
        return usual(lines)

    endpoint._distil = think
    modelled.start_beat()
    modelled.start_worker()
    old = push(modelled, 120)
    wait_until(lambda: len(endpoint.chat_calls) > 20, "the backlog is worked on")
    live = push(modelled, 40, "interactive", "live")
    wait_until(lambda: states(modelled, live) == {"done": 40}, "the interactive ones are done")
    assert states(modelled, old).get("queued", 0) > 20
    wait_until(lambda: states(modelled, old) == {"done": 120}, "the backlog is done")

    said = ["live-" in str(call.body) for call in endpoint.chat_calls]
    first, last = said.index(True), len(said) - said[::-1].index(True)
    # The eight that were under way, and some that were begun while the others arrived.
    assert said[first:last].count(False) <= 16
    assert 160 == len(said)
