"""What a newer release has stored stays as it is until one of its workers comes."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from pipelines.adapters.postgres import Database, PostgresInbox, PostgresMemoryStore
from pipelines.errors import NewerFormat
from pipelines.flows.distill import Distill
from pipelines.model import Lane, MemoryId
from pipelines.testing.models import OneDistiller
from pipelines.testing.surroundings import ManualClock, RecordingWaker
from tests.builders import START, make_transcript
from tests.unit.flows.distilling import ScriptedDistiller, quote_everything

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with closing(Database(database_url)) as opened:
        yield opened


def test_transcript_of_a_newer_format_is_left_in_the_line_and_holds_nobody_up(
    database: Database, database_url: str
) -> None:
    """An older worker takes the others, and uses up no attempt of it."""
    newer, other = make_transcript("newer", session="newer"), make_transcript("other")
    inbox = PostgresInbox(database)
    inbox.accept([newer, other], START)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "UPDATE transcripts SET body = jsonb_set(body, '{schema_version}', '2')"
            " WHERE session_id = 'newer'"
        )
    flow = Distill(
        inbox,
        OneDistiller(ScriptedDistiller(quote_everything)),
        RecordingWaker(),
        ManualClock(START + timedelta(minutes=1)),
        lease=timedelta(minutes=5),
        max_attempts=3,
        judge=lambda _, __: None,
    )

    for _ in range(6):
        flow.run_next(Lane.INTERACTIVE)

    assert "distilled" == inbox.status("acme", other.id).state.value
    left = inbox.status("acme", newer.id)
    assert ("queued", 0) == (left.state.value, left.attempts)


def test_history_says_so_when_a_newer_release_has_written_it(
    database: Database, database_url: str
) -> None:
    """An event that cannot be read is not left out of the history."""
    newer = make_transcript("any").id
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO events (tenant_id, user_id, memory_id, name, schema_version, body, at)"
            " VALUES ('acme', 'alice', %s, 'memory_thought', 2, '{}', now())",
            [newer],
        )

    with pytest.raises(NewerFormat, match="stored event has version 2"):
        PostgresMemoryStore(database).read_events("acme", MemoryId(newer))
