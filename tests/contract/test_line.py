"""Lines: tenants take turns, and so do the users of each; suspects go apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pipelines.adapters.postgres import Database, PostgresInbox, PostgresWorkTable
from pipelines.model import Lane, Owner
from pipelines.testing.stores import InMemoryStores
from tests.builders import START, day, make_transcript

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from pipelines.model import Transcript
    from pipelines.ports import Inbox, TranscriptClaim, WorkTable

LEASE = timedelta(minutes=5)


@dataclass
class Line:
    inbox: Inbox
    table: WorkTable

    def push(self, user: str, *sessions: str, tenant: str = "acme", at: datetime = START) -> None:
        owner = Owner(tenant, user)
        self.inbox.accept(
            [make_transcript(name, owner=owner, session=name, key=name) for name in sessions], at
        )

    def serve(self, count: int, now: datetime = START) -> list[str]:
        """The sessions that one worker after the other takes, each the first in line."""
        served, tenant = [], ""
        for _ in range(count):
            places = self.inbox.find_in_line(Lane.INTERACTIVE, tenant, now, 1, with_suspects=False)
            if not places:
                break
            claim = self.claim(places[0].receipt, now)
            tenant = places[0].owner.tenant_id
            served.append(claim.transcript.session_id)
        return served

    def claim(self, receipt: object, now: datetime = START) -> TranscriptClaim:
        claim = self.inbox.claim_transcript(receipt, now, LEASE)  # type: ignore[arg-type]
        assert claim is not None
        return claim

    def look(self, now: datetime, *, with_suspects: bool) -> int:
        found = self.inbox.find_in_line(Lane.INTERACTIVE, "", now, 99, with_suspects=with_suspects)
        return len(found)


@pytest.fixture(params=["memory", "postgres"])
def line(request: pytest.FixtureRequest) -> Iterator[Line]:
    if request.param == "memory":
        stores = InMemoryStores()
        yield Line(stores, stores)
        return
    database = Database(request.getfixturevalue("database_url"))
    yield Line(PostgresInbox(database), PostgresWorkTable(database))
    database.close()


def test_user_with_many_sessions_holds_nobody_up(line: Line) -> None:
    """Whoever comes later with a single session is served before the tail of the many."""
    line.push("busy", *[f"busy-{number}" for number in range(50)])
    line.push("calm", "calm-1", at=START + timedelta(seconds=2))

    served = line.serve(5, START + timedelta(seconds=2))

    assert "calm-1" in served
    assert [f"busy-{number}" for number in range(4)] == [
        name for name in served if name != "calm-1"
    ]


def test_users_who_push_alike_are_served_alike(line: Line) -> None:
    """At any moment no user is more than one session ahead of another."""
    for user in ("a", "b", "c"):
        line.push(user, *[f"{user}-{number}" for number in range(4)])

    served = line.serve(12)

    for count in range(len(served) + 1):
        shares = [sum(name.startswith(user) for name in served[:count]) for user in "abc"]
        assert max(shares) - min(shares) <= 1
    assert 12 == len(served)


def test_tenants_take_turns_however_many_users_push(line: Line) -> None:
    """A tenant of a hundred users does not stand before one of a single user."""
    for number in range(30):
        line.push(f"u{number}", f"many-{number}", tenant="many")
    line.push("alone", "x-1", "x-2", tenant="small")

    served = line.serve(4)

    assert ["x-1", "x-2"] == [name for name in served if name.startswith("x")]


def test_line_goes_on_with_the_tenants_behind(line: Line) -> None:
    """Whoever looks sees the next tenant first, and how many more there are."""
    for tenant in ("a", "b", "c"):
        line.push("u", f"{tenant}-1", f"{tenant}-2", tenant=tenant)

    def look(after: str, limit: int) -> list[str]:
        places = line.inbox.find_in_line(Lane.INTERACTIVE, after, START, limit, with_suspects=False)
        return [place.owner.tenant_id for place in places]

    assert ["a", "a", "b", "b", "c", "c"] == look("", 9)
    assert ["b", "b", "c"] == look("a", 3)
    assert ["c", "c"] == look("b", 9)
    assert ["a", "a", "b", "b", "c", "c"] == look("c", 9)


def test_line_holds_only_what_is_due(line: Line) -> None:
    """A postponed transcript is out of the line until the sweep puts it back at its time."""
    line.push("a", "s1")
    claim = line.claim(make_transcript("s1", owner=Owner("acme", "a"), session="s1", key="s1").id)
    line.inbox.postpone(claim, day(1), "busy")
    assert [] == line.serve(1, day(2))

    assert 0 == line.table.line_up(START, 10)
    assert 1 == line.table.line_up(day(1), 10)
    assert ["s1"] == line.serve(1, day(1))


def test_sweep_keeps_the_turns_of_one_user_apart(line: Line) -> None:
    """Those that come back together do not stand before others who come then."""
    line.push("busy", *[f"busy-{number}" for number in range(5)])
    for place in line.inbox.find_in_line(Lane.INTERACTIVE, "", START, 9, with_suspects=False):
        line.inbox.postpone(line.claim(place.receipt), day(1), "busy")
    line.table.line_up(day(1), 10)
    line.push("calm", "calm-1", at=day(1) + timedelta(seconds=1))

    assert "calm-1" in line.serve(3, day(1) + timedelta(seconds=1))


def test_orphan_is_a_suspect_and_comes_first_where_suspects_are_asked_for(line: Line) -> None:
    """Whom a dead worker held is offered only to who can keep it apart."""
    line.push("a", "s1", "s2")
    first = line.inbox.find_in_line(Lane.INTERACTIVE, "", START, 1, with_suspects=False)[0]
    line.claim(first.receipt)
    later = START + LEASE

    assert 1 == line.look(later, with_suspects=False)
    found = line.inbox.find_in_line(Lane.INTERACTIVE, "", later, 9, with_suspects=True)
    assert [first.receipt] == [place.receipt for place in found]

    claim = line.claim(first.receipt, later)
    assert (1, 2, 1, True) == (claim.deaths, claim.attempt, claim.tries, claim.is_alone)
    line.inbox.postpone(claim, later, "busy")
    line.table.line_up(later, 10)
    assert (1, 2) == (line.look(later, with_suspects=False), line.look(later, with_suspects=True))


def test_lanes_have_lines_of_their_own(line: Line) -> None:
    """Backfill is found where backfill is asked for."""
    item: Transcript = replace(make_transcript("old", session="old"), lane=Lane.BACKFILL)
    line.inbox.accept([item], START)

    assert [] == line.serve(1)
    (place,) = line.inbox.find_in_line(Lane.BACKFILL, "", START, 9, with_suspects=False)
    assert item.id == place.receipt
