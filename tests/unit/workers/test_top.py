"""What ``memstill top`` makes of two looks at the metrics."""

from __future__ import annotations

from io import StringIO

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from rich.console import Console

from workers.metrics.reading import Look, read_look
from workers.top_view import Moment, as_data, top_sheet


class Process:
    """A process that counts, and begins at nought."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.sessions = Counter(
            "memstill_transcripts_total", "-", ("outcome",), registry=self.registry
        )
        self.stages = Histogram(
            "memstill_stage_seconds",
            "-",
            ("stage", "outcome"),
            buckets=(1, 2, 4),
            registry=self.registry,
        )
        self.due = Gauge("memstill_queue_due", "-", ("queue",), registry=self.registry)
        self.up = Gauge("memstill_server_up", "-", ("server",), registry=self.registry)
        self.breaker = Gauge("memstill_breaker_open", "-", ("dependency",), registry=self.registry)

    @property
    def text(self) -> str:
        return generate_latest(self.registry).decode()


def look(*processes: Process) -> Look:
    return read_look(process.text for process in processes)


def test_rates_are_sums_over_processes_and_gauges_the_greatest() -> None:
    """Each worker counts for itself, and all that know a queue say the same of it."""
    one, other = Process(), Process()
    one.sessions.labels("distilled").inc(5)
    before = look(one, other)
    one.sessions.labels("distilled").inc(4)
    other.sessions.labels("distilled").inc(6)
    one.due.labels("distill").set(7)
    other.due.labels("distill").set(7)

    now = look(one, other)
    moment = Moment(now, now.since(before), 2.0)

    assert 5.0 == moment.rate("memstill_transcripts_total", outcome="distilled")
    assert 7 == as_data(moment)["queues"]["distill"]["due"]


def test_process_that_began_anew_has_counted_what_it_tells() -> None:
    """Its counters are less than before, and no rate is below nought."""
    old, new = Process(), Process()
    old.sessions.labels("accepted").inc(100)
    new.sessions.labels("accepted").inc(3)

    added = look(new).since(look(old))

    assert 3 == added.sum("memstill_transcripts_total", outcome="accepted")


@pytest.mark.parametrize(
    ("share", "expected"), [(0.25, 0.5), (0.5, 1.0), (0.75, 1.5), (0.99, 1.98)]
)
def test_quantile_lies_within_its_bucket(share: float, expected: float) -> None:
    """Two turns of up to a second, two of up to two."""
    process = Process()
    before = look(process)
    for seconds in (0.9, 0.9, 1.1, 1.9):
        process.stages.labels("distill", "done").observe(seconds)

    added = look(process).since(before)

    found = added.quantile(share, "memstill_stage_seconds", stage="distill")
    assert expected == pytest.approx(found)
    assert added.quantile(share, "memstill_stage_seconds", stage="project") is None


def test_quantile_beyond_all_buckets_is_the_last_bound() -> None:
    """Nobody knows how much longer it took."""
    process = Process()
    process.stages.labels("distill", "done").observe(99)

    assert 4.0 == look(process).quantile(0.5, "memstill_stage_seconds")


def sheet(moment: Moment) -> str:
    """The lines that a terminal shows."""
    written = StringIO()
    Console(width=100, file=written).print(top_sheet(moment, "memstill"))
    return written.getvalue()


def test_sheet_shows_the_road_always_and_jobs_when_they_have_run() -> None:
    """Most jobs run once a day."""
    process = Process()
    process.stages.labels("distill", "done").observe(1)
    process.stages.labels("decay", "done").observe(1)
    before = look(process)
    process.stages.labels("purge", "done").observe(1)
    now = look(process)

    shown = sheet(Moment(now, now.since(before), 1.0))

    assert "distill" in shown
    assert "purge" in shown
    assert "decay" not in shown


def test_sheet_names_what_somebody_should_look_at() -> None:
    """Above all that is well."""
    process = Process()
    process.breaker.labels("model m").set(1)
    process.up.labels("redis").set(0)
    process.up.labels("postgresql").set(1)
    now = look(process)
    shown = sheet(Moment(now, now.since(now), 1.0))

    assert "model m is away; redis is away" in shown
    assert "postgresql is away" not in shown
