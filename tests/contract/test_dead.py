"""Dead letters keep their contract, in memory and on PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from config.spending import BudgetPolicy
from pipelines.adapters.postgres import (
    Database,
    PostgresDeadLetters,
    PostgresInbox,
    PostgresLedger,
    PostgresReplies,
)
from pipelines.errors import NotFound
from pipelines.model import Lane, Owner, ReceiptId, TranscriptState
from pipelines.ports import ChatReply, DeadFilter, PaidFor, Purpose
from pipelines.testing.dead import InMemoryDeadLetters
from pipelines.testing.models import InMemoryReplies
from pipelines.testing.stores import InMemoryStores
from pipelines.testing.surroundings import ManualClock
from tests.builders import ALICE, BOB, START, day, make_transcript

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from pipelines.model import Transcript
    from pipelines.ports import DeadLetter, DeadLetters, Inbox, ReplyStore

LEASE = timedelta(minutes=5)
LATER = day(9)
NOBODY = ReceiptId(make_transcript("nobody").id)


@dataclass
class Morgue:
    inbox: Inbox
    dead: DeadLetters
    replies: ReplyStore

    def kill(
        self,
        name: str,
        *,
        owner: Owner = ALICE,
        reason: str = "BadReply",
        error: str = "BadReply: no JSON",
        at: datetime = START,
        lane: Lane = Lane.INTERACTIVE,
    ) -> Transcript:
        """Push a session, try it twice, and give it up."""
        item = replace(make_transcript(name, owner=owner, session=name, key=name), lane=lane)
        self.inbox.accept([item], at)
        first = self.inbox.claim_transcript(item.id, at, LEASE)
        assert first is not None
        self.inbox.postpone(first, at, "busy")
        again = self.inbox.claim_transcript(item.id, at, LEASE)
        assert again is not None
        self.inbox.dead_letter(again, reason, error, at)
        return item

    def push(self, name: str) -> Transcript:
        item = make_transcript(name, session=name, key=name)
        self.inbox.accept([item], START)
        return item

    def answer(self, text: str, *items: Transcript) -> None:
        receipts = tuple(item.id for item in items)
        paid_for = PaidFor(items[0].owner, Purpose.DISTILL, receipts)
        hold = self.replies.ledger.reserve("m", 10, paid_for)
        self.replies.keep_reply(text, ChatReply(text, "m"), paid_for, hold)

    def names(self, wanted: DeadFilter | None = None, tenant: str = "acme") -> list[str]:
        found = self.dead.list_dead(tenant, wanted or DeadFilter(), None, 99)
        return [letter.session_id for letter in found]

    def letter(self, item: Transcript) -> DeadLetter:
        return self.dead.load_dead(item.owner.tenant_id, item.id)

    def state(self, item: Transcript) -> TranscriptState:
        return self.inbox.status(item.owner.tenant_id, item.id).state


@pytest.fixture(params=["memory", "postgres"])
def morgue(request: pytest.FixtureRequest) -> Iterator[Morgue]:
    if request.param == "memory":
        stores, kept = InMemoryStores(), InMemoryReplies()
        yield Morgue(stores, InMemoryDeadLetters(stores, kept), kept)
        return
    database = Database(request.getfixturevalue("database_url"))
    ledger = PostgresLedger(database, BudgetPolicy(), ManualClock(START))
    yield Morgue(
        PostgresInbox(database), PostgresDeadLetters(database), PostgresReplies(database, ledger)
    )
    database.close()


def test_dead_letter_says_whose_it_was_and_why_it_died(morgue: Morgue) -> None:
    """All that an operator asks first."""
    item = morgue.kill("s1", at=day(1), lane=Lane.BACKFILL)

    (letter,) = morgue.dead.list_dead("acme", DeadFilter(), None, 9)

    assert (item.id, ALICE, "s1", Lane.BACKFILL) == (
        letter.receipt,
        letter.owner,
        letter.session_id,
        letter.lane,
    )
    assert ("BadReply", "BadReply: no JSON", 2, 0) == (
        letter.reason,
        letter.last_error,
        letter.attempts,
        letter.deaths,
    )
    assert (day(1), day(1), True, None) == (
        letter.received_at,
        letter.died_at,
        letter.is_readable,
        letter.copy_of,
    )
    assert letter == morgue.letter(item)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (DeadFilter(), ["s4", "s3", "s2", "s1"]),
        (DeadFilter(reason="badreply"), ["s4", "s1"]),
        (DeadFilter(reason="100%"), []),
        (DeadFilter(error="CUT OFF"), ["s4"]),
        (DeadFilter(user_id="bob"), ["s3"]),
        (DeadFilter(session_id="s2"), ["s2"]),
        (DeadFilter(since=day(2)), ["s4", "s3", "s2"]),
        (DeadFilter(until=day(2)), ["s2", "s1"]),
        (DeadFilter(user_id="alice", reason="Refused", since=day(1)), ["s2"]),
        (DeadFilter(is_shadow=True), []),
        (DeadFilter(is_shadow=None), ["s4", "s3", "s2", "s1"]),
    ],
    ids=[
        "all", "reason", "no-pattern", "error", "user", "session", "since", "until", "several",
        "shadow", "both",
    ],
)  # fmt: skip
def test_dead_letters_are_filtered_newest_first(
    morgue: Morgue, wanted: DeadFilter, expected: list[str]
) -> None:
    """By everything that is named, and for their tenant alone."""
    morgue.kill("s1", at=day(1))
    morgue.kill("s2", at=day(2), reason="ModelRefused", error="401")
    morgue.kill("s3", at=day(3), reason="ModelRefused", owner=BOB)
    morgue.kill("s4", at=day(4), error="BadReply: the answer was cut off")
    morgue.kill("foreign", at=day(2), owner=Owner("other", "alice"))
    morgue.push("alive")

    assert expected == morgue.names(wanted)


def test_dead_letters_are_read_page_by_page_in_both_directions(morgue: Morgue) -> None:
    """Nothing is left out or told twice where several died at one moment."""
    names = [morgue.kill(f"s{number}", at=day(number // 3)).session_id for number in range(8)]

    for oldest_first in (False, True):
        found: list[DeadLetter] = []
        while page := morgue.dead.list_dead(
            "acme",
            DeadFilter(),
            found[-1].cursor if found else None,
            3,
            oldest_first=oldest_first,
        ):
            found += page
        assert sorted(names) == sorted(letter.session_id for letter in found)
        cursors = [letter.cursor for letter in found]
        assert sorted(cursors, reverse=not oldest_first) == cursors


def test_dead_letter_of_another_tenant_and_what_lives_are_not_found(morgue: Morgue) -> None:
    """Both are answered as one that never was."""
    item, alive = morgue.kill("s1"), morgue.push("alive")

    for tenant, receipt in (("other", item.id), ("acme", alive.id), ("acme", NOBODY)):
        with pytest.raises(NotFound, match=str(receipt)):
            morgue.dead.load_dead(tenant, receipt)


def test_unreadable_payload_is_shown_as_it_was_pushed(morgue: Morgue) -> None:
    """A transcript has none."""
    receipt = morgue.inbox.bury(ALICE, "{nonsense", "messages: is required", START)
    letter = morgue.dead.load_dead("acme", receipt)

    assert not letter.is_readable
    assert "{nonsense" == morgue.dead.load_payload(letter)
    assert None is morgue.dead.load_payload(morgue.letter(morgue.kill("s1")))


def test_replies_are_those_of_every_call_that_carried_the_transcript(morgue: Morgue) -> None:
    """Alone and in company."""
    one, two = morgue.kill("s1"), morgue.kill("s2")
    morgue.answer("alone", one)
    morgue.answer("together", one, two)
    morgue.answer("other", two)

    found = morgue.dead.list_replies(morgue.letter(one))

    assert {("alone", (one.id,)), ("together", (one.id, two.id))} == {
        (reply.text, reply.receipts) for reply in found
    }
    assert {("distill", "m")} == {(reply.purpose, reply.model) for reply in found}


def test_replayed_transcript_begins_anew_and_stands_in_line(morgue: Morgue) -> None:
    """Attempts, deaths and reason are forgotten; that it goes alone is not."""
    item = morgue.push("s1")
    assert morgue.inbox.claim_transcript(item.id, START, LEASE)
    claim = morgue.inbox.claim_transcript(item.id, START + LEASE, LEASE)
    assert claim is not None
    assert (1, True) == (claim.deaths, claim.is_alone)
    morgue.inbox.dead_letter(claim, "killed_its_worker", "x", START)

    back = morgue.dead.requeue([morgue.letter(item)], LATER, is_fresh=False)

    assert {item.id} == back
    status = morgue.inbox.status("acme", item.id)
    assert (TranscriptState.QUEUED, 0, None, None, LATER) == (
        status.state,
        status.attempts,
        status.reason,
        status.finished_at,
        status.due_at,
    )
    (place,) = morgue.inbox.find_in_line(Lane.INTERACTIVE, "", LATER, 9, with_suspects=False)
    assert item.id == place.receipt
    again = morgue.inbox.claim_transcript(item.id, LATER, LEASE)
    assert again is not None
    assert (1, 0, True) == (again.attempt, again.deaths, again.is_alone)


def test_replaying_what_is_not_dead_changes_nothing(morgue: Morgue) -> None:
    """Two operators who replay the same letter at once have it replayed once."""
    item = morgue.kill("s1")
    letter = morgue.letter(item)
    assert {item.id} == morgue.dead.requeue([letter], LATER, is_fresh=False)
    claim = morgue.inbox.claim_transcript(item.id, LATER, LEASE)
    assert claim is not None

    assert set() == morgue.dead.requeue([letter], LATER, is_fresh=True)
    assert set() == morgue.dead.drop([letter])

    morgue.inbox.commit_distilled(claim, [], [], LATER)
    assert TranscriptState.DONE is morgue.state(item)


def test_unreadable_letter_is_no_transcript_to_be_replayed(morgue: Morgue) -> None:
    """It has to be read first."""
    receipt = morgue.inbox.bury(ALICE, "{nonsense", "messages: is required", START)
    letter = morgue.dead.load_dead("acme", receipt)

    assert set() == morgue.dead.requeue([letter], LATER, is_fresh=False)
    morgue.dead.correct(letter, "role: is unknown")
    assert "role: is unknown" == morgue.dead.load_dead("acme", receipt).reason


def test_dry_run_tells_the_same_and_changes_nothing(morgue: Morgue) -> None:
    """Neither letters nor replies."""
    item = morgue.kill("s1")
    morgue.answer("alone", item)
    letter = morgue.letter(item)

    assert {item.id} == morgue.dead.requeue([letter], LATER, is_fresh=True, is_dry=True)
    assert {item.id} == morgue.dead.drop([letter], is_dry=True)

    assert letter == morgue.letter(item)
    assert 1 == len(morgue.dead.list_replies(letter))


def test_fresh_replay_forgets_what_nobody_else_goes_on_from(morgue: Morgue) -> None:
    """A reply that a transcript on its road shares stays: it would be paid twice."""
    item, done, alive = morgue.kill("s1"), morgue.kill("s2"), morgue.push("alive")
    morgue.answer("alone", item)
    morgue.answer("with the dead", item, done)
    morgue.answer("with the living", item, alive)
    morgue.answer("of others", done)
    letter, other = morgue.letter(item), morgue.letter(done)

    morgue.dead.requeue([letter], LATER, is_fresh=True)

    assert ["with the living"] == [reply.text for reply in morgue.dead.list_replies(letter)]
    assert ["of others"] == [reply.text for reply in morgue.dead.list_replies(other)]


def test_replay_keeps_what_was_paid_unless_it_is_told_otherwise(morgue: Morgue) -> None:
    """Stored replies stand in for their calls."""
    item = morgue.kill("s1")
    morgue.answer("alone", item)
    letter = morgue.letter(item)

    morgue.dead.requeue([letter], LATER, is_fresh=False)

    assert ["alone"] == [reply.text for reply in morgue.dead.list_replies(letter)]


def test_dropped_letter_is_gone_with_its_replies(morgue: Morgue) -> None:
    """Also what was answered for several: without one of them it is of no use."""
    item, other = morgue.kill("s1"), morgue.kill("s2")
    morgue.answer("alone", item)
    morgue.answer("together", item, other)
    letter = morgue.letter(item)

    assert {item.id} == morgue.dead.drop([letter])

    assert ["s2"] == morgue.names()
    assert [] == morgue.dead.list_replies(letter)
    assert {"unknown": 1} == morgue.inbox.states("acme", [item.id])
