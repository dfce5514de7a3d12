"""Who shares a model call: the inbox and the stored replies, in memory and on PostgreSQL."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from config.spending import BudgetPolicy
from pipelines.adapters.postgres import Database, PostgresInbox, PostgresReplies
from pipelines.adapters.postgres.ledger import PostgresLedger
from pipelines.errors import LeaseLost
from pipelines.model import Owner, ReceiptId, receipt_id
from pipelines.ports import ChatReply, PaidFor, Purpose, TranscriptClaim
from pipelines.testing.models import InMemoryReplies
from pipelines.testing.stores import InMemoryStores
from pipelines.testing.surroundings import ManualClock
from tests.builders import ALICE, BOB, START, day, make_transcript

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipelines.model import Transcript
    from pipelines.ports import Inbox, ReplyStore

    Choose = Callable[[Transcript, Sequence[Transcript]], Sequence[Transcript]]

LEASE = timedelta(minutes=5)
LATER = START + LEASE


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture(params=["memory", "postgres"])
def inbox(request: pytest.FixtureRequest) -> Inbox:
    if request.param == "memory":
        return InMemoryStores()
    return PostgresInbox(request.getfixturevalue("database"))


@pytest.fixture(params=["memory", "postgres"])
def replies(request: pytest.FixtureRequest) -> ReplyStore:
    if request.param == "memory":
        return InMemoryReplies()
    opened = request.getfixturevalue("database")
    # A reply is kept only for transcripts that are there.
    talks = [make_transcript(key, owner=whose, key=key) for whose in (ALICE, BOB) for key in "abc"]
    PostgresInbox(opened).accept(talks, START)
    return PostgresReplies(opened, PostgresLedger(opened, BudgetPolicy(), ManualClock(START)))


def accept(inbox: Inbox, *sessions: str, owner: Owner = ALICE) -> list[Transcript]:
    """Sessions of a user, one a day; their order is that of their names' numbers."""
    transcripts = [
        make_transcript("I like tea.", owner=owner, session=name, at=day(int(name[1:])))
        for name in sessions
    ]
    inbox.accept(transcripts, START)
    return transcripts


def claim(inbox: Inbox, transcript: Transcript) -> TranscriptClaim:
    found = inbox.claim_transcript(transcript.id, START, LEASE)
    assert found is not None
    return found


def take_all(_: Transcript, waiting: Sequence[Transcript]) -> Sequence[Transcript]:
    return waiting


def claim_together(
    inbox: Inbox, lead: Transcript, choose: Choose = take_all, limit: int = 7
) -> list[TranscriptClaim]:
    return inbox.claim_together(lead.id, choose, START, LEASE, limit)


def sessions_of(claims: Sequence[TranscriptClaim]) -> list[str]:
    return [item.transcript.session_id for item in claims]


def test_company_is_what_else_of_the_user_is_due_the_oldest_session_first(inbox: Inbox) -> None:
    """Neither another user's, nor what is held, finished or not yet due."""
    lead, held, done, later, *_ = accept(inbox, "s4", "s1", "s2", "s3", "s6", "s5")
    accept(inbox, "s0", owner=BOB)
    claim(inbox, held)
    inbox.commit_distilled(claim(inbox, done), [], [], START)
    inbox.postpone(claim(inbox, later), LATER, "an outage")

    assert ["s4", "s5", "s6"] == sessions_of(claim_together(inbox, lead))


def test_company_is_leased_like_any_other_transcript(inbox: Inbox) -> None:
    """Its attempt is counted, nobody else gets it, and its own fence commits it."""
    lead, other = accept(inbox, "s1", "s2")
    first, company = claim_together(inbox, lead)

    assert [(lead, 1), (other, 1)] == [(it.transcript, it.attempt) for it in (first, company)]
    assert inbox.claim_transcript(other.id, START, LEASE) is None
    assert inbox.claim_transcript(other.id, LATER, LEASE) is not None
    with pytest.raises(LeaseLost):
        inbox.commit_distilled(company, [], [], LATER)


def test_company_is_not_asked_for_when_the_transcript_is_not_to_be_had(inbox: Inbox) -> None:
    """Nobody is leased for the sake of somebody else's work."""
    lead, other = accept(inbox, "s1", "s2")
    claim(inbox, lead)

    assert [] == claim_together(inbox, lead)
    assert 0 == inbox.status("acme", other.id).attempts


def test_company_is_only_whom_the_caller_chooses(inbox: Inbox) -> None:
    """The others stay as they are."""
    lead, first, second = accept(inbox, "s1", "s2", "s3")
    shown: list[str] = []

    def choose(asked: Transcript, waiting: Sequence[Transcript]) -> Sequence[Transcript]:
        shown.extend(item.session_id for item in (asked, *waiting))
        return waiting[1:]

    assert ["s1", "s3"] == sessions_of(claim_together(inbox, lead, choose))
    assert ["s1", "s2", "s3"] == shown
    assert [0, 1] == [inbox.status("acme", item.id).attempts for item in (first, second)]


def test_company_is_shown_up_to_the_limit(inbox: Inbox) -> None:
    """A user with a long backlog is not read whole."""
    lead, *_ = accept(inbox, "s1", "s2", "s3", "s4")
    assert ["s1", "s2", "s3"] == sessions_of(claim_together(inbox, lead, limit=2))


def test_company_has_nobody_who_goes_alone(inbox: Inbox) -> None:
    """Neither whose own call failed nor over whom a worker died, and they take nobody along."""
    lead, failed, orphan, _ = accept(inbox, "s1", "s2", "s3", "s4")
    inbox.postpone(claim(inbox, failed), START, "bad", is_alone=True)
    inbox.claim_transcript(orphan.id, START, timedelta(0))

    assert [["s2"], ["s3"], ["s1", "s4"]] == [
        sessions_of(claim_together(inbox, item)) for item in (failed, orphan, lead)
    ]


def test_transcript_stays_alone_when_it_is_postponed_again(inbox: Inbox) -> None:
    """A later outage does not make it forgotten."""
    (transcript,) = accept(inbox, "s1")
    inbox.postpone(claim(inbox, transcript), START, "bad", is_alone=True)
    inbox.postpone(claim(inbox, transcript), START, "an outage")
    assert claim(inbox, transcript).is_alone


def test_company_is_never_shared_by_workers_who_gather_at_once(inbox: Inbox) -> None:
    """However many workers gather at the same moment, each transcript has one of them."""
    transcripts = accept(inbox, *(f"s{number}" for number in range(12)))

    def gather(item: Transcript) -> list[str]:
        return sessions_of(claim_together(inbox, item, lambda _, waiting: waiting[:2]))

    with ThreadPoolExecutor(6) as pool:
        groups = [names for names in pool.map(gather, transcripts) if names]

    assert sorted(item.session_id for item in transcripts) == sorted(itertools.chain(*groups))
    assert max(map(len, groups)) == 3


def test_transcripts_are_loaded_for_their_owner_only(inbox: Inbox) -> None:
    """Whatever their state; what never was readable has no text."""
    mine, other = accept(inbox, "s1", "s2")
    (foreign,) = accept(inbox, "s1", owner=BOB)
    inbox.commit_distilled(claim(inbox, other), [], [], START)
    buried = inbox.bury(ALICE, "no JSON", "it is no JSON", START)

    found = inbox.load_transcripts(ALICE, [mine.id, other.id, foreign.id, buried])

    assert {mine.id: mine, other.id: other} == {item.id: item for item in found}


# ---- what was paid together -------------------------------------------------------------------


def pay(
    replies: ReplyStore,
    request_hash: str,
    *names: str,
    owner: Owner = ALICE,
    purpose: Purpose = Purpose.DISTILL,
) -> tuple[ReceiptId, ...]:
    """Store the reply to a request with these transcripts."""
    paid_for = PaidFor(owner, purpose, tuple(receipt_id(owner, name) for name in names))
    hold = replies.ledger.reserve("m", 10, paid_for)
    replies.keep_reply(request_hash, ChatReply("{}", "m"), paid_for, hold)
    return paid_for.receipts


def test_replies_know_in_which_company_a_transcript_was_first_paid(replies: ReplyStore) -> None:
    """In the order of the request, so that it can be put together again."""
    together = pay(replies, "1", "b", "a", "c")
    pay(replies, "2", "a")
    assert dict.fromkeys(together, together) == replies.find_companies(ALICE, together)


def test_replies_know_no_company_of_what_was_not_paid_to_distill_it(replies: ReplyStore) -> None:
    """Another user's request, and a judgement, are something else."""
    pay(replies, "1", "a", owner=BOB)
    pay(replies, "2", "b", purpose=Purpose.JUDGE)
    assert {} == replies.find_companies(ALICE, [receipt_id(BOB, "a"), receipt_id(ALICE, "b")])
