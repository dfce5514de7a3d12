"""The event log over the API and the command line: compared, written from, archived."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from tests.integration.serving import serve, session
from workers.cli import app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.serving import Served


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.fixture
def served(database_url: str, redis_url: str, key_prefix: str, folder: Path) -> Iterator[Served]:
    url = folder.as_uri()
    with serve(database_url, redis_url, key_prefix, "off", archive_url=url) as running:
        said = session("alice", "I like green tea.", "I play chess on Fridays.")
        assert 202 == running.ask(None, "POST", "/v1/transcripts", json=said).status_code
        running.work()
        yield running


def memstill(served: Served, *words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, [*words, "--api", served.url], env={"COLUMNS": "250"})
    assert code == done.exit_code, done.output
    return done.stdout


def execute(served: Served, statement: str) -> None:
    with served.container.database.transaction() as connection:
        connection.execute(text(statement))


def test_tables_that_say_something_else_than_the_log_are_found_and_written_anew(
    served: Served,
) -> None:
    """What somebody changed by hand is as it was, and recall finds what they had deleted."""
    known = served.ask(None, "GET", "/v1/memories").json()
    (key, *_) = [memory["id"] for memory in known["memories"] if "tea" in memory["statement"]]
    assert "no difference" in memstill(served, "events", "check")

    execute(served, f"DELETE FROM memories WHERE id = '{key}'")
    execute(served, "UPDATE memories SET importance = 0")
    found = memstill(served, "events", "check", "--user", "alice", code=1)
    assert f"{key}  missing" in found
    assert "importance" in found
    written = memstill(served, "events", "rebuild", "--user", "alice")
    served.container.project.run()

    assert f"{len(known['memories'])} memories written" in written
    assert "no difference" in memstill(served, "events", "check")
    assert known == served.ask(None, "GET", "/v1/memories").json()
    asked = {"user_id": "alice", "query": "green tea"}
    recalled = served.ask(None, "POST", "/v1/recall", json=asked).json()["memories"]
    assert key in {memory["id"] for memory in recalled}


def test_history_of_a_purged_memory_is_told_on_the_command_line(served: Served) -> None:
    """What it said, why it faded, and that it is gone."""
    known = served.ask(None, "GET", "/v1/memories").json()["memories"]
    execute(served, "UPDATE memories SET updated_at = updated_at - interval '9 years'")
    execute(served, "DELETE FROM memory_uses")
    memstill(served, "decay")
    execute(served, "UPDATE memories SET evicted_at = evicted_at - interval '31 days'")
    memstill(served, "run", "purge")

    assert [] == served.ask(None, "GET", "/v1/memories").json()["memories"]
    for memory in known:
        told = memstill(served, "memory", "history", memory["id"])
        assert memory["statement"] in told
        assert "half-life" in told
        assert "memory_purged" in told


# A user of long ago: each of their memories was pinned and let go again and again.
PAST = """
INSERT INTO events (tenant_id, user_id, memory_id, name, schema_version, body, at)
SELECT tenant_id, user_id, id, 'memory_unpinned', 1, jsonb_build_object('memory',
    jsonb_build_object('state', state, 'scope', scope, 'version', version, 'pinned', false)), now()
FROM memories, generate_series(1, 1200)
"""


def test_old_events_are_archived_looked_at_again_and_erased_with_their_user(
    served: Served, folder: Path
) -> None:
    """What is known is told from a snapshot meanwhile; in the end no file is left."""
    execute(served, PAST)
    execute(served, "UPDATE events SET at = now() - interval '100 days'")
    known = served.ask(None, "GET", "/v1/memories").json()
    (key, *_) = [memory["id"] for memory in known["memories"]]

    assert "the archive has nothing" in memstill(served, "archive", "list")
    assert "1 snapshots" in memstill(served, "run", "snapshot-events")
    assert "events" in memstill(served, "run", "archive")
    listed = memstill(served, "archive", "list", "--user", "alice")
    assert "events" in listed
    assert {".zst", ".json"} == {path.suffix for path in folder.rglob("*.*")}
    assert [] == served.ask(None, "GET", f"/v1/memories/{key}/history").json()["events"]
    assert "no difference" in memstill(served, "events", "check")

    assert "events put back" in memstill(served, "archive", "restore", "--user", "alice")
    told = served.ask(None, "GET", f"/v1/memories/{key}/history").json()["events"]
    assert ("memory_inserted", 1202) == (told[0]["name"], len(told))
    assert "no difference" in memstill(served, "events", "check")

    receipt = memstill(served, "erase", "--user", "alice", "--yes", "--json")
    assert '"archive"' in receipt
    assert [] == [path for path in folder.rglob("*") if path.is_file()]
    assert "the archive has nothing" in memstill(served, "archive", "list")
