"""The intake Stream's reader: consumer group → validate → inbox → acknowledge.

An entry is acknowledged and deleted only when its transcript is committed. What a dead consumer
had read is taken over after ``claim_idle``, so nothing that was acknowledged to an agent is lost.
"""

from __future__ import annotations

import os
import socket
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import structlog
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from memstill_client.errors import InvalidTranscript
from memstill_client.wire import STREAM_FIELD, parse_transcript, stream_key
from pipelines.errors import DependencyUnavailable, StoreRefused
from pipelines.model import Owner, Transcript
from workers.payloads import to_transcript

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.policy import IntakePolicy
    from pipelines.flows.ingest import Ingest
    from workers.container import Container

log = structlog.get_logger(__name__)

GROUP = "intake"
BLOCK_MS = 1_000
KEPT_BYTES = 64 * 1024
PAUSE_SECONDS = 1.0
FORGET_CONSUMER_AFTER = timedelta(hours=1)

Entry = tuple[bytes, dict[bytes, bytes]]


def make_intake(container: Container) -> StreamIntake:
    """The intake of a process, on a connection of its own."""
    settings = container.settings
    redis = Redis.from_url(
        settings.redis_url.get_secret_value(), socket_timeout=15, health_check_interval=15
    )
    return StreamIntake(
        redis,
        container.ingest,
        container.policies.intake,
        key_prefix=settings.key_prefix,
        default_tenant=settings.default_tenant,
    )


class StreamIntake:
    """Reads the Stream until it is told to stop; one of many consumers of the group."""

    def __init__(
        self,
        redis: Redis,
        ingest: Ingest,
        policy: IntakePolicy,
        *,
        key_prefix: str,
        default_tenant: str,
    ) -> None:
        self._redis = redis
        self._ingest = ingest
        self._policy = policy
        self._key = stream_key(key_prefix)
        self._default_tenant = default_tenant
        self._consumer = f"{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}"

    def run(self, stop: threading.Event) -> None:
        """Read until ``stop`` is set; a server that is away is waited for."""
        while not stop.is_set():
            try:
                self.prepare()
                self._resume()
                while not stop.is_set():
                    self.read_once()
            except (RedisError, DependencyUnavailable) as error:
                log.warning("intake_waiting", error=type(error).__name__)
                stop.wait(PAUSE_SECONDS)

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
        """Take over what idles, read what is new, and ingest both; returns how many."""
        idle_ms = int(self._policy.claim_idle / timedelta(milliseconds=1))
        claimed = cast(
            "Sequence[Any]",
            self._redis.xautoclaim(
                self._key, GROUP, self._consumer, idle_ms, count=self._policy.batch
            ),
        )
        return self._ingest_entries(claimed[1]) or self._read(">", BLOCK_MS)

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
        if not entries:
            return 0
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
        return len(entries)

    def _ingest_batch(self, entries: Sequence[Entry]) -> None:
        parsed = [self._parse(entry_id, fields) for entry_id, fields in entries]
        self._ingest.run([item for item in parsed if item is not None])

    def _ingest_alone(self, entry: Entry) -> None:
        try:
            self._ingest_batch([entry])
        except StoreRefused as error:
            self._refuse(entry[1].get(STREAM_FIELD.encode(), b""), f"cannot be stored: {error}")

    def _parse(self, entry_id: bytes, fields: dict[bytes, bytes] | None) -> Transcript | None:
        # A None stands for an entry that was deleted while it was pending.
        if fields is None:
            return None
        payload = fields.get(STREAM_FIELD.encode())
        if payload is None:
            self._refuse(b"", f"the Stream entry has no field {STREAM_FIELD!r}")
            return None
        try:
            pushed = parse_transcript(
                payload, now=_pushed_at(entry_id), max_bytes=self._policy.max_bytes
            )
            return to_transcript(pushed, default_tenant=self._default_tenant)
        except InvalidTranscript as error:
            self._refuse(payload, str(error))
            return None

    def _refuse(self, payload: bytes, reason: str) -> None:
        text = payload[:KEPT_BYTES].decode("utf-8", "replace").replace("\x00", "\ufffd")
        self._ingest.refuse(Owner(self._default_tenant, ""), text, reason)


def _pushed_at(entry_id: bytes) -> datetime:
    # The entry's own time: a session without times is dated alike however often it is read.
    milliseconds = int(entry_id.partition(b"-")[0])
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
