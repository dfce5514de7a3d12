"""Lanes: interactive work and backfill do not stand in each other's way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pipelines.adapters.postgres import Database, PostgresInbox, PostgresWorkTable
from pipelines.model import Lane
from pipelines.testing.stores import InMemoryStores
from tests.builders import START, day, make_transcript

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.model import ReceiptId, Transcript
    from pipelines.ports import Inbox, WorkTable

WAIT, LEASE = timedelta(hours=1), timedelta(minutes=5)


@dataclass
class Work:
    inbox: Inbox
    table: WorkTable

    def accept(self, session: str, lane: Lane) -> Transcript:
        made = replace(make_transcript("Tea.", session=session), lane=lane)
        self.inbox.accept([made], START)
        return made


@pytest.fixture(params=["memory", "postgres"])
def work(request: pytest.FixtureRequest) -> Iterator[Work]:
    if request.param == "memory":
        stores = InMemoryStores(backfill_wait=WAIT)
        yield Work(stores, stores)
        return
    database = Database(request.getfixturevalue("database_url"))
    yield Work(PostgresInbox(database, WAIT), PostgresWorkTable(database))
    database.close()


def test_backfill_is_first_due_when_it_has_waited_for_a_batch(work: Work) -> None:
    """What is interactive is due at once."""
    live, old = work.accept("s1", Lane.INTERACTIVE), work.accept("s2", Lane.BACKFILL)
    assert START == work.inbox.status("acme", live.id).due_at
    assert START + WAIT == work.inbox.status("acme", old.id).due_at


def test_due_work_is_found_lane_by_lane_however_long_the_other_is(work: Work) -> None:
    """A backlog of old sessions does not hide the one that just ended."""
    old = [work.accept(f"old-{number}", Lane.BACKFILL) for number in range(5)]
    live = work.accept("live", Lane.INTERACTIVE)
    due = work.table.find_due(day(1), 3)
    assert ((live.id,), 3) == (due.transcripts, len(due.backfill))
    everything = work.table.find_due(day(1), 10)
    assert {item.id for item in old} == set(everything.backfill)


def test_sessions_share_a_call_with_those_of_their_lane_only(work: Work) -> None:
    """A session that somebody waits for does not take old ones along, nor the other way round."""
    live, also_live = (work.accept(f"live-{number}", Lane.INTERACTIVE) for number in range(2))
    old, also_old = (work.accept(f"old-{number}", Lane.BACKFILL) for number in range(2))

    def claim(lead: Transcript) -> set[ReceiptId]:
        claims = work.inbox.claim_together(lead.id, lambda _, it: list(it), day(1), LEASE, 7)
        return {item.transcript.id for item in claims}

    assert {live.id, also_live.id} == claim(live)
    assert {old.id, also_old.id} == claim(old)


def test_lane_stays_as_it_was_pushed_first(work: Work) -> None:
    """Pushing a session again changes nothing."""
    old = work.accept("s1", Lane.BACKFILL)
    work.accept("s1", Lane.INTERACTIVE)
    (claim,) = work.inbox.claim_together(old.id, lambda _, it: list(it), day(1), LEASE, 7)
    assert Lane.BACKFILL is claim.transcript.lane
