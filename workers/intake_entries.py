"""What becomes of what agents push, whichever queue it came over: inbox or dead letter."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from memstill_client.errors import InvalidTranscript
from memstill_client.wire import LANE_FIELD, MAX_ID_CHARS, parse_transcript
from pipelines.errors import StoreRefused
from pipelines.model import Lane, Owner
from workers.metrics.catalogue import ingesting
from workers.payloads import to_transcript
from workers.tracing import NoTracer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.policy import IntakePolicy
    from pipelines.flows.ingest import Ingest
    from pipelines.model import Transcript
    from workers.tracing import Tracer

BELIEVED_AGE = timedelta(days=30)
# The clock of a queue may be ahead of ours; what it has dated is compared with its own marks.
BELIEVED_AHEAD = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Entry:
    """One push, as it lay in the queue.

    Attributes:
        body: The transcript, or whatever was found in its place.
        lane: As it was named; None is interactive.
        problem: Why it cannot be a transcript; None if it may be one.
        traceparent: The trace in which it was pushed, if it was in one.
    """

    body: bytes
    lane: str | None
    pushed_at: datetime
    problem: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Taking:
    """Commits entries: when ``take`` returns, each is in the inbox or a dead letter."""

    ingest: Ingest
    policy: IntakePolicy
    default_tenant: str
    tracer: Tracer = field(default_factory=NoTracer)

    def take(self, entries: Sequence[Entry]) -> None:
        """Take them together; where the store refuses that, each alone.

        Raises:
            DependencyUnavailable: Not all are committed; taking them again is harmless.
        """
        try:
            self._take_together(entries)
        except StoreRefused:
            # One of them; the others must not wait for it.
            for entry in entries:
                self._take_alone(entry)

    def read(self, entry: Entry) -> Transcript | None:
        """The transcript of an entry; None where it is none, and a dead letter now."""
        if entry.problem is not None:
            self._refuse(entry, entry.problem)
            return None
        try:
            lane = _lane_of(entry.lane)
            limit = self.policy.max_bytes
            pushed = parse_transcript(entry.body, now=entry.pushed_at, max_bytes=limit)
            return to_transcript(
                pushed,
                default_tenant=self.default_tenant,
                lane=lane,
                pushed_at=entry.pushed_at,
                traceparent=entry.traceparent,
            )
        except InvalidTranscript as error:
            self._refuse(entry, str(error))
            return None

    def _take_together(self, entries: Sequence[Entry]) -> None:
        transcripts = [item for entry in entries if (item := self.read(entry)) is not None]
        with ingesting(self.tracer):
            self.ingest.run(transcripts)

    def _take_alone(self, entry: Entry) -> None:
        try:
            self._take_together([entry])
        except StoreRefused as error:
            self._refuse(entry, f"cannot be stored: {error}")

    def _refuse(self, entry: Entry, reason: str) -> None:
        kept = entry.body[: self.policy.max_bytes].decode("utf-8", "replace")
        owner = _owner_named_in(entry.body, self.default_tenant) or Owner(self.default_tenant, "")
        self.ingest.refuse(owner, kept.replace("\x00", "\ufffd"), reason, entry.pushed_at)


def believe(milliseconds: int, now: datetime) -> datetime:
    """When a push happened, as its queue dates it.

    A session without times is dated alike however often it is read. What somebody made up is no
    time: then it is now.
    """
    earliest = (now - BELIEVED_AGE).timestamp() * 1000
    if not earliest <= milliseconds <= (now + BELIEVED_AHEAD).timestamp() * 1000:
        return now
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _lane_of(named: str | None) -> Lane:
    if named is None:
        return Lane.INTERACTIVE
    lane = next((lane for lane in Lane if lane.value == named), None)
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
