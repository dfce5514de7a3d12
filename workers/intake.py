"""The intake Stream's reader: consumer group → validate → inbox → acknowledge.

An entry is acknowledged and deleted only when its transcript is committed. What a dead consumer
had read is taken over after ``claim_idle``, so nothing that was acknowledged to an agent is lost.
"""

from __future__ import annotations

import os
import socket
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import structlog
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from memstill_client.wire import LANE_FIELD, STREAM_FIELD, TRACE_FIELD, stream_key
from pipelines.errors import DependencyUnavailable
from workers.clock import SystemClock
from workers.intake_entries import Entry, Taking, believe
from workers.metrics.catalogue import Recovery, note_recovery
from workers.opening import delay_seconds
from workers.tracing import NoTracer, read_traceparent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from config.policy import IntakePolicy
    from pipelines.flows.ingest import Ingest
    from pipelines.ports import Clock
    from workers.container import Container
    from workers.tracing import Tracer

log = structlog.get_logger(__name__)

GROUP = "intake"
BLOCK_MS = 1_000
PORTION_BYTES = 8 * 1024 * 1024
FORGET_CONSUMER_AFTER = timedelta(hours=1)

FIELD = STREAM_FIELD.encode()

Fields = dict[bytes, bytes]
StreamEntry = tuple[bytes, Fields]


def make_intake(
    container: Container,
    redis: Redis | None = None,
    note_turn: Callable[[], None] = lambda: None,
) -> StreamIntake:
    """The intake of a process, on a connection of its own unless it is given one."""
    settings = container.settings
    own = redis or Redis.from_url(
        settings.redis_url.get_secret_value(), socket_timeout=15, health_check_interval=15
    )
    return StreamIntake(
        own,
        container.ingest,
        SystemClock(),
        container.policies.intake,
        key_prefix=settings.key_prefix,
        default_tenant=settings.default_tenant,
        tracer=container.ground.tracer,
        note_turn=note_turn,
    )


class StreamIntake:
    """Reads the Stream until it is told to stop; one of many consumers of the group."""

    def __init__(
        self,
        redis: Redis,
        ingest: Ingest,
        clock: Clock,
        policy: IntakePolicy,
        *,
        key_prefix: str,
        default_tenant: str,
        tracer: Tracer | None = None,
        note_turn: Callable[[], None] = lambda: None,
    ) -> None:
        self._redis = redis
        self._taking = Taking(ingest, policy, default_tenant, tracer or NoTracer())
        self._clock = clock
        self._policy = policy
        self._key = stream_key(key_prefix)
        self._note_turn = note_turn
        self._consumer = f"{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}"

    def run(self, stop: threading.Event) -> None:
        """Read until ``stop`` is set; a server that is away is waited for, ever more patiently."""
        failures = 0
        while not stop.is_set():
            self._note_turn()
            try:
                self.prepare()
                self._resume()
                failures = 0
                while not stop.is_set():
                    self.read_once()
            except (RedisError, DependencyUnavailable) as error:
                failures += 1
                seconds = delay_seconds(failures)
                log.warning(
                    "intake_waiting",
                    error=type(error).__name__,
                    attempt=failures,
                    retry_in_seconds=round(seconds, 1),
                )
                stop.wait(seconds)

    def prepare(self) -> None:
        """Create the group where it is missing, and forget consumers that are long gone."""
        try:
            self._redis.xgroup_create(self._key, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        limit_ms = FORGET_CONSUMER_AFTER / timedelta(milliseconds=1)
        for consumer in self._redis.xinfo_consumers(self._key, GROUP):
            if consumer["pending"] == 0 and consumer["idle"] > limit_ms:
                self._redis.xgroup_delconsumer(self._key, GROUP, consumer["name"])

    def read_once(self) -> int:
        """Take over what idles, else read what is new, and ingest it; returns how many."""
        self._note_turn()
        return self.take_over() or self._read(">", BLOCK_MS)

    def take_over(self) -> int:
        """Ingest a batch of what consumers have read and do not get done; returns how many."""
        idle_ms = int(self._policy.claim_idle / timedelta(milliseconds=1))
        claimed = cast(
            "Sequence[Any]",
            self._redis.xautoclaim(
                self._key, GROUP, self._consumer, idle_ms, count=self._policy.batch
            ),
        )
        # Redis before 7 gives an entry that was trimmed as two Nones.
        idle = [entry for entry in claimed[1] if entry[0] is not None]
        if idle:
            note_recovery(Recovery.STREAM, len(idle))
        return self._ingest_entries(idle)

    def _resume(self) -> None:
        # What this consumer had read when a server went away is still its own.
        while self._read("0", None):
            pass

    def _read(self, after: str, block_ms: int | None) -> int:
        answer = cast(
            "list[tuple[bytes, list[StreamEntry]]] | None",
            self._redis.xreadgroup(
                GROUP,
                self._consumer,
                {self._key: after},
                count=self._policy.batch,
                block=block_ms,
            ),
        )
        return self._ingest_entries(answer[0][1]) if answer else 0

    def _ingest_entries(self, entries: Sequence[StreamEntry]) -> int:
        portions = _portions(entries, PORTION_BYTES)
        for number, portion in enumerate(portions):
            if number:
                self._keep([entry_id for later in portions[number:] for entry_id, _ in later])
            self._ingest_portion(portion)
        return len(entries)

    def _keep(self, ids: Sequence[bytes]) -> None:
        # Large entries take long: nobody shall take over what is still waiting here.
        self._redis.xclaim(self._key, GROUP, self._consumer, 0, list(ids), justid=True)

    def _ingest_portion(self, entries: Sequence[StreamEntry]) -> None:
        self._note_turn()
        self._taking.take([read for entry in entries if (read := self.read_entry(entry))])
        ids = [entry_id for entry_id, _ in entries]
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.xack(self._key, GROUP, *ids)
            pipeline.xdel(self._key, *ids)
            pipeline.execute()

    def read_entry(self, entry: StreamEntry) -> Entry | None:
        """What an entry says; None without any field: it was deleted while it was pending."""
        entry_id, fields = entry
        pushed_at = believe(int(entry_id.partition(b"-")[0]), self._clock.now())
        if FIELD not in fields:
            problem = f"the Stream entry has no {STREAM_FIELD!r}"
            return Entry(repr(fields).encode(), None, pushed_at, problem) if fields else None
        lane = fields.get(LANE_FIELD.encode())
        named = None if lane is None else lane.decode("utf-8", "replace")
        trace = read_traceparent(fields.get(TRACE_FIELD.encode()))
        return Entry(fields[FIELD], named, pushed_at, traceparent=trace)


def _portions(entries: Sequence[StreamEntry], limit: int) -> list[list[StreamEntry]]:
    """Entries in their order, cut so that a portion is one entry or below the limit of bytes."""
    portions: list[list[StreamEntry]] = []
    size = limit
    for entry in entries:
        weight = sum(map(len, entry[1].values()))
        if size + weight > limit:
            portions.append([])
            size = 0
        portions[-1].append(entry)
        size += weight
    return portions
