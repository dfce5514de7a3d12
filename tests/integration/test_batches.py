"""Lanes and batches from the agent's push to the operator's terminal, without a worker."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import redis
from typer.testing import CliRunner

from config.settings import Settings
from memstill_client import AsyncMemstill, Memstill, Refused
from pipelines.errors import ConfigurationError
from pipelines.model import Lane, Owner, ReceiptId, TranscriptState, receipt_id
from pipelines.ports import Waiting
from tests.acceptance.deployment import free_port, wait_until
from tests.endpoint import ScriptedEndpoint
from workers.api import make_server
from workers.app import make_app
from workers.cli import app
from workers.container import Container, open_container
from workers.embedded.children import is_listening
from workers.intake import make_intake
from workers.waker import CeleryWaker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from memstill_client.wire import LaneName

PRICES = {"scripted-model": {"prompt": 1, "completion": 2}}


@dataclass
class Server:
    container: Container
    endpoint: ScriptedEndpoint
    url: str

    def lane(self, receipt: object) -> str:
        with self.container.database.transaction() as connection:
            found = connection.exec_driver_sql(
                "SELECT lane FROM transcripts WHERE receipt = %s", (str(receipt),)
            )
            return str(found.scalar_one())

    def memstill(self, *command: str) -> str:
        result = CliRunner().invoke(app, [*command, "--api", self.url])
        assert 0 == result.exit_code, result.output
        return result.output

    def distill_due(self) -> None:
        work = self.container.sweep.work.find_due(self.container.sweep.clock.now(), 100)
        for receipt in (*work.transcripts, *work.backfill):
            self.container.distill.run(receipt)


def settings_for(
    request: pytest.FixtureRequest,
    **changes: Any,  # noqa: ANN401 - any setting
) -> Settings:
    return Settings(
        database_url=request.getfixturevalue("database_url"),
        redis_url=request.getfixturevalue("redis_url"),
        key_prefix=request.getfixturevalue("key_prefix"),
        index_url="pgvector",
        api_port=free_port(),
        **changes,
    )


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """With batches of two sessions at least."""
    with ScriptedEndpoint() as endpoint:
        settings = settings_for(
            request,
            distiller="model",
            model_base_url=endpoint.base_url,
            model_batch="on",
            model_batch_min=2,
            schedule={"batches": 0.01},
            prices=PRICES,
        )
        container = open_container(settings, make_app(settings))
        yield from _serve(container, endpoint)


@pytest.fixture
def plain(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Offline, without batches."""
    settings = settings_for(request)
    with ScriptedEndpoint() as endpoint:
        yield from _serve(open_container(settings, make_app(settings)), endpoint)


def _serve(container: Container, endpoint: ScriptedEndpoint) -> Iterator[Server]:
    settings, uvicorn = container.settings, make_server(container)
    thread = threading.Thread(target=uvicorn.run, daemon=True)
    thread.start()
    wait_until(lambda: is_listening(settings.api_host, settings.api_port), "the API listens")
    yield Server(container, endpoint, f"http://{settings.api_host}:{settings.api_port}")
    uvicorn.should_exit = True
    thread.join(10)
    container.close()


def session(number: int, **changes: object) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "user_id": f"user-{number}",
        "session_id": "s1",
        "started_at": "2026-03-02T09:00:00Z",
        "messages": [{"role": "user", "content": f"I have {number} cats."}],
        **changes,
    }


# ---- lanes ------------------------------------------------------------------------------------


def test_lane_is_named_in_the_address_of_a_push(server: Server) -> None:
    """One or many; left out it is interactive, and another one is refused."""
    with httpx2.Client(base_url=server.url) as api:
        one = api.post("/v1/transcripts?lane=backfill", json=session(1)).json()
        lines = "\n".join(json.dumps(session(number)) for number in (2, 3))
        many = api.post("/v1/transcripts:bulk?lane=backfill", content=lines).json()["results"]
        plain = api.post("/v1/transcripts", json=session(4)).json()
        refused = api.post("/v1/transcripts?lane=fast", json=session(5))
    assert ["backfill"] * 3 == [server.lane(it["receipt"]) for it in (one, *many)]
    assert "interactive" == server.lane(plain["receipt"])
    assert (422, "lane") == (refused.status_code, refused.json()["error"]["field"])


def test_lane_is_a_field_of_its_own_on_the_stream(
    server: Server, redis_url: str, key_prefix: str
) -> None:
    """One that does not exist makes a dead letter that says so."""
    intake, key = make_intake(server.container), f"{key_prefix}:transcripts"
    intake.prepare()
    with redis.Redis.from_url(redis_url) as client:
        for number, lane in enumerate(("backfill", "interactive", "fast")):
            body = json.dumps(session(number, idempotency_key="k", tenant_id="default"))
            client.xadd(key, {"transcript": body, "lane": lane})
    intake.read_once()

    receipts = [receipt_id(Owner("default", f"user-{number}"), "k") for number in range(2)]
    assert ["backfill", "interactive"] == [server.lane(receipt) for receipt in receipts]
    with server.container.database.transaction() as connection:
        dead = connection.exec_driver_sql("SELECT reason FROM transcripts WHERE state = 'dead'")
        assert ["lane: must be one of interactive, backfill"] == list(dead.scalars())


def blocking(url: str, lane: LaneName) -> list[object]:
    with Memstill(api_url=url, redis_url="") as client:
        first = client.enqueue(session(1), lane=lane)
        return [first, *client.enqueue_many([session(2)], lane=lane)]


def awaiting(url: str, lane: LaneName) -> list[object]:
    async def push() -> list[object]:
        async with AsyncMemstill(api_url=url, redis_url="") as client:
            first = await client.enqueue(session(1), lane=lane)
            return [first, *await client.enqueue_many([session(2)], lane=lane)]

    return asyncio.run(push())


@pytest.mark.parametrize("push", [blocking, awaiting])
@pytest.mark.parametrize("lane", list(Lane))
def test_client_names_the_lane_over_http(
    plain: Server, push: Callable[[str, str], list[object]], lane: Lane
) -> None:
    """Blocking and asynchronous alike."""
    assert [lane.value] * 2 == [plain.lane(it) for it in push(plain.url, lane.value)]


@pytest.mark.parametrize("lane", list(Lane))
def test_client_names_the_lane_over_the_stream(
    plain: Server, redis_url: str, key_prefix: str, lane: Lane
) -> None:
    """The intake reads it there."""
    name: LaneName = lane.value
    with Memstill(api_url="http://127.0.0.1:9", redis_url=redis_url, key_prefix=key_prefix) as it:
        receipt = it.enqueue(session(1), lane=name)
    intake = make_intake(plain.container)
    intake.prepare()
    intake.read_once()
    assert lane.value == plain.lane(receipt)


def test_client_refuses_a_lane_that_there_is_not(plain: Server) -> None:
    """Nothing is sent."""
    with (
        Memstill(api_url=plain.url, redis_url="") as client,
        pytest.raises(ValueError, match="interactive, backfill"),
    ):
        client.enqueue(session(1), lane="fast")  # type: ignore[arg-type]


def test_backfill_has_wake_ups_of_its_own(plain: Server) -> None:
    """They are counted apart, so that neither lane keeps the other's away."""
    waker = CeleryWaker(make_app(plain.container.settings))
    with Memstill(api_url=plain.url, redis_url="") as client:
        client.enqueue(session(1))
        client.enqueue_many([session(2), session(3)], lane="backfill")
    # They are sent behind the answer's back.
    wait_until(lambda: Waiting(distill=1, backfill=2) == waker.count_waiting(), "all were sent")


# ---- batches ----------------------------------------------------------------------------------


def test_backfill_command_leaves_a_batch_to_the_operator(server: Server, tmp_path: Path) -> None:
    """Pushed, handed in, shown, collected and distilled, with what it has cost."""
    file = tmp_path / "old.jsonl"
    file.write_text("\n".join(json.dumps(session(number)) for number in range(5)))
    assert "5 sessions pushed" in server.memstill("backfill", str(file), "--no-wait")
    assert "no batch yet" in server.memstill("batch", "list")
    assert "1 batches handed in, 0 ended" in server.memstill("batch", "poll")
    assert "now: 5 batched" in server.memstill("backfill", str(file))
    shown = server.memstill("batch", "list")
    assert ("running" in shown, "batch-2" in shown) == (True, True)
    receipt = receipt_id(Owner("default", "user-1"), _key(server, "user-1"))
    status = server.memstill("status", str(receipt))
    assert "reason: batched" in status
    assert "waits for a batch, until" in status

    server.endpoint.batch_api.end()
    assert "0 batches handed in, 1 ended" in server.memstill("batch", "poll")
    server.distill_due()
    (batch,) = json.loads(server.memstill("batch", "list", "--json"))["batches"]
    assert ("completed", 5, 5, 0) == (
        batch["outcome"],
        batch["requests"],
        batch["answered"],
        batch["failed"],
    )
    status_now = server.container.inbox.status("default", receipt)
    assert (TranscriptState.DISTILLED, None) == (status_now.state, status_now.reason)
    cost = json.loads(server.memstill("cost", "--json"))
    assert (5, "0.000065") == (cost["calls"], cost["total"]["money"])
    assert [] == server.endpoint.chat_calls
    assert {} == server.endpoint.batch_api.files


def test_batches_of_others_are_not_shown(server: Server) -> None:
    """A batch is listed for the tenants whose requests it holds, and counts only theirs."""
    for tenant_id, count in (("acme", 2), ("other", 1)):
        with Memstill(api_url=server.url, redis_url="", tenant_id=tenant_id) as client:
            client.enqueue_many([session(number) for number in range(count)], lane="backfill")
    with Memstill(api_url=server.url, redis_url="", tenant_id="acme") as client:
        assert 1 == client.poll_batches().opened
        assert [2] == [batch.requests for batch in client.batches().batches]

    async def look(tenant_id: str) -> list[int]:
        async with AsyncMemstill(api_url=server.url, redis_url="", tenant_id=tenant_id) as client:
            assert 0 == (await client.poll_batches()).opened
            return [batch.requests for batch in (await client.batches()).batches]

    assert [[1], []] == [asyncio.run(look(tenant_id)) for tenant_id in ("other", "nobody")]


def test_backfill_is_due_at_once_when_batches_are_off(plain: Server) -> None:
    """And whoever asks for batches is told."""
    with Memstill(api_url=plain.url, redis_url="") as client:
        receipt = client.enqueue(session(1), lane="backfill")
        with pytest.raises(Refused, match="MEMSTILL_MODEL_BATCH"):
            client.poll_batches()
        assert not client.batches().is_on
    status = plain.container.inbox.status("default", ReceiptId(receipt.id))
    assert status.received_at == status.due_at
    assert "batches are off" in plain.memstill("batch", "list")


def test_batches_need_a_model(request: pytest.FixtureRequest) -> None:
    """The process says so and does not start."""
    settings = settings_for(request, model_batch="on")
    with pytest.raises(ConfigurationError, match="set MEMSTILL_DISTILLER=model"):
        open_container(settings, make_app(settings))


def test_batches_are_seen_to_on_a_schedule(request: pytest.FixtureRequest) -> None:
    """Where they are on."""
    on = make_app(settings_for(request, model_batch="on", schedule={"batches": 7}))
    assert timedelta(seconds=7) == timedelta(seconds=on.conf.beat_schedule["batches"]["schedule"])
    assert "batches" not in make_app(settings_for(request)).conf.beat_schedule


def _key(server: Server, user_id: str) -> str:
    with server.container.database.transaction() as connection:
        found = connection.exec_driver_sql(
            "SELECT idempotency_key FROM transcripts WHERE user_id = %s", (user_id,)
        )
        return str(found.scalar_one())
