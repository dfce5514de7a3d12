"""Intake and sweep."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from config.policy import Handling, PersonalDataPolicy, PersonalKind
from pipelines.flows.ingest import Ingest
from pipelines.flows.sweep import Sweep
from pipelines.flows.turns import WOKEN_AT_ONCE
from pipelines.model import Lane, Owner, TranscriptState
from pipelines.ports import Waiting
from pipelines.testing.stores import InMemoryStores
from pipelines.testing.surroundings import ManualClock, RecordingWaker
from tests.builders import START, make_transcript

if TYPE_CHECKING:
    from datetime import datetime

    from pipelines.model import ReceiptId

LEASE = timedelta(minutes=5)


def test_ingest_redacts_before_anything_is_stored() -> None:
    """No secret reaches the inbox; what was taken out is counted."""
    stores, waker = InMemoryStores(), RecordingWaker()
    transcript = replace(
        make_transcript("The key is AKIAIOSFODNN7EXAMPLE, use it."),
        metadata={"env": [{"token": "ghp_" + "a1B2" * 9}], "tries": 3},
    )

    (answer,) = Ingest(stores, waker, ManualClock(START)).run([transcript])

    claim = stores.claim_transcript(answer.receipt, START, LEASE)
    assert claim is not None
    assert "AKIAIOSFODNN7EXAMPLE" not in claim.transcript.messages[0].content
    assert "ghp_" not in str(claim.transcript.metadata)
    assert 3 == claim.transcript.metadata["tries"]
    assert 2 == sum(stores.status("acme", answer.receipt).redactions.values())


def test_ingest_wakes_a_distiller_for_what_is_new_only() -> None:
    """A repeated push is answered and wakes nobody."""
    stores, waker = InMemoryStores(), RecordingWaker()
    ingest = Ingest(stores, waker, ManualClock(START))
    transcript = make_transcript("I live in Berlin.")

    ingest.run([transcript])
    (answer,) = ingest.run([transcript])

    assert answer.is_duplicate
    assert [transcript.id] == waker.receipts


def test_ingest_masks_personal_data_before_anything_is_stored() -> None:
    """What the tenant's policy masks is masked in the inbox, and shown in the status."""
    stores = InMemoryStores()
    policy = PersonalDataPolicy(tenants={"acme": {PersonalKind.EMAIL: Handling.MASK}})
    transcript = make_transcript("Write to alice@example.com, phone +1 415 555 2671.")

    (answer,) = Ingest(stores, RecordingWaker(), ManualClock(START), policy).run([transcript])

    claim = stores.claim_transcript(answer.receipt, START, LEASE)
    assert claim is not None
    assert "Write to [email-1], phone +1 415 555 2671." == claim.transcript.messages[0].content
    assert {"email": 1} == stores.status("acme", answer.receipt).redactions


class RecordingInbox(InMemoryStores):
    """Remembers what was buried."""

    def __init__(self) -> None:
        super().__init__()
        self.buried: list[tuple[Owner, str, str]] = []

    def bury(
        self,
        owner: Owner,
        payload: str,
        reason: str,
        now: datetime,
        pushed_at: datetime | None = None,
    ) -> ReceiptId:
        self.buried.append((owner, payload, reason))
        return super().bury(owner, payload, reason, now, pushed_at)


def test_ingest_buries_what_cannot_be_read_without_its_secrets() -> None:
    """An unreadable push is kept with owner, payload and reason, all of them redacted."""
    stores = RecordingInbox()
    policy = PersonalDataPolicy(default={PersonalKind.EMAIL: Handling.DROP})
    ingest = Ingest(stores, RecordingWaker(), ManualClock(START), policy)
    token = "ghp_" + "a1B2" * 9
    payload = f"{{broken AKIAIOSFODNN7EXAMPLE a@x.org {token}"

    receipt = ingest.refuse(Owner("acme", token), payload, f"{token}: is no field")

    assert TranscriptState.DEAD is stores.status("acme", receipt).state
    assert [
        (
            Owner("acme", "[redacted:github-token]"),
            "{broken [redacted:aws-key] [email] [redacted:github-token]",
            "[redacted:github-token]: is no field",
        )
    ] == stores.buried


def test_ingest_wakes_a_few_for_many() -> None:
    """They go on while somebody stands in line: no wake-up for each."""
    stores, waker = InMemoryStores(), RecordingWaker()
    live = [make_transcript(f"s{number}", session=f"s{number}") for number in range(40)]
    old = [make_transcript(f"b{number}", session=f"b{number}") for number in range(40)]

    ingest = Ingest(stores, waker, ManualClock(START))
    ingest.run([*live, *(replace(item, lane=Lane.BACKFILL) for item in old)])

    assert [item.id for item in live[:WOKEN_AT_ONCE]] == waker.receipts
    assert [item.id for item in old[:WOKEN_AT_ONCE]] == waker.backfill


def test_sweep_wakes_due_transcripts_and_users() -> None:
    """Whatever lies due without a worker is woken, and held work is not."""
    stores, waker, clock = InMemoryStores(), RecordingWaker(), ManualClock(START)
    lost, held = make_transcript("lost", session="l"), make_transcript("held", session="h")
    stores.accept([lost, held], START)
    stores.claim_transcript(held.id, START, LEASE)
    sweep = Sweep(stores, waker, clock)

    sweep.run()
    assert [lost.id] == waker.receipts

    clock.advance(LEASE)
    sweep.run()
    assert {lost.id, held.id} == set(waker.receipts)
    assert 0 == waker.index_wakes


def test_sweep_adds_no_wake_up_while_the_workers_have_enough() -> None:
    """The queue of wake-ups stays bounded, however many rows lie due."""
    stores, waker = InMemoryStores(), RecordingWaker(waiting=Waiting(distill=WOKEN_AT_ONCE))
    stores.accept([make_transcript("lost")], START)

    Sweep(stores, waker, ManualClock(START), limit=10).run()

    assert [] == waker.receipts
