"""Who is woken for which lane, and when."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from pipelines.flows.ingest import Ingest
from pipelines.flows.sweep import Sweep
from pipelines.flows.turns import WOKEN_AT_ONCE
from pipelines.model import Lane
from pipelines.ports import Waiting
from pipelines.testing.stores import InMemoryStores
from pipelines.testing.surroundings import ManualClock, RecordingWaker
from tests.builders import START, make_transcript

WAIT = timedelta(hours=1)
LIVE = make_transcript("live", session="live")
OLD = replace(make_transcript("old", session="old"), lane=Lane.BACKFILL)


def test_ingest_wakes_each_lane_for_its_own() -> None:
    """A push of both is taken apart."""
    waker = RecordingWaker()
    Ingest(InMemoryStores(), waker, ManualClock(START)).run([OLD, LIVE])
    assert ([LIVE.id], [OLD.id]) == (waker.receipts, waker.backfill)


def test_ingest_lets_backfill_wait_when_it_may_be_batched() -> None:
    """Nobody is woken for what is not due for an hour."""
    stores, waker = InMemoryStores(backfill_wait=WAIT), RecordingWaker()
    Ingest(stores, waker, ManualClock(START), wakes_backfill=False).run([OLD, LIVE])
    assert ([LIVE.id], []) == (waker.receipts, waker.backfill)
    assert START + WAIT == stores.status("acme", OLD.id).due_at


@pytest.mark.parametrize(
    ("waiting", "live", "old"),
    [
        (Waiting(), [LIVE.id], [OLD.id]),
        (Waiting(distill=WOKEN_AT_ONCE), [], [OLD.id]),
        (Waiting(backfill=WOKEN_AT_ONCE), [LIVE.id], []),
    ],
)
def test_sweep_keeps_a_full_lane_from_stopping_the_other(
    waiting: Waiting, live: list[object], old: list[object]
) -> None:
    """However many wake-ups of old sessions wait, the one that just ended gets its own."""
    stores, waker = InMemoryStores(), RecordingWaker(waiting=waiting)
    stores.accept([OLD, LIVE], START)
    Sweep(stores, waker, ManualClock(START), limit=10).run()
    assert (live, old) == (waker.receipts, waker.backfill)
