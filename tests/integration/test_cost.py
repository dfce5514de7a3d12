"""What model calls have cost, from the ledger to the terminal."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from config.settings import Settings
from config.spending import Budgets
from memstill_client import AsyncMemstill, Memstill
from pipelines.adapters.postgres import PostgresInbox, PostgresLedger, PostgresReplies
from pipelines.model import Owner, ReceiptId
from pipelines.ports import ChatReply, PaidFor, Purpose
from pipelines.testing.surroundings import ManualClock
from tests.acceptance.deployment import free_port, wait_until
from tests.builders import make_transcript
from workers.api import make_server
from workers.app import make_app
from workers.cli import app
from workers.container import Container, open_container
from workers.embedded.children import is_listening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALICE, BOB = Owner("acme", "alice"), Owner("acme", "bob")
NOW = datetime.now(UTC)
LATER = NOW + timedelta(minutes=5)
BUDGETS = {
    "default": {
        "tenant_day": {"soft": {"money": 0.0001}, "hard": {"money": 5}},
        "user_day": {"hard": {"tokens": 100}},
    }
}


@pytest.fixture
def container(database_url: str, redis_url: str, key_prefix: str) -> Iterator[Container]:
    settings = Settings(
        database_url=database_url,
        redis_url=redis_url,
        key_prefix=key_prefix,
        index_url="pgvector",
        api_port=free_port(),
        prices={"small": {"prompt": 1, "completion": 2}},
        budgets=BUDGETS,
    )
    opened = open_container(settings, make_app(settings))
    yield opened
    opened.close()


@pytest.fixture
def api_url(container: Container) -> Iterator[str]:
    server = make_server(container)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    settings = container.settings
    wait_until(lambda: is_listening(settings.api_host, settings.api_port), "the API listens")
    yield f"http://{settings.api_host}:{settings.api_port}"
    server.should_exit = True
    thread.join(10)


def pay(container: Container, owner: Owner, model: str, prompt: int, completion: int) -> None:
    """A call that was made a moment ago, whatever the budgets say."""
    limitless = replace(container.policies.budget, default=Budgets())
    ledger = PostgresLedger(container.database, limitless, ManualClock(datetime.now(UTC)))
    hold = ledger.reserve(model, 1, PaidFor(owner, Purpose.DISTILL))
    PostgresReplies(container.database, ledger).keep_reply(
        f"{owner}{model}",
        ChatReply("{}", model, prompt, completion),
        PaidFor(owner, Purpose.DISTILL),
        hold,
    )


def park(container: Container, owner: Owner) -> str:
    inbox = PostgresInbox(container.database)
    transcript = make_transcript("I live in Bern.", owner=owner)
    inbox.accept([transcript], NOW)
    claim = inbox.claim_transcript(transcript.id, NOW, timedelta(minutes=5))
    assert claim is not None
    inbox.park(claim, LATER, "no room in the user's budget", NOW, whole_tenant=False)
    return str(transcript.id)


def test_cost_shows_entries_sums_budgets_and_what_waits(container: Container, api_url: str) -> None:
    """Money is exact, a model without a price is marked, and another tenant sees nothing."""
    pay(container, ALICE, "small", 60, 20)
    pay(container, BOB, "unknown", 50, 60)
    park(container, BOB)

    with Memstill(api_url=api_url, redis_url="", tenant_id="acme") as client:
        cost = client.cost()
        of_alice = client.cost("alice", since=NOW.date())
        tomorrow = client.cost(since=str(NOW.date() + timedelta(days=2)))
    with Memstill(api_url=api_url, redis_url="", tenant_id="other") as client:
        foreign = client.cost()

    assert [("alice", Decimal("0.000100"), 0), ("bob", None, 1)] == [
        (entry.user_id, entry.money, entry.unpriced_calls) for entry in cost.entries
    ]
    assert (2, 1, 190, Decimal("0.0001")) == (
        cost.calls,
        cost.unpriced_calls,
        cost.total.tokens,
        cost.total.money,
    )
    assert [("tenant_day", None, "soft"), ("user_day", "bob", "hard")] == [
        (state.budget, state.user_id, state.standing) for state in cost.budgets
    ]
    assert {"bob": 1} == cost.parked
    assert [("tenant_day", None, "soft"), ("user_day", "alice", "within")] == [
        (state.budget, state.user_id, state.standing) for state in of_alice.budgets
    ]
    assert (["alice"], {}) == ([entry.user_id for entry in of_alice.entries], of_alice.parked)
    assert () == tomorrow.entries
    assert ((), 0, {}) == (foreign.entries, foreign.calls, foreign.parked)


def test_cost_is_the_same_when_it_is_awaited(container: Container, api_url: str) -> None:
    """Both clients read one answer."""
    pay(container, ALICE, "small", 60, 20)

    async def ask() -> object:
        async with AsyncMemstill(api_url=api_url, redis_url="", tenant_id="acme") as client:
            return await client.cost("alice")

    with Memstill(api_url=api_url, redis_url="", tenant_id="acme") as client:
        assert client.cost("alice") == asyncio.run(ask())


def test_command_cost_prints_a_table(container: Container, api_url: str) -> None:
    """Day, user, purpose, model, calls, tokens, money; sums; budgets; what waits."""
    pay(container, ALICE, "small", 1_060, 20)
    pay(container, BOB, "unknown", 50, 60)
    park(container, BOB)
    connection = ["--api", api_url, "--tenant", "acme"]

    printed = CliRunner().invoke(app, ["cost", *connection]).output
    nothing = CliRunner().invoke(app, ["cost", "--user", "carol", *connection]).output
    as_json = CliRunner().invoke(app, ["cost", "--json", *connection]).output

    rows = [line.split() for line in printed.splitlines()]
    day = str(datetime.now(UTC).date())
    assert ["day", "user", "purpose", "model", "calls", "prompt", "completion", "money"] == rows[0]
    assert [day, "alice", "distill", "small", "1", "1,060", "20", "0.001100"] == rows[1]
    assert [day, "bob", "distill", "unknown", "1", "50", "60", "no", "price"] == rows[2]
    assert "2 calls, 1 of them without a price, 1,190 tokens, money 0.001100" in printed
    assert (
        "budget of today for all users: soft, 1,190 tokens, money 0.001100 spent; "
        "soft money 0.000100; hard money 5.000000" in printed
    )
    assert "budget of today for user bob: hard, 110 tokens" in printed
    assert "1 waiting for a budget: bob (1)" in printed
    assert "no model call since" in nothing
    assert "0.001100" == json.loads(as_json)["total"]["money"]


def test_status_of_a_parked_session_says_why_and_until_when(
    container: Container, api_url: str
) -> None:
    """It is not final, and it is not a failure."""
    receipt = park(container, ALICE)
    with Memstill(api_url=api_url, redis_url="", tenant_id="acme") as client:
        status = client.status(receipt)
        counted = client.states([receipt])
    printed = CliRunner().invoke(app, ["status", receipt, "--api", api_url, "--tenant", "acme"])

    assert ("parked", "no room in the user's budget", LATER, False) == (
        status.state,
        status.reason,
        status.due_at,
        status.is_final,
    )
    assert {"parked": 1} == counted
    assert "reason: no room in the user's budget" in printed.output
    assert f"looked at again {LATER:%Y-%m-%d %H:%M} UTC" in printed.output


def test_backfill_does_not_wait_for_tomorrow_when_the_rest_is_parked(
    container: Container, api_url: str, tmp_path: Path
) -> None:
    """The command ends, and says how many go on by themselves."""
    line = {
        "schema_version": 1,
        "user_id": "alice",
        "session_id": "s1",
        "started_at": "2026-03-02T09:00:00Z",
        "messages": [{"role": "user", "content": "I live in Bern."}],
    }
    file = tmp_path / "sessions.jsonl"
    file.write_text(json.dumps(line))
    with Memstill(api_url=api_url, redis_url="", tenant_id="acme") as client:
        receipt = ReceiptId(client.enqueue(line).id)
    inbox, now = PostgresInbox(container.database), datetime.now(UTC)
    claim = inbox.claim_transcript(receipt, now, timedelta(minutes=5))
    assert claim is not None
    inbox.park(claim, LATER, "no room", now, whole_tenant=False)

    done = CliRunner().invoke(app, ["backfill", str(file), "--api", api_url, "--tenant", "acme"])

    assert 0 == done.exit_code
    assert "now: 1 parked" in done.output
