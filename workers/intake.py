"""The intake Stream's reader: consumer group → validate → inbox → acknowledge.

An entry is acknowledged and deleted only when its transcript is committed. What a dead consumer
had read is taken over after ``claim_idle``, so nothing that was acknowledged to an agent is lost.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import structlog
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from memstill_client.errors import InvalidTranscript
from memstill_client.wire import (
    LANE_FIELD,
    MAX_ID_CHARS,
    STREAM_FIELD,
    parse_transcript,
    stream_key,
)
from pipelines.errors import DependencyUnavailable, StoreRefused
from pipelines.model import Lane, Owner, Transcript
from workers.clock import SystemClock
from workers.opening import delay_seconds
from workers.payloads import to_transcript

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from config.policy import IntakePolicy
    from pipelines.flows.ingest import Ingest
    from pipelines.ports import Clock
    from workers.container import Container

log = structlog.get_logger(__name__)

GROUP = "intake"
BLOCK_MS = 1_000
PORTION_BYTES = 8 * 1024 * 1024
BELIEVED_AGE = timedelta(days=30)
# The clock of Redis may be ahead of ours; what it has dated is compared with its own marks.
BELIEVED_AHEAD = timedelta(minutes=10)
FORGET_CONSUMER_AFTER = timedelta(hours=1)

FIELD = STREAM_FIELD.encode()

Fields = dict[bytes, bytes]
Entry = tuple[bytes, Fields]


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
        note_turn: Callable[[], None] = lambda: None,
    ) -> None:
        self._redis = redis
        self._ingest = ingest
        self._clock = clock
        self._policy = policy
        self._key = stream_key(key_prefix)
        self._default_tenant = default_tenant
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
        return self._ingest_entries(idle)

    def _resume(self) -> None:
        # What this consumer had read when a server went away is still its own.
        while self._read("0", None):
            pass

    def _read(self, after: str, block_ms: int | None) -> int:
        answer = cast(
            "list[tuple[bytes, list[Entry]]] | None",
            self._redis.xreadgroup(
                GROUP,
                self._consumer,
                {self._key: after},
                count=self._policy.batch,
                block=block_ms,
            ),
        )
        return self._ingest_entries(answer[0][1]) if answer else 0

    def _ingest_entries(self, entries: Sequence[Entry]) -> int:
        portions = _portions(entries, PORTION_BYTES)
        for number, portion in enumerate(portions):
            if number:
                self._keep([entry_id for later in portions[number:] for entry_id, _ in later])
            self._ingest_portion(portion)
        return len(entries)

    def _keep(self, ids: Sequence[bytes]) -> None:
        # Large entries take long: nobody shall take over what is still waiting here.
        self._redis.xclaim(self._key, GROUP, self._consumer, 0, list(ids), justid=True)

    def _ingest_portion(self, entries: Sequence[Entry]) -> None:
        self._note_turn()
        try:
            self._ingest_batch(entries)
        except StoreRefused:
            # One of them; the others must not wait for it.
            for entry in entries:
                self._ingest_alone(entry)
        ids = [entry_id for entry_id, _ in entries]
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.xack(self._key, GROUP, *ids)
            pipeline.xdel(self._key, *ids)
            pipeline.execute()

    def _ingest_batch(self, entries: Sequence[Entry]) -> None:
        parsed = [self._parse(entry_id, fields) for entry_id, fields in entries]
        self._ingest.run([item for item in parsed if item is not None])

    def _ingest_alone(self, entry: Entry) -> None:
        try:
            self._ingest_batch([entry])
        except StoreRefused as error:
            pushed_at = _pushed_at(entry[0], self._clock.now())
            self._refuse(entry[1].get(FIELD, b""), f"cannot be stored: {error}", pushed_at)

    def _parse(self, entry_id: bytes, fields: Fields) -> Transcript | None:
        now = _pushed_at(entry_id, self._clock.now())
        if FIELD not in fields:
            # Without any field it was deleted while it was pending.
            if fields:
                self._refuse(
                    repr(fields).encode(), f"the Stream entry has no {STREAM_FIELD!r}", now
                )
            return None
        try:
            lane = _lane_of(fields)
            pushed = parse_transcript(fields[FIELD], now=now, max_bytes=self._policy.max_bytes)
            return to_transcript(
                pushed, default_tenant=self._default_tenant, lane=lane, pushed_at=now
            )
        except InvalidTranscript as error:
            self._refuse(fields[FIELD], str(error), now)
            return None

    def _refuse(self, payload: bytes, reason: str, pushed_at: datetime) -> None:
        kept = payload[: self._policy.max_bytes].decode("utf-8", "replace")
        owner = _owner_named_in(payload, self._default_tenant) or Owner(self._default_tenant, "")
        self._ingest.refuse(owner, kept.replace("\x00", "\ufffd"), reason, pushed_at)


def _portions(entries: Sequence[Entry], limit: int) -> list[list[Entry]]:
    """Entries in their order, cut so that a portion is one entry or below the limit of bytes."""
    portions: list[list[Entry]] = []
    size = limit
    for entry in entries:
        weight = sum(map(len, entry[1].values()))
        if size + weight > limit:
            portions.append([])
            size = 0
        portions[-1].append(entry)
        size += weight
    return portions


def _lane_of(fields: Fields) -> Lane:
    named = fields.get(LANE_FIELD.encode(), Lane.INTERACTIVE.value.encode())
    lane = next((lane for lane in Lane if lane.value.encode() == named), None)
    if lane is None:
        raise InvalidTranscript(LANE_FIELD, f"must be one of {', '.join(Lane)}")
    return lane


def _owner_named_in(payload: bytes, default_tenant: str) -> Owner | None:
    """Whose a refused payload says it is, so that its tenant can find it."""
    try:
        names = json.loads(payload)
        owner = Owner(names.get("tenant_id") or default_tenant, names["user_id"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return owner if all(map(_is_name, owner.names)) else None


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= MAX_ID_CHARS and name.isprintable()


def _pushed_at(entry_id: bytes, now: datetime) -> datetime:
    # The entry's own time: a session without times is dated alike however often it is read.
    # An id that somebody made up is no time, and every later id is forced above it.
    milliseconds = int(entry_id.partition(b"-")[0])
    earliest = (now - BELIEVED_AGE).timestamp() * 1000
    if not earliest <= milliseconds <= (now + BELIEVED_AHEAD).timestamp() * 1000:
        return now
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
