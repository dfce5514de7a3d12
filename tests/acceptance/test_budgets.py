"""Budgets with real workers: what has no room waits visibly, goes on by itself, and all ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from memstill_client import Memstill
from pipelines.adapters.postgres import PostgresInbox
from pipelines.model import ReceiptId, TranscriptState
from tests.acceptance.deployment import wait_until

if TYPE_CHECKING:
    from memstill_client import Receipt
    from pipelines.ports import Status
    from tests.acceptance.deployment import Deployment
    from tests.endpoint import ScriptedEndpoint

USERS = 4


def budgets(tokens: int) -> str:
    return json.dumps({"tenants": {"poor": {"tenant_day": {"hard": {"tokens": tokens}}}}})


def push(deployment: Deployment, tenant_id: str) -> list[Receipt]:
    """One short session of each of some users."""
    client = Memstill(
        api_url="http://127.0.0.1:9",
        redis_url=deployment.env["MEMSTILL_REDIS_URL"],
        key_prefix=deployment.env["MEMSTILL_KEY_PREFIX"],
        tenant_id=tenant_id,
    )
    with client:
        return [client.enqueue(session(f"user-{number}", number)) for number in range(USERS)]


def session(user: str, number: int) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "user_id": user,
        "session_id": f"s-{number}",
        "started_at": "2026-03-02T09:00:00Z",
        "messages": [{"role": "user", "content": f"I have {number} cats."}],
    }


def states(deployment: Deployment, tenant_id: str, receipts: list[Receipt]) -> dict[str, int]:
    ids = [ReceiptId(receipt.id) for receipt in receipts]
    return PostgresInbox(deployment.database).states(tenant_id, ids)


def status(deployment: Deployment, tenant_id: str, receipt: Receipt) -> Status:
    return PostgresInbox(deployment.database).status(tenant_id, ReceiptId(receipt.id))


def calls_with(endpoint: ScriptedEndpoint, text: str) -> int:
    return sum(text in json.dumps(call.body) for call in endpoint.chat_calls)


def test_tenant_out_of_budget_waits_and_goes_on_when_it_is_raised(
    modelled: Deployment, endpoint: ScriptedEndpoint
) -> None:
    """Its sessions are parked with the reason, another tenant's pass, and in the end all do."""
    modelled.env |= {
        "MEMSTILL_BUDGETS": budgets(100),
        "MEMSTILL_BUDGET_RECHECK_SECONDS": "1",
        "MEMSTILL_DISTILL_LEASE_SECONDS": "3",
        "MEMSTILL_PRICES": '{"scripted-model": {"prompt": 1, "completion": 2}}',
    }
    modelled.start_beat()
    worker = modelled.start_worker()
    poor, rich = push(modelled, "poor"), push(modelled, "rich")

    wait_until(lambda: states(modelled, "rich", rich) == {"done": USERS}, "the rich are done")
    wait_until(lambda: states(modelled, "poor", poor) == {"parked": USERS}, "the poor are parked")
    waiting = status(modelled, "poor", poor[0])
    assert TranscriptState.PARKED is waiting.state
    assert "no room in the tenant's budget of" in str(waiting.reason)
    assert waiting.due_at is not None
    asked = len(endpoint.chat_calls)
    # Looked at again for more than the three attempts that there are, and never called for.
    wait_until(
        lambda: (
            modelled.query("SELECT sum(fence) > 8 FROM transcripts WHERE tenant_id = 'poor'")
            == [(True,)]
        ),
        "they were looked at again and again",
    )
    assert asked == len(endpoint.chat_calls)

    modelled.kill(worker)
    modelled.env |= {"MEMSTILL_BUDGETS": budgets(1_000_000)}
    modelled.start_worker()
    wait_until(lambda: states(modelled, "poor", poor) == {"done": USERS}, "the poor are done")

    for receipt in poor:
        ended = status(modelled, "poor", receipt)
        assert (TranscriptState.DONE, {"inserted": 1}, None) == (
            ended.state,
            ended.counts,
            ended.reason,
        )
    assert [2] * USERS == [calls_with(endpoint, f"I have {n} cats") for n in range(USERS)]
    booked = modelled.query(
        "SELECT tenant_id, sum(calls), sum(prompt_tokens), sum(micros), sum(unpriced_calls) "
        "FROM ledger GROUP BY 1 ORDER BY 1"
    )
    assert [
        ("poor", USERS, USERS * 11, USERS * 25, 0),
        ("rich", USERS, USERS * 11, USERS * 25, 0),
    ] == booked
    assert [(0,)] == modelled.query("SELECT count(*) FROM holds")


def test_budget_in_money_is_refused_when_the_model_has_no_price(modelled: Deployment) -> None:
    """A limit that could not be kept is no limit: the worker says so and does not start."""
    limit = {"default": {"tenant_day": {"hard": {"money": 5}}}}
    modelled.env |= {"MEMSTILL_BUDGETS": json.dumps(limit)}
    worker = modelled.start_worker()
    wait_until(lambda: worker.poll() is not None, "the worker has ended")

    assert 0 != worker.returncode
    (log,) = modelled.logs.glob("worker-*.log")
    assert "MEMSTILL_PRICES: has no price of gpt-4o-mini" in log.read_text()
