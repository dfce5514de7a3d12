"""Transcripts that wait for a budget, in memory and on PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pipelines.adapters.postgres import Database, PostgresInbox, PostgresWorkTable
from pipelines.errors import LeaseLost
from pipelines.model import Owner, TranscriptState
from pipelines.testing.stores import InMemoryStores
from tests.builders import ALICE, BOB, START, make_transcript

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.model import Transcript
    from pipelines.ports import Inbox, Status, TranscriptClaim, WorkTable

LEASE = timedelta(minutes=5)
LATER = START + timedelta(minutes=5)
REASON = "no room"
SMALL, LARGE = "I have 2 cats.", "I have 2 cats. " * 40
ELSEWHERE = Owner("other", "alice")


class Work:
    """An inbox and what the sweep sees of it."""

    def __init__(self, inbox: Inbox, table: WorkTable) -> None:
        self.inbox, self.table = inbox, table

    def accept(self, owner: Owner, session: str, text: str = SMALL) -> Transcript:
        transcript = make_transcript(text, owner=owner, session=session)
        self.inbox.accept([transcript], START)
        return transcript

    def claim(self, transcript: Transcript) -> TranscriptClaim:
        claim = self.inbox.claim_transcript(transcript.id, START, LEASE)
        assert claim is not None
        return claim

    def park(self, transcript: Transcript, *, whole_tenant: bool = False) -> TranscriptClaim:
        claim = self.claim(transcript)
        self.inbox.park(claim, LATER, REASON, START, whole_tenant=whole_tenant)
        return claim

    def status(self, transcript: Transcript) -> Status:
        return self.inbox.status(transcript.owner.tenant_id, transcript.id)

    def state(self, transcript: Transcript) -> TranscriptState:
        return self.status(transcript).state


@pytest.fixture(params=["memory", "postgres"])
def work(request: pytest.FixtureRequest) -> Iterator[Work]:
    if request.param == "memory":
        stores = InMemoryStores()
        yield Work(stores, stores)
        return
    database = Database(request.getfixturevalue("database_url"))
    yield Work(PostgresInbox(database), PostgresWorkTable(database))
    database.close()


def test_parked_transcript_says_why_and_until_when(work: Work) -> None:
    """And the attempt that found no room does not count."""
    transcript = work.accept(ALICE, "s1")
    assert START == work.status(transcript).due_at
    work.park(transcript)

    status = work.status(transcript)
    assert (TranscriptState.PARKED, REASON, LATER, 0) == (
        status.state,
        status.reason,
        status.due_at,
        status.attempts,
    )
    assert {"parked": 1} == work.inbox.states("acme", [transcript.id])
    assert {"alice": 1} == work.inbox.count_parked("acme")
    assert {} == work.inbox.count_parked("other")


def test_parked_transcript_goes_on_when_its_time_has_come(work: Work) -> None:
    """Not before; then the sweep finds it, a worker takes it, and no reason is left over."""
    transcript = work.accept(ALICE, "s1")
    work.park(transcript)
    early = LATER - timedelta(seconds=1)

    assert () == work.table.find_due(early, 10).transcripts
    assert work.inbox.claim_transcript(transcript.id, early, LEASE) is None
    assert (transcript.id,) == work.table.find_due(LATER, 10).transcripts
    claim = work.inbox.claim_transcript(transcript.id, LATER, LEASE)
    assert claim is not None
    assert (1, transcript) == (claim.attempt, claim.transcript)
    status = work.status(transcript)
    assert (TranscriptState.DISTILLING, None, None) == (status.state, status.reason, status.due_at)
    assert {} == work.inbox.count_parked("acme")


def test_parking_for_a_user_takes_along_what_is_not_smaller(work: Work) -> None:
    """What has as little room is parked at once; what is smaller is tried; others go on."""
    leader = work.accept(ALICE, "s1", LARGE)
    as_large = work.accept(ALICE, "s2", LARGE)
    smaller = work.accept(ALICE, "s3", SMALL)
    of_bob = work.accept(BOB, "s4", LARGE)
    work.park(leader)

    assert TranscriptState.PARKED is work.state(as_large)
    assert (REASON, LATER) == (work.status(as_large).reason, work.status(as_large).due_at)
    assert TranscriptState.QUEUED is work.state(smaller)
    assert TranscriptState.QUEUED is work.state(of_bob)


def test_parking_for_a_tenant_takes_along_all_its_users(work: Work) -> None:
    """And no other tenant's."""
    leader = work.accept(ALICE, "s1")
    of_bob = work.accept(BOB, "s2")
    elsewhere = work.accept(ELSEWHERE, "s3")
    work.park(leader, whole_tenant=True)

    assert TranscriptState.PARKED is work.state(of_bob)
    assert TranscriptState.QUEUED is work.state(elsewhere)
    assert {"alice": 1, "bob": 1} == work.inbox.count_parked("acme")


def test_parking_leaves_alone_what_is_under_way_waits_or_has_ended(work: Work) -> None:
    """Only what is due and free is parked."""
    leader = work.accept(ALICE, "s1")
    taken, waiting, ended = [work.accept(ALICE, f"s{number}") for number in (2, 3, 4)]
    held = work.claim(taken)
    work.inbox.postpone(work.claim(waiting), LATER, "429")
    work.inbox.dead_letter(work.claim(ended), "BadReply", "no JSON", START)
    work.park(leader)

    assert TranscriptState.DISTILLING is work.state(taken)
    assert TranscriptState.QUEUED is work.state(waiting)
    assert TranscriptState.DEAD is work.state(ended)
    work.inbox.commit_distilled(held, [], [], START)
    assert TranscriptState.DONE is work.state(taken)


def test_parking_is_refused_when_the_lease_was_lost(work: Work) -> None:
    """A worker that was thought dead parks nothing."""
    transcript = work.accept(ALICE, "s1")
    claim = work.claim(transcript)
    assert work.inbox.claim_transcript(transcript.id, START + LEASE, LEASE)
    with pytest.raises(LeaseLost):
        work.inbox.park(claim, LATER, REASON, START, whole_tenant=False)
    assert (TranscriptState.DISTILLING, 2) == (
        work.state(transcript),
        work.status(transcript).attempts,
    )


def test_parking_by_many_workers_at_once_ends(work: Work) -> None:
    """However many find out at the same moment, each transcript is parked, and nobody waits."""
    transcripts = [work.accept(ALICE, f"s{number}") for number in range(24)]

    def park(transcript: Transcript) -> bool:
        claim = work.inbox.claim_transcript(transcript.id, START, LEASE)
        if claim is not None:
            work.inbox.park(claim, LATER, REASON, START, whole_tenant=True)
        return claim is not None

    with ThreadPoolExecutor(8) as pool:
        parked = list(pool.map(park, transcripts))

    assert any(parked)
    assert {"parked": 24} == work.inbox.states("acme", [item.id for item in transcripts])
