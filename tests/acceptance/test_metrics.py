"""``/metrics`` of real workers and of beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memstill_client import Receipt
from pipelines.adapters.postgres import PostgresInbox
from pipelines.model import Owner
from tests.acceptance.deployment import free_port, wait_until
from tests.builders import START, make_transcript
from tests.scraping import look

if TYPE_CHECKING:
    from tests.acceptance.deployment import Deployment


def test_worker_tells_what_its_children_do_and_beat_what_waits(deployment: Deployment) -> None:
    """Each process of a prefork pool counts for itself; one address tells of all."""
    children, beat = free_port(), free_port()
    owners = [Owner("default", f"user-{number}") for number in range(8)]
    pushed = [make_transcript("I live in Lisbon.", owner=owner) for owner in owners]
    PostgresInbox(deployment.database).accept(pushed, START)
    deployment.env["MEMSTILL_METRICS_PORT"] = str(beat)
    deployment.start_beat()
    wait_until(
        lambda: 8 == look(beat).sum("memstill_queue_due", queue="distill"), "beat tells what waits"
    )

    deployment.env["MEMSTILL_METRICS_PORT"] = str(children)
    deployment.start_prefork()
    deployment.wait_final(*(Receipt(item.id, is_duplicate=False) for item in pushed))

    told = look(children)
    assert 8 == told.sum("memstill_transcripts_total", outcome="distilled")
    assert 0 < told.sum("memstill_stage_seconds_count", stage="sweep", outcome="done")
    # The same for whoever asks: it is told once, by beat.
    assert "memstill_queue_due" not in told.names
    assert 0 < look(beat).sum("memstill_wake_ups_total", task="memstill.run_job")
    assert 2 == look(beat).sum("memstill_server_up")
