"""Running sessions over real HTTP and the real Redis, with both clients."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from memstill_client import AsyncMemstill, Memstill, Refused
from pipelines.stages.keys import KeyScope
from pipelines.testing.requests import read_question
from tests.endpoint import ScriptedEndpoint, completion, status
from tests.integration.serving import Served, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

ODD = "s/1:{é} %2F?"
SAID_AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
PASSWORD = "hunter2isok"
KEY = "sk-" + "proj-" + "bcdfghjkmnpqrstvwxz2345bcdfghjkmnpqrstvwxz2345"


@pytest.fixture
def served(database_url: str, redis_url: str, key_prefix: str) -> Iterator[Served]:
    """An API that asks for keys."""
    with serve(database_url, redis_url, key_prefix, "keys") as opened:
        yield opened


def test_session_is_kept_and_given_back_to_either_client(served: Served) -> None:
    """What one keeps the other finds, whatever the session is called, and nobody else does."""
    key = served.make_key().text
    with Memstill(api_url=served.url, redis_url="", api_key=key) as client:
        session = client.session("alice", ODD)
        count = session.append(
            {"role": "assistant", "content": "Your password?", "created_at": SAID_AT},
            {"role": "user", "content": PASSWORD, "name": "Alice"},
        )
        episode = session.add_episode("Alice was let in.")
        session.set_tool_state("search", {"page": 2})
        session.save_state({"step": 3.0, "null": None})

        async def look() -> tuple[Any, ...]:
            async with AsyncMemstill(api_url=served.url, redis_url="", api_key=key) as other:
                found = other.session("alice", ODD)
                return (
                    await found.context(),
                    await other.episodes("alice"),
                    await found.tool_states(["search", "none"]),
                    await found.tool_state("none"),
                    await found.load_state(),
                    await other.session("bob", ODD).load_state(),
                    await other.count_use("alice", "calls", 1, 60),
                    await other.count_use("alice", "calls", 1, 60),
                )

        context, episodes, tools, nothing, state, of_bob, first, second = asyncio.run(look())

        assert 2 == count
        assert session.context() == context
        assert ("[redacted:password]", "Alice") == (context[1].content, context[1].name)
        assert SAID_AT == session.context(2)[0].created_at
        assert [(ODD, episode)] == [(item.session_id, item.content) for item in episodes]
        assert ({"search": {"page": 2}}, None) == (tools, nothing)
        assert ('{"step": 3.0, "null": None}'.replace('"', "'"), None) == (repr(state), of_bob)
        assert [True, False] == [first.allowed, second.allowed]
        assert 59 < second.retry_after_seconds <= 60


def test_recall_tells_of_the_session_and_of_procedures_beside_memories(served: Served) -> None:
    """In one call, as data and in one block; a tier that is not asked for says nothing."""
    key = served.make_key().text
    with Memstill(api_url=served.url, redis_url="", api_key=key) as client:
        session = client.session("alice", "s1")
        session.remember("The ticket is in the drawer.")
        session.add_episode("Booked a train to Bern.")
        client.put_procedure("book a train", ["search", "pay"], "alice")

        found = client.recall("book a train", "alice", "s1")
        chosen = client.recall("book a train", "alice", "s1", tiers=["episodes"])

    assert ("The ticket is in the drawer.",) == found.working.items
    assert ["Booked a train to Bern."] == [item.content for item in found.episodes]
    assert [("book a train", 0.5)] == [(item.name, item.success_rate) for item in found.procedures]
    assert "How it is done:\n- book a train: 1. search; 2. pay" in found.block
    assert ((), ()) == (chosen.procedures, chosen.working.items)
    assert "Booked a train" in chosen.block


def test_session_belongs_to_its_tenant_and_user(served: Served) -> None:
    """Another tenant's key finds nothing, one of another user is refused, scopes are held to."""
    mine = {"api_url": served.url, "redis_url": ""}
    with Memstill(**mine, api_key=served.make_key().text) as client:  # type: ignore[arg-type]
        client.session("alice", "s").save_state(1)
        for name in (".", "..", "a/../b"):
            client.session("alice", name).save_state(name)
            assert name == client.session("alice", name).load_state()
    others = served.make_key("umbrella").text
    with Memstill(**mine, api_key=others) as client:  # type: ignore[arg-type]
        assert client.session("alice", "s").load_state() is None
    bound = served.make_key("acme", KeyScope.READ, user_id="bob").text
    with Memstill(**mine, api_key=bound) as client:  # type: ignore[arg-type]
        with pytest.raises(Refused, match="user_id"):
            client.session("alice", "s").load_state()
        with pytest.raises(Refused, match="scope"):
            client.session("bob", "s").save_state(1)
        with pytest.raises(Refused, match="must be from 1 to 200"):
            client.session("bob", "s").context(201)


def test_session_tier_that_is_away_is_no_crash(served: Served) -> None:
    """The API says that it cannot answer now; recall does not need it."""
    key = served.make_key()
    served.container.sessions.cache._redis.connection_pool.connection_kwargs["path"] = "/nowhere"
    served.container.sessions.cache._redis.connection_pool.disconnect()

    away = served.ask(key, "GET", "/v1/sessions/s/context?user_id=alice")
    recalled = served.ask(key, "GET", "/v1/recall?user_id=alice&query=tea")

    assert (503, "unavailable") == (away.status_code, away.json()["error"]["type"])
    assert "session tier" in away.json()["error"]["reason"]
    assert "1" == away.headers["Retry-After"]
    assert (200, []) == (recalled.status_code, recalled.json()["memories"])


def test_working_memory_is_summarised_by_the_model_and_paid_for(
    database_url: str, redis_url: str, key_prefix: str
) -> None:
    """Its notes reach the model as data, the summary stands once, the cost is on its user."""
    changes = {"working_tokens": 200, "distiller": "model", "model_api_key": "k"}
    with ScriptedEndpoint() as endpoint:
        changes["model_base_url"] = endpoint.base_url
        endpoint.queue(status(500), status(500), status(500))
        with (
            serve(database_url, redis_url, key_prefix, "off", **changes) as served,
            Memstill(api_url=served.url, redis_url="", tenant_id="acme") as client,
        ):
            session = client.session("alice", "s")
            notes = [f"Step {number} of the migration is done now." for number in range(30)]
            for note in notes:
                failed = session.remember(note)
                if endpoint.chat_calls:
                    break
            endpoint.heal()
            endpoint.queue(completion(json.dumps({"summary": "Step 1 is done. It took 77 days."})))
            done = session.remember(f"My key is {KEY}.")
            cost = client.cost("alice")

    assert failed.summary is None
    assert done.summary is not None
    assert "Step 1 is done." == done.summary.content
    assert 5 == len(done.items)
    assert "My key is [redacted:openai-key]." == done.items[-1].content
    assert done.tokens < 160 < failed.tokens < done.budget_tokens == 200
    question = read_question(endpoint.chat_calls[-1].body)
    assert [1, notes[0]] == json.loads(question.split("\n")[1])
    assert [("summarise", 1)] == [(entry.purpose, entry.calls) for entry in cost.entries]
