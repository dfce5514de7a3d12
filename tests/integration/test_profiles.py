"""Profiles over the API, the command line and psql: what is known there is recalled."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import psycopg
import pytest
from typer.testing import CliRunner

from memstill_client import AsyncMemstill, Memstill, Refused
from tests.integration.serving import Served, serve, session
from workers.cli import app

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def served(database_url: str, redis_url: str, key_prefix: str) -> Iterator[Served]:
    with serve(database_url, redis_url, key_prefix, "keys") as running:
        yield running


def memstill(served: Served, key: str, *words: str) -> str:
    environment = {"COLUMNS": "200", "MEMSTILL_API_KEY": key}
    done = CliRunner().invoke(app, [*words, "--api", served.url], env=environment)
    assert 0 == done.exit_code, (done.output, done.exception)
    return done.stdout


def test_profile_is_recalled_whoever_wrote_it(served: Served, database_url: str) -> None:
    """By words and by meaning, from the truth and not from the index; and gone with its user."""
    key = served.make_key(user_id="alice").text
    client = Memstill(api_url=served.url, redis_url="", api_key=key)
    client.enqueue(session("alice", "I play chess on Fridays."))
    first = client.patch_profile("alice", preferences={"favourite_colour": "teal", "tone": "dry"})
    memstill(served, key, "profile", "set", "--user", "alice", "--learned", "employer=Siemens")
    served.work()

    def recalled(query: str) -> dict[str, tuple[str, str, str]]:
        found = client.recall(query, "alice")
        return {
            item.statement: (item.kind, item.speaker, item.message_id) for item in found.memories
        }

    assert 1 == first.version
    where = ("profile", "profile", "preferences.favourite_colour")
    assert where == recalled("favourite colour")["User's favourite colour: teal"]
    assert "User's employer: Siemens" in recalled("Where does she work?")
    assert "chess" in " ".join(recalled("chess"))

    with psycopg.connect(database_url) as connection:
        connection.execute(
            'UPDATE user_profiles SET preferences = \'{"favourite_colour": "ochre"}\''
        )
    # Hydrated from the truth, although the index has the old value still.
    assert "User's favourite colour: ochre" in recalled("favourite colour teal")
    assert "User's tone: dry" not in recalled("tone")
    served.work()
    assert "User's favourite colour: ochre" in recalled("ochre")
    shown = json.loads(memstill(served, key, "profile", "show", "--user", "alice", "--json"))
    assert {"favourite_colour": "ochre"} == shown["preferences"]
    assert "ochre" in memstill(served, key, "profile", "show", "--user", "alice")
    with pytest.raises(Refused, match="version"):
        client.patch_profile("alice", learned={"employer": None}, version=1)
    with pytest.raises(Refused, match="user_id"):
        client.profile("bob")

    client.close()
    # Her own key goes with her.
    tenants = served.make_key("acme")
    served.ask(tenants, "DELETE", "/v1/users/alice")
    served.work()
    asked = {"user_id": "alice", "query": "favourite colour"}
    assert [] == served.ask(tenants, "POST", "/v1/recall", json=asked).json()["memories"]
    assert 0 == served.ask(tenants, "GET", "/v1/profiles/alice").json()["version"]
    with psycopg.connect(database_url) as connection:
        (left,) = connection.execute("SELECT count(*) FROM profile_entries").fetchone() or (1,)
        (waiting,) = connection.execute("SELECT count(*) FROM outbox").fetchone() or (1,)
    assert (0, 0) == (left, waiting)
    assert [] == served.container.index.scan(None, 10)


def test_secret_in_a_profile_is_redacted_before_it_is_stored(served: Served) -> None:
    """By what the field is called as well; nested values, too."""
    key = served.make_key("acme").text
    with Memstill(api_url=served.url, redis_url="", api_key=key) as client:
        stored = client.patch_profile(
            "alice",
            learned={"password": "correct-horse-9", "x": {"note": "my password is hunter2zz"}},
        )

    assert "correct-horse-9" not in repr(stored)
    assert "hunter2zz" not in repr(stored)


def test_both_clients_ask_alike(served: Served) -> None:
    """What the one patches, the other reads."""
    key = served.make_key("acme").text

    async def ask() -> dict[str, object]:
        async with AsyncMemstill(api_url=served.url, redis_url="", api_key=key) as client:
            await client.patch_profile("a/b", preferences={"tone": "dry"}, version=0)
            sessions = [item async for item in client.sessions("a/b")]
            verdicts = [item async for item in client.verdicts("a/b")]
            imported = await client.import_sessions("a/b", [])
            placed = await client.settle_import("a/b", [])
            profile = await client.profile("a/b")
            return {
                "told": profile.preferences,
                "empty": [sessions, verdicts, imported.facts, placed.waiting],
            }

    assert {"told": {"tone": "dry"}, "empty": [[], [], 0, 0]} == asyncio.run(ask())
