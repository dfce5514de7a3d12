"""Intake and sweep."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from pipelines.flows.ingest import Ingest
from pipelines.flows.sweep import Sweep
from pipelines.model import TranscriptState
from pipelines.ports import Waiting
from pipelines.testing.stores import InMemoryStores
from pipelines.testing.surroundings import ManualClock, RecordingWaker
from tests.builders import ALICE, START, make_transcript

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


def test_ingest_buries_what_cannot_be_read_without_its_secrets() -> None:
    """An unreadable push is kept with its reason, redacted."""
    stores = InMemoryStores()
    ingest = Ingest(stores, RecordingWaker(), ManualClock(START))

    receipt = ingest.refuse(ALICE, "{broken AKIAIOSFODNN7EXAMPLE", "transcript: is no JSON")

    assert TranscriptState.DEAD is stores.status("acme", receipt).state


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
    stores, waker = InMemoryStores(), RecordingWaker(waiting=Waiting(distill=10))
    stores.accept([make_transcript("lost")], START)

    Sweep(stores, waker, ManualClock(START), limit=10).run()

    assert [] == waker.receipts
