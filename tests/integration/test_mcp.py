"""The tools of ``memstill mcp``, asked by the client of the protocol's own SDK."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from memstill_client import Memstill
from pipelines.errors import ConfigurationError
from pipelines.stages.keys import KeyScope
from tests.acceptance.deployment import free_port, wait_until
from tests.conftest import copied_database
from tests.integration.serving import Served, serve, session
from workers.embedded.children import is_listening
from workers.mcp.asking import OneUser, Server
from workers.mcp.http import check_guarded
from workers.mcp.server import make_mcp_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from mcp.types import CallToolResult

    from pipelines.flows.keys import NewKey
    from workers.embedded.postgres import PostgresServer
    from workers.embedded.redis import RedisServer

REPOSITORY = Path(__file__).parents[2]
NOBODYS = "00000000-0000-4000-8000-000000000000"
READ, WRITE = KeyScope.READ, KeyScope.WRITE


@pytest.fixture(scope="module")
def served(
    postgres_server: PostgresServer, template_database: str, redis_server: RedisServer
) -> Iterator[Served]:
    """One API with a worker; each test has a tenant of its own."""
    with (
        copied_database(postgres_server, template_database) as url,
        serve(url, redis_server.url, "test-mcp", "keys") as opened,
        working(opened),
    ):
        yield opened


@contextmanager
def working(served: Served) -> Iterator[None]:
    """A worker in a thread of its own."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.05):
            served.work()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    ended.set()
    thread.join(30)


def environment(key: NewKey) -> dict[str, str]:
    """What an agent starts the command with."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("MEMSTILL_")}
    return kept | {"MEMSTILL_API_KEY": key.text}


@asynccontextmanager
async def tools_of(
    served: Served, key: NewKey, user: str | None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Client]:
    """The tools in this process, asked as any client asks."""
    monkeypatch.setenv("MEMSTILL_API_KEY", key.text)
    desk = OneUser(Server(served.url, None, None), user)
    try:
        async with Client(make_mcp_server(desk)) as client:
            yield client
    finally:
        await desk.look_again()


async def recall(client: Client, query: str) -> CallToolResult:
    """The answer when something is known: the index is told of a memory moments later."""
    while True:
        found = await ask(client, "recall", query=query)
        if data_of(found)["memories"]:
            return found
        await asyncio.sleep(0.05)


async def ask(client: Client, tool: str, **arguments: object) -> CallToolResult:
    """The answer of a tool that does what it is asked."""
    found = await client.call_tool(tool, arguments)
    assert not found.is_error, text_of(found)
    return found


async def fail(client: Client, tool: str, **arguments: object) -> str:
    """What a tool says that does not."""
    found = await client.call_tool(tool, arguments)
    assert found.is_error, text_of(found)
    return text_of(found)


def text_of(found: CallToolResult) -> str:
    (content,) = found.content
    return str(getattr(content, "text", ""))


def data_of(found: CallToolResult) -> Any:  # noqa: ANN401 - JSON
    return found.structured_content


# ---- the tools -----------------------------------------------------------------------------------


def test_tools_remember_recall_explain_and_forget(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was remembered is recalled with its words, explained, and gone once forgotten."""

    async def talk() -> None:
        key = served.make_key("talk", READ, WRITE, user_id="alice")
        async with tools_of(served, key, None, monkeypatch) as client:
            assert "Nothing is known" in text_of(await ask(client, "recall", query="home city"))
            kept = await ask(client, "remember", statement="I live in Lisbon.")
            (fact,) = data_of(kept)["facts"]
            assert f"Kept (inserted): {fact['statement']} id={fact['memory_id']}" == text_of(kept)

            found = await recall(client, "Where does she live?")
            (memory,) = data_of(found)["memories"]
            assert (fact["memory_id"], "I live in Lisbon.") == (
                memory["memory_id"],
                memory["quote"],
            )
            assert text_of(found).startswith("<memstill-recall")
            assert fact["memory_id"] in text_of(found)

            told = await ask(client, "history", memory_id=fact["memory_id"])
            assert "Said by User (user)" in text_of(told)
            assert '"I live in Lisbon."' in text_of(told)

            choice = await ask(client, "forget", query="where I live")
            assert None is data_of(choice)["forgotten"]
            assert [fact["memory_id"]] == [
                item["memory_id"] for item in data_of(choice)["candidates"]
            ]
            assert "Nothing was forgotten yet" in text_of(choice)
            assert data_of(await ask(client, "recall", query="home city"))["memories"]

            gone = await ask(client, "forget", memory_id=fact["memory_id"])
            assert fact["memory_id"] == data_of(gone)["forgotten"]
            assert [] == data_of(await ask(client, "recall", query="home city"))["memories"]
            told = await ask(client, "history", memory_id=fact["memory_id"])
            assert "memory_evicted: forgotten" in text_of(told)

    asyncio.run(talk())


def test_what_is_remembered_goes_the_road_of_every_session(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets are taken out, nothing is made of a question, a recalled block is no evidence."""

    async def talk() -> None:
        async with tools_of(served, served.make_key("road"), "alice", monkeypatch) as client:
            secret = await ask(client, "remember", statement="My password is tr0ub4dor&3x!")
            question = await ask(client, "remember", statement="What is the capital of France?")
            await ask(client, "remember", statement="I live in Porto.")
            block = text_of(await recall(client, "home city"))
            again = await ask(client, "remember", statement=block)

            assert "tr0ub4dor" not in text_of(secret) + str(data_of(secret))
            for found in (secret, question, again):
                assert "Nothing was kept" in text_of(found)
                assert [] == [fact for fact in data_of(found)["facts"] if fact["memory_id"]]

    asyncio.run(talk())


def test_tools_reach_one_user_alone_also_with_a_key_for_all(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A memory of another user is as one that there is not; nothing happens to it."""
    key = served.make_key("company")
    with Memstill(api_url=served.url, api_key=key.text) as client:
        client.wait(client.enqueue(session("bob", "I live in Oslo.")))
        (bobs,) = client.memories("bob")

        async def talk() -> None:
            async with tools_of(served, key, "alice", monkeypatch) as tools:
                for tool in ("forget", "history"):
                    said = [
                        await fail(tools, tool, memory_id=memory)
                        for memory in (bobs["id"], NOBODYS)
                    ]
                    assert said[0] == said[1]
                    assert "has no memory with that id" in said[0]
                found = await ask(tools, "recall", query="Oslo")
                assert [] == data_of(found)["memories"]

        asyncio.run(talk())
        assert None is client.memory(bobs["id"])["evicted_at"]


def test_tool_says_what_is_wrong_and_what_to_do(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the model, which has to go on with it."""

    async def talk() -> None:
        reader = served.make_key("errors", READ)
        async with tools_of(served, reader, "alice", monkeypatch) as client:
            assert "scope `write`" in await fail(client, "remember", statement="I like tea.")
            assert "pass either" in await fail(client, "forget")
            assert "pass either" in await fail(client, "forget", memory_id=NOBODYS, query="tea")
            assert "YYYY-MM-DD" in await fail(client, "recall", query="tea", as_of="monday")
            assert "query" in await fail(client, "recall")
        async with tools_of(served, reader, None, monkeypatch) as client:
            assert "--user" in await fail(client, "recall", query="tea")
        served.keys.revoke("errors", reader.key.id)
        async with tools_of(served, served.make_key("errors", WRITE), "alice", monkeypatch) as it:
            assert "scope `read`" in await fail(it, "recall", query="tea")

    asyncio.run(talk())


def test_tools_find_memstill_again_when_it_is_back(
    tmp_path: Path, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started before it, or while it moves to another address."""
    monkeypatch.setenv("MEMSTILL_API_KEY", served.make_key("moves").text)
    desk = OneUser(Server(None, tmp_path, None), "alice")
    told = {"schema_version": 1, "pid": os.getpid(), "redis_url": "", "database_url": ""}

    def publish(url: str) -> None:
        (tmp_path / "endpoints.json").write_text(json.dumps(told | {"api_url": url}))

    async def talk() -> None:
        async with Client(make_mcp_server(desk)) as client:
            assert "memstill up" in await fail(client, "recall", query="tea")
            publish(f"http://127.0.0.1:{free_port()}")
            assert "does not answer" in await fail(client, "recall", query="tea")
            publish(served.url)
            await ask(client, "recall", query="tea")
        await desk.look_again()

    asyncio.run(talk())


# ---- as a process --------------------------------------------------------------------------------


def test_command_serves_an_agent_over_standard_input_and_output(served: Served) -> None:
    """As an agent starts it: with an address, a key, and nothing else."""
    key = served.make_key("agent", READ, WRITE, user_id="alice")
    started = StdioServerParameters(
        command=sys.executable,
        args=["-m", "workers.cli", "mcp", "--api", served.url],
        env=environment(key),
        cwd=REPOSITORY,
    )

    async def talk() -> None:
        async with Client(started) as client:
            listed = (await client.list_tools()).tools
            assert ["recall", "remember", "forget", "history"] == [tool.name for tool in listed]
            for tool in listed:
                assert tool.description
                assert tool.output_schema
                for told in tool.input_schema["properties"].values():
                    assert told["description"]
            await ask(client, "remember", statement="I prefer tea to coffee.")
            assert "tea" in text_of(await recall(client, "What does she drink?"))

    asyncio.run(talk())


def test_command_prints_nothing_but_the_protocol(tmp_path: Path) -> None:
    """Also when nothing runs on the directory, and what it gets is no message."""
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    }
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    call = {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": "recall", "arguments": {"query": "tea"}},
    }
    sent = "\n".join(["no message", *map(json.dumps, (hello, ready, call)), ""])

    with subprocess.Popen(
        [sys.executable, "-m", "workers.cli", "mcp", "--user", "alice", "--data", str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=REPOSITORY,
        text=True,
    ) as command:
        assert command.stdin is not None
        assert command.stdout is not None
        command.stdin.write(sent)
        command.stdin.flush()
        lines: list[str] = []
        while not any('"id":2' in line for line in lines):
            lines.append(command.stdout.readline())
        command.stdin.close()
        lines += command.stdout.readlines()
        assert 0 == command.wait(30)

    assert {"2.0"} == {json.loads(line)["jsonrpc"] for line in lines}
    assert "memstill up" in lines[-1]


@contextmanager
def listening(served: Served, *words: str) -> Iterator[str]:
    """The command on a port; it has no key of its own."""
    port = free_port()
    kept = {name: text for name, text in os.environ.items() if not name.startswith("MEMSTILL_")}
    with subprocess.Popen(
        [sys.executable, "-m", "workers.cli", "mcp", "--http", "--api", served.url,
         "--port", str(port), *words],
        cwd=REPOSITORY,
        env=kept,
    ) as command:  # fmt: skip
        try:
            wait_until(lambda: is_listening("127.0.0.1", port), "the tools listen")
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            command.terminate()
            assert command.wait(30) in {0, -15}


def test_each_request_over_http_acts_for_whoever_its_key_is_of(served: Served) -> None:
    """Two users at once on one process; without a key, or with one too many users, nobody."""
    alice = served.make_key("http", READ, WRITE, user_id="alice")
    everyone = served.make_key("http", READ, WRITE)

    async def talk(url: str, city: str, **headers: str) -> str:
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            await ask(client, "remember", statement=f"I live in {city}.")
            return text_of(await recall(client, "home city"))

    async def both(url: str) -> tuple[str, str]:
        return await asyncio.gather(
            talk(url, "Lisbon", Authorization=f"Bearer {alice.text}"),
            talk(
                url,
                "Oslo",
                Authorization=f"Bearer {everyone.text}",
                **{"X-Memstill-User": "bob"},
            ),
        )

    with listening(served) as url:
        alices, bobs = asyncio.run(both(url))
        bearer = {"Authorization": f"Bearer {alice.text}"}
        refused = [
            httpx2.post(url, json={}, headers=headers)
            for headers in (
                {},
                {"Authorization": "Bearer nonsense"},
                bearer | {"X-Memstill-User": "bob"},
                {"Authorization": f"Bearer {everyone.text}"},
            )
        ]

    assert ("Lisbon" in alices, "Oslo" in alices) == (True, False)
    assert ("Lisbon" in bobs, "Oslo" in bobs) == (False, True)
    assert [401, 401, 403, 422] == [answer.status_code for answer in refused]
    assert "Bearer" == refused[0].headers["WWW-Authenticate"]
    assert "--user" in refused[3].json()["error"]["reason"]


def test_tools_do_not_open_to_a_network_what_asks_for_no_key(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said what to set; on the loopback they are as open as memstill itself."""
    monkeypatch.setenv("MEMSTILL_API_KEY", served.make_key("open").text)
    server = Server(served.url, None, None)
    asyncio.run(check_guarded(server, "0.0.0.0"))
    checked = served.container.check_key
    object.__setattr__(served.container, "check_key", None)
    try:
        with pytest.raises(ConfigurationError, match="MEMSTILL_AUTH=keys"):
            asyncio.run(check_guarded(server, "0.0.0.0"))
        asyncio.run(check_guarded(server, "127.0.0.1"))
    finally:
        object.__setattr__(served.container, "check_key", checked)
