"""The HTTP API on real servers, in one process, without a worker."""

from __future__ import annotations

import asyncio
import json
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from typer.testing import CliRunner

from config.settings import Settings
from memstill_client import AsyncMemstill, Memstill
from pipelines.model import Owner
from tests.acceptance.deployment import free_port, wait_until
from workers import cli
from workers.api import make_server
from workers.app import make_app
from workers.container import Container, open_container
from workers.embedded.children import is_listening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEASE = timedelta(minutes=5)


@pytest.fixture
def container(
    database_url: str, redis_url: str, key_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Container]:
    for name in ("MEMSTILL_API_URL", "MEMSTILL_DATA"):
        monkeypatch.delenv(name, raising=False)
    settings = Settings(
        database_url=database_url,
        redis_url=redis_url,
        key_prefix=key_prefix,
        index_url="pgvector",
        api_port=free_port(),
    )
    opened = open_container(settings, make_app(settings))
    yield opened
    opened.close()


@pytest.fixture
def api(container: Container) -> Iterator[httpx2.Client]:
    server = make_server(container)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    settings = container.settings
    wait_until(lambda: is_listening(settings.api_host, settings.api_port), "the API listens")
    with httpx2.Client(base_url=f"http://{settings.api_host}:{settings.api_port}") as client:
        yield client
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive()


def session(*said: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any wire field
    return {
        "schema_version": 1,
        "user_id": "alice",
        "session_id": "s1",
        "started_at": "2026-03-02T09:00:00Z",
        "messages": [{"role": "user", "content": text} for text in said],
        **changes,
    }


def work(container: Container) -> None:
    """What a worker would do, once, in this thread."""
    sweep = container.sweep.work.find_due(container.sweep.clock.now(), 100)
    for receipt in sweep.transcripts:
        container.distill.run(receipt)
    for owner in container.sweep.work.find_due(container.sweep.clock.now(), 100).owners:
        container.consolidate.run(owner)
    container.project.run()


def test_pushed_session_is_recalled_with_its_source(
    api: httpx2.Client, container: Container
) -> None:
    """From POST to the block of the next session, each line traceable to its message."""
    pushed = api.post("/v1/transcripts", json=session("I live in Berlin.", "I like green tea."))
    work(container)

    status = api.get(f"/v1/transcripts/{pushed.json()['receipt']}").json()
    found = api.post("/v1/recall", json={"user_id": "alice", "query": "Where? Berlin"}).json()
    same = api.get("/v1/recall", params={"user_id": "alice", "query": "Where? Berlin"}).json()

    assert 202 == pushed.status_code
    assert ("done", {"inserted": 2}) == (status["state"], status["counts"])
    best = found["memories"][0]
    assert "Berlin" in best["statement"]
    assert ("I live in Berlin.", ["0"]) == (best["quote"], best["source_message_ids"])
    assert "Berlin" in found["block"]
    assert found["memories"] == same["memories"]


def move_from_berlin_to_porto(api: httpx2.Client, container: Container) -> None:
    """She moved on the 20th of March."""
    for said, day in (("I live in Berlin.", "02"), ("I live in Porto.", "20")):
        started_at = f"2026-03-{day}T09:00:00Z"
        api.post("/v1/transcripts", json=session(said, session_id=day, started_at=started_at))
        work(container)


def test_recall_answers_as_of_a_date_when_one_is_asked_for(
    api: httpx2.Client, container: Container
) -> None:
    """What was superseded since is told of its own time, over GET and POST, a day to its end."""
    move_from_berlin_to_porto(api, container)

    def recall(as_of: str | None) -> str:
        asked = {"user_id": "alice", "query": "where does she live?"}
        asked |= {} if as_of is None else {"as_of": as_of}
        posted = api.post("/v1/recall", json=asked).json()
        assert posted == api.get("/v1/recall", params=asked).json()
        return str(posted["block"])

    assert "Berlin" in recall("2026-03-02")
    assert "Berlin" in recall("2026-03-20T08:59:59Z")
    assert "Porto" not in recall("2026-03-20T08:59:59Z")
    assert "Porto" in recall("2026-03-20")
    assert "Berlin" not in recall("2026-03-20")
    assert "Berlin" not in recall(None)
    assert "" == recall("2026-03-01")


def from_command_line(url: str, query: str, as_of: str) -> str:
    asked = ["recall", query, "--user", "alice", "--as-of", as_of, "--json", "--api", url]
    result = CliRunner().invoke(cli.app, asked)
    assert 0 == result.exit_code, result.output
    return str(json.loads(result.stdout)["block"])


def from_client(url: str, query: str, as_of: str) -> str:
    with Memstill(api_url=url) as client:
        return client.recall(query, "alice", as_of=as_of).block


def from_asynchronous_client(url: str, query: str, as_of: str) -> str:
    async def ask() -> str:
        async with AsyncMemstill(api_url=url) as client:
            return (await client.recall(query, "alice", as_of=as_of)).block

    return asyncio.run(ask())


@pytest.mark.parametrize("ask", [from_command_line, from_client, from_asynchronous_client])
def test_recall_answers_as_of_a_date_whoever_asks(
    api: httpx2.Client, container: Container, ask: Callable[[str, str, str], str]
) -> None:
    """Command line and clients hand the date through to the answer."""
    move_from_berlin_to_porto(api, container)
    url, query = str(api.base_url), "where does she live?"

    assert "" == ask(url, query, "2026-03-01")
    assert "Berlin" in ask(url, query, "2026-03-02")
    assert "Porto" not in ask(url, query, "2026-03-19")
    assert "Porto" in ask(url, query, "2026-03-20")
    assert "Berlin" not in ask(url, query, "2026-03-20")


def test_recall_refuses_a_date_that_is_none(api: httpx2.Client) -> None:
    """The field is named, and what to send instead."""
    asked = {"user_id": "alice", "query": "where?", "as_of": "last spring"}
    refused = api.post("/v1/recall", json=asked)

    assert 422 == refused.status_code
    assert "as_of" == refused.json()["error"]["field"]


def test_dropped_index_is_filled_again_when_a_process_starts(
    container: Container, api: httpx2.Client
) -> None:
    """The index is derived: whoever finds it empty has every memory projected anew."""
    api.post("/v1/transcripts", json=session("I live in Berlin.", "I like green tea."))
    work(container)
    owner = Owner("default", "alice")
    ids = [memory.id for memory in container.store.export_memories("default", "alice", None, 10)]
    container.index.remove_owner(owner)
    assert 0 == container.index.count(owner)

    again = open_container(container.settings, make_app(container.settings))
    again.project.run()

    assert len(ids) == again.index.count(owner)
    again.close()


def test_repeated_push_answers_with_the_first_receipt(api: httpx2.Client) -> None:
    """The second push changes nothing and says so."""
    first = api.post("/v1/transcripts", json=session("I live in Berlin.")).json()
    again = api.post("/v1/transcripts", json=session("I live in Berlin.")).json()

    assert (False, True) == (first["duplicate"], again["duplicate"])
    assert first["receipt"] == again["receipt"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (session(), "messages"),
        (session("   "), "messages"),
        (session("x", messages=[{"role": "robot", "content": "x"}]), "messages[0].role"),
        (session("x", started_at="2026-03-02T09:00:00"), "started_at"),
        (session("x", started_at="2999-03-02T09:00:00Z"), "started_at"),
        (session("x", schema_version=2), "schema_version"),
        (session("x", colour="red"), "colour"),
    ],
)
def test_invalid_transcript_is_refused_with_field_and_reason(
    api: httpx2.Client, body: dict[str, Any], field: str
) -> None:
    """Refused before anything is queued, with what to put right."""
    answer = api.post("/v1/transcripts", json=body)

    assert 422 == answer.status_code
    error = answer.json()["error"]
    assert ("invalid_transcript", field) == (error["type"], error["field"])
    assert error["reason"]


def test_oversized_transcript_is_refused_while_it_is_read(api: httpx2.Client) -> None:
    """More than 10 MiB is not even read to its end."""
    answer = api.post("/v1/transcripts", content=b"x" * (11 * 1024 * 1024))

    assert 413 == answer.status_code
    error = answer.json()["error"]
    assert ("too_large", "body") == (error["type"], error["field"])
    assert "larger than 10,485,760 bytes" in error["reason"]


def test_reused_key_for_other_content_is_a_conflict(api: httpx2.Client) -> None:
    """409 for one push, an error line in bulk; the first transcript stays."""
    api.post("/v1/transcripts", json=session("I live in Berlin.", idempotency_key="k"))

    other = session("I live in Lisbon.", idempotency_key="k")
    single = api.post("/v1/transcripts", json=other)
    bulk = api.post("/v1/transcripts:bulk", json=other).json()["results"]

    assert (409, "idempotency_conflict") == (single.status_code, single.json()["error"]["type"])
    assert ["idempotency_conflict"] == [line["error"]["type"] for line in bulk]


def test_bulk_takes_the_good_lines_and_names_the_bad_ones(api: httpx2.Client) -> None:
    """One bad line costs the others nothing."""
    import json

    lines = [session("I live in Berlin."), session("x", schema_version=2), session("I like tea.")]
    answer = api.post(
        "/v1/transcripts:bulk", content="\n".join(json.dumps(line) for line in lines).encode()
    )

    results = answer.json()["results"]
    assert [1, 2, 3] == [line["line"] for line in results]
    assert ["schema_version"] == [line["error"]["field"] for line in results if "error" in line]
    states = api.post(
        "/v1/transcripts:states",
        json={"receipts": [line["receipt"] for line in results if "receipt" in line]},
    )
    assert {"queued": 2} == states.json()["states"]


def test_tenants_see_nothing_of_each_other(api: httpx2.Client, container: Container) -> None:
    """Receipt, recall and export of another tenant are empty or not found."""
    pushed = api.post(
        "/v1/transcripts", json=session("I live in Berlin."), headers={"X-Memstill-Tenant": "acme"}
    ).json()
    work(container)
    other = {"X-Memstill-Tenant": "other"}
    question = {"user_id": "alice", "query": "Berlin"}

    assert 404 == api.get(f"/v1/transcripts/{pushed['receipt']}", headers=other).status_code
    assert [] == api.post("/v1/recall", json=question, headers=other).json()["memories"]
    assert [] == api.get("/v1/memories", headers=other).json()["memories"]
    mine = {"X-Memstill-Tenant": "acme"}
    assert 1 == len(api.get("/v1/memories", headers=mine).json()["memories"])


def test_transcript_of_another_tenant_than_the_caller_is_refused(api: httpx2.Client) -> None:
    """A body cannot smuggle data into a tenant that the caller does not act for."""
    answer = api.post(
        "/v1/transcripts",
        json=session("I live in Berlin.", tenant_id="victim"),
        headers={"X-Memstill-Tenant": "acme"},
    )

    assert (422, "tenant_id") == (answer.status_code, answer.json()["error"]["field"])


def test_senseless_requests_are_refused_by_field(api: httpx2.Client) -> None:
    """Wrong arguments are answered with the field, not with a stack trace."""
    wrong = [
        api.post("/v1/recall", json={"user_id": "alice", "query": " "}),
        api.post("/v1/recall", json={"user_id": "alice", "query": "x", "colour": "red"}),
        api.get("/v1/transcripts/not-a-uuid"),
        api.get("/v1/memories", params={"limit": 0}),
    ]

    assert [422] * 4 == [answer.status_code for answer in wrong]
    assert ["query", "colour", "receipt", "limit"] == [
        answer.json()["error"]["field"] for answer in wrong
    ]


def test_health_tells_live_from_ready(api: httpx2.Client) -> None:
    """Live says the process answers, ready that its database does too."""
    assert ["live", "ready"] == [api.get(path).json()["status"] for path in ("/healthz", "/readyz")]


def test_ten_concurrent_posts_of_one_transcript_are_one(
    api: httpx2.Client, container: Container
) -> None:
    """Over HTTP too, the same push at once is accepted exactly once."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(10) as pool:
        answers = list(
            pool.map(
                lambda _: api.post("/v1/transcripts", json=session("I live in Berlin.")).json(),
                range(10),
            )
        )
    work(container)

    assert 1 == sum(not answer["duplicate"] for answer in answers)
    owner = Owner("default", "alice")
    assert 1 == container.index.count(owner)
