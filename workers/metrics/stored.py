"""What only the servers know, asked when somebody looks, and not more often than that is worth.

It is the same whoever asks, so a deployment has it from the API and from beat, and not from each
of its workers.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError

from memstill_client.wire import stream_key
from pipelines.adapters.postgres import Figures, PostgresFigures
from pipelines.errors import MemstillError
from workers.clock import SystemClock
from workers.intake import GROUP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.core import Metric

    from config.settings import Settings

log = structlog.get_logger(__name__)

CACHE_SECONDS: Final = 5.0
PROBE_TIMEOUT_SECONDS: Final = 2.0


class Told(NamedTuple):
    """A gauge by its name: what it says, and by what it is told apart."""

    help: str
    labels: tuple[str, ...] = ()


QUEUE_AGE = "memstill_queue_age_seconds"
QUEUE_DUE = "memstill_queue_due"
QUEUE_LEASED = "memstill_queue_leased"
LEASE_AGE = "memstill_lease_age_seconds"
LEASE_LENGTH = "memstill_lease_seconds"
DELAYED = "memstill_transcripts_delayed"
PARKED = "memstill_transcripts_parked"
DEAD = "memstill_dead_letters"
OVERDUE_ERASURES = "memstill_erasures_overdue"
ENTRIES = "agent_memory_entries_total"
JOB_AGE = "memstill_job_age_seconds"
JOB_INTERVAL = "memstill_job_interval_seconds"
STREAM_WAITING = "memstill_stream_waiting"
STREAM_PENDING = "memstill_stream_pending"
SERVER_UP = "memstill_server_up"

# No label is called ``job`` or ``instance``: those are Prometheus's own.
GAUGES: Final[Mapping[str, Told]] = {
    QUEUE_AGE: Told("How long the work has been due that is longest.", ("queue",)),
    QUEUE_DUE: Told("Work that is due and that nobody holds; 10,000 stands for more.", ("queue",)),
    QUEUE_LEASED: Told("Work that a worker holds.", ("queue",)),
    LEASE_AGE: Told("Since the oldest lease was taken or extended; 0 without one.", ("queue",)),
    LEASE_LENGTH: Told("After this, others take over what a worker held.", ("queue",)),
    DELAYED: Told("Transcripts whose time has not come: postponed, parked, waiting for a batch."),
    PARKED: Told("Transcripts that wait for a budget."),
    DEAD: Told("Dead letters that are kept; 10,000 stands for more."),
    OVERDUE_ERASURES: Told("Erasures that should have been proven by now."),
    ENTRIES: Told(
        "Memories: structured is what holds now, semantic what can be found in the index.",
        ("scope", "layer"),
    ),
    JOB_AGE: Told("Since a job last succeeded.", ("job_name",)),
    JOB_INTERVAL: Told("How often a job is to run here.", ("job_name",)),
    STREAM_WAITING: Told("Entries of the intake Stream that nobody has read."),
    STREAM_PENDING: Told("Entries of the intake Stream that were read and are not committed."),
    SERVER_UP: Told("1 if a server answered when it was asked for these figures.", ("server",)),
}

Sample = tuple[str, tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class Stream:
    """How the intake Stream stands."""

    waiting: int
    pending: int


class StoredFigures(Collector):
    """Reads all of them; whoever asks within ``CACHE_SECONDS`` gets what was found last.

    A server that is away costs the figures that it alone knows, and says so.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._policies = settings.policies()
        self._clock = clock
        self._lock = threading.Lock()
        self._found: tuple[Sample, ...] = ()
        self._looked_at: float | None = None
        self._figures = PostgresFigures(
            settings.database_url.get_secret_value(), self._policies.erase.warn
        )
        self._redis = Redis.from_url(
            settings.redis_url.get_secret_value(),
            socket_timeout=PROBE_TIMEOUT_SECONDS,
            socket_connect_timeout=PROBE_TIMEOUT_SECONDS,
        )

    def describe(self) -> Iterable[Metric]:
        """Asked when it is registered: nobody shall be waited for then."""
        return (_family(name) for name in GAUGES)

    def collect(self) -> Iterable[Metric]:
        families = {name: _family(name) for name in GAUGES}
        for name, labels, value in self._look():
            families[name].add_metric(labels, value)
        return families.values()

    def _look(self) -> tuple[Sample, ...]:
        with self._lock:
            now = self._clock()
            if self._looked_at is None or now - self._looked_at > CACHE_SECONDS:
                self._found = tuple(self._read())
                self._looked_at = self._clock()
            return self._found

    def _read(self) -> Iterator[Sample]:
        jobs = self._policies.schedule.jobs
        for job, how in jobs.items():
            yield JOB_INTERVAL, (job,), how.interval.total_seconds()
        try:
            yield from self._samples(self._figures.read(SystemClock().now()))
            yield SERVER_UP, ("postgresql",), 1.0
        except MemstillError as error:
            log.warning("figures_not_read", server="postgresql", error=str(error))
            yield SERVER_UP, ("postgresql",), 0.0
        try:
            stream = self._read_stream()
            yield STREAM_WAITING, (), stream.waiting
            yield STREAM_PENDING, (), stream.pending
            yield SERVER_UP, ("redis",), 1.0
        except (RedisError, OSError) as error:
            log.warning("figures_not_read", server="redis", error=type(error).__name__)
            yield SERVER_UP, ("redis",), 0.0

    def _samples(self, figures: Figures) -> Iterator[Sample]:
        lengths = self._lease_lengths()
        for queue, work in figures.work.items():
            ended, length = work.lease_ended_seconds, lengths[queue]
            yield QUEUE_AGE, (queue,), work.age_seconds
            yield QUEUE_DUE, (queue,), work.due
            yield QUEUE_LEASED, (queue,), work.leased
            yield LEASE_AGE, (queue,), 0.0 if ended is None else max(ended + length, 0.0)
            yield LEASE_LENGTH, (queue,), length
        yield DELAYED, (), figures.delayed
        yield PARKED, (), figures.parked
        yield DEAD, (), figures.dead
        yield OVERDUE_ERASURES, (), figures.overdue_erasures
        yield from ((ENTRIES, place, count) for place, count in figures.entries.items())
        yield from ((JOB_AGE, (job,), age) for job, age in figures.job_ages.items())

    def _lease_lengths(self) -> dict[str, float]:
        lease = self._policies.lease
        lengths = {
            "distill": lease.distill,
            "backfill": lease.distill,
            "consolidate": lease.consolidate,
            "project": self._policies.project.lease,
        }
        return {queue: length.total_seconds() for queue, length in lengths.items()}

    def _read_stream(self) -> Stream:
        key = stream_key(self._settings.key_prefix)
        with self._redis, self._redis.pipeline(transaction=False) as pipeline:
            pipeline.xlen(key)
            pipeline.xpending(key, GROUP)
            length, pending = pipeline.execute(raise_on_error=False)
        if isinstance(length, Exception):
            raise length
        # Before the first worker there is no group.
        read = 0 if isinstance(pending, Exception) else int(pending["pending"])
        # What is committed is deleted: what is left was read, or waits.
        return Stream(waiting=max(int(length) - read, 0), pending=read)


def _family(name: str) -> GaugeMetricFamily:
    told = GAUGES[name]
    return GaugeMetricFamily(name, told.help, labels=told.labels)
