"""From three users' sessions to what everyone recalls, over the API on real servers."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from typer.testing import CliRunner

from config.schedule import Job
from config.settings import Settings
from memstill_client import AsyncMemstill, Memstill, NotFound, Refused
from pipelines.model import Owner
from tests.acceptance.deployment import free_port, wait_until
from tests.endpoint import FactDict, Line, ScriptedEndpoint, fact_from
from workers.api import make_server
from workers.app import make_app
from workers.cli import app
from workers.container import Container, open_container
from workers.embedded.children import is_listening
from workers.queues import RUN_JOB

if TYPE_CHECKING:
    from collections.abc import Iterator

LESSON = "PgBouncer breaks prepared statements in transaction mode."
QUERY = "Does PgBouncer break prepared statements?"
USERS = ("alice", "bob", "carol")


def lessons(lines: list[Line]) -> list[FactDict]:
    """A model that hears a lesson about PgBouncer behind the first comma of each message."""
    return [
        fact_from(
            line,
            statement=line["content"].partition(", ")[2],
            subject="PgBouncer",
            kind="lesson",
            attribute="prepared statements",
            value="breaks" if "breaks" in line["content"] else "supports",
        )
        for line in lines
    ]


@pytest.fixture
def container(
    database_url: str, redis_url: str, key_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Container]:
    for name in ("MEMSTILL_API_URL", "MEMSTILL_DATA", "MEMSTILL_TENANT"):
        monkeypatch.delenv(name, raising=False)
    with ScriptedEndpoint(lessons) as endpoint:
        settings = Settings(
            database_url=database_url,
            redis_url=redis_url,
            key_prefix=key_prefix,
            index_url="pgvector",
            api_port=free_port(),
            distiller="model",
            model_base_url=endpoint.base_url,
            model_api_key="k",
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
    assert not thread.is_alive()


@pytest.fixture
def client(api_url: str) -> Iterator[Memstill]:
    with Memstill(api_url=api_url, redis_url="", tenant_id="acme", timeout=30.0) as opened:
        yield opened


def work(container: Container) -> None:
    """What workers would do, once, in this thread."""
    table, clock = container.sweep.work, container.sweep.clock
    for receipt in table.find_due(clock.now(), 100).transcripts:
        container.distill.run(receipt)
    for owner in table.find_due(clock.now(), 100).owners:
        container.consolidate.run(owner)
    container.project.run()


def tell(client: Memstill, container: Container, statement: str, *users: str, day: int = 2) -> None:
    """Each user says it in a session of their own, as somebody whose name is theirs."""
    for user in users:
        client.enqueue(
            user_id=user,
            session_id=f"session-of-{user}-{day}",
            started_at=f"2026-03-{day:02}T09:00:00Z",
            messages=[
                {
                    "id": f"message-of-{user}-{day}",
                    "role": "user",
                    "name": user.capitalize(),
                    "content": f"Believe {user}, {statement}",
                }
            ],
        )
    work(container)


def told(client: Memstill, user: str = "dave") -> list[str]:
    return [memory.statement for memory in client.recall(QUERY, user).memories]


def test_lesson_of_three_users_reaches_a_fourth_once_it_is_approved(
    client: Memstill, container: Container, api_url: str
) -> None:
    """Proposed, then approved, then everyone's; withdrawn when one of the three is contradicted."""
    tell(client, container, LESSON, *USERS)

    scanned = client.scan_promotions()
    (proposed,) = client.promotions()

    assert (1, 0, 0) == (scanned.proposed, scanned.updated, scanned.withdrawn)
    assert (LESSON, "PgBouncer", "lesson", 3, "proposed") == (
        proposed.statement,
        proposed.subject,
        proposed.kind,
        proposed.users,
        proposed.state,
    )
    assert [] == told(client)

    approved = client.approve_promotion(proposed.id, by="eve")
    work(container)

    assert ("approved", "eve") == (approved.state, approved.decided_by)
    assert [LESSON] == told(client)
    assert LESSON in client.recall(QUERY, "dave").block
    assert [LESSON] == told(client, "alice")
    with Memstill(api_url=api_url, redis_url="", tenant_id="globex") as stranger:
        assert [] == told(stranger)
        assert [] == list(stranger.promotions())
        with pytest.raises(NotFound):
            stranger.approve_promotion(proposed.id)

    changed = "PgBouncer supports prepared statements in transaction mode."
    tell(client, container, changed, "bob", day=9)
    assert 1 == client.scan_promotions().withdrawn
    work(container)

    assert [] == told(client)
    assert [changed] == told(client, "bob")
    assert [LESSON] == told(client, "alice")
    assert [] == list(client.promotions())
    assert ["withdrawn"] == [item.state for item in client.promotions("withdrawn")]


def test_shared_memory_tells_nothing_of_its_users(
    client: Memstill, container: Container, api_url: str
) -> None:
    """Recall, export, show and history: the words and how many say them, and nobody's anything."""
    tell(client, container, LESSON, *USERS)
    client.scan_promotions()
    (proposed,) = client.promotions()
    shared = client.approve_promotion(proposed.id).memory_id
    assert shared is not None
    work(container)

    recalled = client.recall(QUERY, "dave").memories[0]
    everything: list[Any] = [
        recalled.model_dump(mode="json"),
        client.recall(QUERY, "dave").block,
        client.memory(shared),
        client.history(shared),
        [item for item in client.memories() if item["id"] == str(shared)],
        proposed.model_dump(mode="json"),
    ]
    text = json.dumps(everything).casefold()

    assert ("global", 3, "", "", "", ()) == (
        recalled.scope,
        recalled.users,
        recalled.quote,
        recalled.speaker,
        recalled.session_id,
        recalled.source_message_ids,
    )
    assert [] == [
        trace
        for trace in (*USERS, "believe", "session-of", "message-of", "2026-03-02")
        if trace in text
    ]
    stored = container.store.load_memories(Owner.everyone("acme"), [shared])  # type: ignore[list-item]
    assert 3 == len(stored[0].evidence)
    shown = run(api_url, "memory", "show", str(shared))
    assert "3 users" in shown
    assert "Believe" not in shown


def test_decisions_are_made_on_the_command_line(
    client: Memstill, container: Container, api_url: str
) -> None:
    """Scan, list, approve, reject: readable, or as JSON; rejected is not proposed again."""
    assert "nothing to decide on" in run(api_url, "promote", "list")
    tell(client, container, LESSON, *USERS)

    assert "1 proposed" in run(api_url, "promote", "scan")
    (listed,) = parsed(run(api_url, "promote", "list", "--json"))
    assert LESSON in run(api_url, "promote", "list")
    approved = parsed(run(api_url, "promote", "approve", listed["id"], "--by", "eve", "--json"))
    assert ("approved", "eve") == (approved["state"], approved["decided_by"])
    assert "will not be proposed again" in run(api_url, "promote", "reject", listed["id"])
    work(container)

    assert [] == told(client)
    nothing = {"proposed": 0, "updated": 0, "withdrawn": 0}
    assert nothing == parsed(run(api_url, "promote", "scan", "--json"))
    rejected = parsed(run(api_url, "promote", "list", "--state", "rejected", "--json"))
    assert [listed["id"]] == [item["id"] for item in rejected]


def test_asynchronous_client_decides_alike(
    client: Memstill, container: Container, api_url: str
) -> None:
    """The same calls, awaited."""
    tell(client, container, LESSON, *USERS)

    async def decide() -> list[str]:
        async with AsyncMemstill(api_url=api_url, redis_url="", tenant_id="acme") as awaited:
            await awaited.scan_promotions()
            (item,) = [item async for item in awaited.promotions()]
            approved = await awaited.approve_promotion(item.id)
            rejected = await awaited.reject_promotion(item.id, by="eve")
            return [item.state, approved.state, rejected.state]

    assert ["proposed", "approved", "rejected"] == asyncio.run(decide())


def test_approval_says_why_it_is_refused(client: Memstill, container: Container) -> None:
    """Too few users by now, an unknown id, no id at all."""
    tell(client, container, LESSON, *USERS)
    client.scan_promotions()
    (proposed,) = client.promotions()
    tell(client, container, LESSON.replace("breaks", "supports"), "carol", day=9)

    with pytest.raises(Refused, match="2 users now; it takes 3"):
        client.approve_promotion(proposed.id)
    with pytest.raises(NotFound):
        client.approve_promotion("63994a9b-ad6b-5c2b-ac6e-cbcf9ad7415f")
    with pytest.raises(Refused, match="no UUID"):
        client.reject_promotion("nonsense")


def test_nobody_can_push_or_recall_as_everyone(api_url: str) -> None:
    """The empty user id is refused at every door."""
    body = {
        "schema_version": 1,
        "user_id": "",
        "session_id": "s",
        "messages": [{"role": "user", "content": "All users must obey."}],
    }

    with httpx2.Client(base_url=api_url) as plain:
        pushed = plain.post("/v1/transcripts", json=body)
        recalled = plain.post("/v1/recall", json={"user_id": "", "query": "x"})

    assert (422, "user_id") == (pushed.status_code, pushed.json()["error"]["field"])
    assert (422, "user_id") == (recalled.status_code, recalled.json()["error"]["field"])


def test_task_scans_every_tenant_when_beat_sends_it(
    client: Memstill, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once an hour, without anybody asking."""
    from workers import tasks

    tell(client, container, LESSON, *USERS)
    monkeypatch.setattr("workers.container.current_container", lambda: container)
    schedule = make_app(container.settings).conf.beat_schedule[Job.SHARE]

    tasks.run_job(*schedule["args"])

    assert RUN_JOB == schedule["task"]
    assert [LESSON] == [item.statement for item in client.promotions()]


def run(api_url: str, *words: str) -> str:
    """What a command prints, on both of its outputs."""
    done = CliRunner().invoke(app, [*words, "--api", api_url, "--tenant", "acme"])
    assert 0 == done.exit_code, done.output
    return done.output


def parsed(output: str) -> Any:  # noqa: ANN401 - any JSON
    """What a command printed as JSON, behind what the server in this process has logged."""
    lines = output.splitlines()
    first = next(number for number, line in enumerate(lines) if line[:1] in {"{", "["})
    return json.loads("\n".join(lines[first:]))
