"""Memories fade, come back, are pinned and held: over the API and the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from tests.acceptance.deployment import wait_until
from tests.integration.serving import serve, session
from workers.cli import app
from workers.jobs import jobs_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.serving import Served


@pytest.fixture
def served(database_url: str, redis_url: str, key_prefix: str) -> Iterator[Served]:
    with serve(database_url, redis_url, key_prefix, "off") as running:
        for name, said in (("s1", "I like green tea."), ("s2", "I play chess on Fridays.")):
            pushed = running.ask(
                None, "POST", "/v1/transcripts", json=session("alice", said, name=name)
            )
            assert 202 == pushed.status_code, pushed.text
            running.work()
        yield running


def memstill(served: Served, *words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, [*words, "--api", served.url], env={"COLUMNS": "250"})
    assert code == done.exit_code, done.output
    return done.stdout


def recalled(served: Served, query: str) -> set[str]:
    asked = {"user_id": "alice", "query": query}
    found = served.ask(None, "POST", "/v1/recall", json=asked).json()
    return {memory["statement"] for memory in found["memories"]}


def age(served: Served, days: int = 2_000) -> None:
    """Let all that is known be so much older."""
    with served.container.database.transaction() as connection:
        for table, column in (("memories", "updated_at"), ("memory_uses", "used_at")):
            connection.execute(
                text(f"UPDATE {table} SET {column} = {column} - make_interval(days => {days})")
            )


def write_uses_down(served: Served) -> None:
    """What was recalled: it is noted behind the answer's back."""
    lifecycle = served.container.lifecycle
    wait_until(lambda: lifecycle.counter.take() is not None, "the recall is noted")
    lifecycle.count_uses.run()


def ids(served: Served) -> dict[str, str]:
    found = served.ask(None, "GET", "/v1/memories", params={"user_id": "alice"}).json()["memories"]
    return {memory["statement"]: memory["id"] for memory in found}


def test_faded_memory_is_shown_evicted_explained_and_had_back(served: Served) -> None:
    """A dry run changes nothing; what a person has back is recalled again, and counts as used."""
    tea = next(key for statement, key in ids(served).items() if "tea" in statement)
    known = recalled(served, "green tea")
    assert known
    write_uses_down(served)
    age(served)

    preview = memstill(served, "decay", "--dry-run")
    assert len(known) == len(recalled(served, "green tea"))
    # That recall gave all of them a new life.
    write_uses_down(served)
    assert "0 memories had faded" in memstill(served, "decay")
    age(served)
    evicted = memstill(served, "decay")
    served.container.project.run()

    assert "memories would go" in preview
    assert "faded to 0.0" in preview
    assert "█" in preview
    assert f"{len(ids(served))} memories had faded" in evicted
    assert set() == recalled(served, "green tea")
    assert "memory_evicted" in memstill(served, "memory", "history", tea)
    assert "at a half-life of" in memstill(served, "memory", "history", tea)
    assert "evicted" in memstill(served, "memory", "show", tea)
    memstill(served, "memory", "restore", tea)
    served.container.project.run()

    assert any("tea" in statement for statement in recalled(served, "green tea"))
    assert "0 memories had faded" in memstill(served, "decay")


def test_pinned_memory_outlives_the_others_and_purge_takes_what_nobody_wanted(
    served: Served,
) -> None:
    """With its facts and its point; the log says that it was there."""
    chess = next(key for statement, key in ids(served).items() if "chess" in statement)
    assert "pinned" in memstill(served, "memory", "pin", chess)
    age(served)
    memstill(served, "decay")
    with served.container.database.transaction() as connection:
        connection.execute(text("UPDATE memories SET evicted_at = evicted_at - interval '31 days'"))

    before = ids(served)
    outcome = memstill(served, "run", "purge")
    served.container.project.run()

    assert f"{len(before) - 1} memories" in outcome
    assert [chess] == list(ids(served).values())
    with served.container.database.transaction() as connection:
        facts = connection.execute(text("SELECT count(*) FROM facts")).scalar_one()
        purged = connection.execute(
            text("SELECT count(*) FROM events WHERE name = 'memory_purged'")
        ).scalar_one()
    assert (len(before) - 1, True) == (purged, facts >= 1)
    assert "pinned" not in memstill(served, "memory", "unpin", chess)


def test_held_user_is_neither_evicted_nor_erased(served: Served) -> None:
    """Until the hold is released; who held and released stays known while the user is."""
    age(served)
    placed = memstill(served, "holds", "place", "--user", "alice", "--reason", "case 7")
    hold = placed.splitlines()[1].split()[0]

    assert "0 memories had faded" in memstill(served, "decay")
    refused = CliRunner().invoke(app, ["erase", "--user", "alice", "--yes", "--api", served.url])
    assert 1 == refused.exit_code
    assert "legal hold" in str(refused.exception)
    assert ids(served)
    assert hold in memstill(served, "holds", "list")
    assert "by counsel" in memstill(served, "holds", "release", hold, "--by", "counsel")

    memstill(served, "erase", "--user", "alice", "--yes")
    assert {} == ids(served)
    assert "nobody is held" in memstill(served, "holds", "list")


def test_every_job_that_runs_twice_does_what_it_does_once(served: Served) -> None:
    """Also after a week in which none ran."""
    age(served)
    jobs = jobs_of(served.container)
    for turn in jobs.flows.values():
        turn(None)
    served.container.project.run()
    once = served.ask(None, "GET", "/v1/memories").json()

    for turn in jobs.flows.values():
        turn(None)
    served.container.project.run()

    assert once == served.ask(None, "GET", "/v1/memories").json()
