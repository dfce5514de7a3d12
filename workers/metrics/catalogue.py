"""Everything that a process counts of itself, and how it is counted.

A label holds a name out of a small set: never a tenant, a user, an id, or anything said.
"""

from __future__ import annotations

from contextlib import contextmanager
from enum import StrEnum
from time import perf_counter
from typing import TYPE_CHECKING, Final, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from pipelines.model import FactOutcome, MemoryState
from pipelines.outcome import Done
from pipelines.plan import Change, Insert, Supersede
from pipelines.stages.cost import MICRO
from pipelines.stages.grounding.refusal import RefusalReason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipelines.model import Refusal
    from pipelines.outcome import Outcome
    from pipelines.plan import Plan
    from pipelines.ports import Accepted, Purpose
    from pipelines.stages.cost import Charge
    from workers.tracing import Tracer

REGISTRY: Final = CollectorRegistry()


class Recovery(StrEnum):
    """What goes on where it had been cut off."""

    CHECKPOINT = "checkpoint"
    # A damaged one was passed over.
    SOUND_CHECKPOINT = "sound_checkpoint"
    SESSION_STATE = "session_state"
    # Its worker died over it, or was frozen.
    LEASE = "lease"
    # Whoever had read it from the Stream did not get it done.
    STREAM = "stream"


# From what is no work at all to the longest that a task may take.
_STAGE_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_CALL_BUCKETS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 40)
_REQUEST_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_SAVE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)

# ---- the road of a transcript ---------------------------------------------------------------

STAGE_SECONDS = Histogram(
    "memstill_stage_seconds",
    "One turn of a stage or a job, by what came of it.",
    ("stage", "outcome"),
    buckets=_STAGE_BUCKETS,
    registry=REGISTRY,
)
WORK = Counter(
    "memstill_work_total",
    "What a stage or a job has done, by its own names: projected, evicted, purged, woken, ...",
    ("stage", "what"),
    registry=REGISTRY,
)
TRANSCRIPTS = Counter(
    "memstill_transcripts_total",
    "Transcripts that were accepted, duplicate, erased, distilled, postponed, parked, dead.",
    ("outcome",),
    registry=REGISTRY,
)
DEAD_LETTERS = Counter(
    "memstill_dead_letters_total",
    "Transcripts that became dead letters, by reason.",
    ("reason",),
    registry=REGISTRY,
)
FACTS = Counter(
    "memstill_facts_total",
    "Facts that were distilled and grounded.",
    registry=REGISTRY,
)
REFUSED_FACTS = Counter(
    "memstill_facts_refused_total",
    "Drafts that were not stored, by reason.",
    ("reason",),
    registry=REGISTRY,
)
SETTLED_FACTS = Counter(
    "memstill_facts_settled_total",
    "Facts that were consolidated: inserted (news), reinforced (a duplicate), refused.",
    ("outcome",),
    registry=REGISTRY,
)
MEMORY_CHANGES = Counter(
    "memstill_memory_changes_total",
    "Changes of memories: insert, reinforce, supersede, refile, promote, ...",
    ("change",),
    registry=REGISTRY,
)
SUPERSEDED = Counter(
    "memstill_memories_superseded_total",
    "Memories that a newer value took the place of.",
    registry=REGISTRY,
)
WAKE_UPS = Counter(
    "memstill_wake_ups_total",
    "Wake-ups that were sent, by what they ask for.",
    ("task",),
    registry=REGISTRY,
)

# ---- models and servers ---------------------------------------------------------------------

MODEL_CALLS = Counter(
    "memstill_model_calls_total",
    "Model calls that were paid.",
    ("model", "purpose"),
    registry=REGISTRY,
)
MODEL_TOKENS = Counter(
    "memstill_model_tokens_total",
    "Tokens of model calls; direction is prompt or completion.",
    ("model", "purpose", "direction"),
    registry=REGISTRY,
)
MODEL_COST = Counter(
    "memstill_model_cost_total",
    "What model calls came to, in the currency of MEMSTILL_PRICES.",
    ("model", "purpose"),
    registry=REGISTRY,
)
DEPENDENCY_SECONDS = Histogram(
    "memstill_dependency_seconds",
    "One call of a server, tries included: answered, refused, or away.",
    ("dependency", "outcome"),
    buckets=_CALL_BUCKETS,
    registry=REGISTRY,
)
BREAKER_OPEN = Gauge(
    "memstill_breaker_open",
    "1 while a process takes a server for away and does not ask it.",
    ("dependency",),
    registry=REGISTRY,
    # Of several processes behind one address, any.
    multiprocess_mode="livemax",
)

# ---- what agents ask for --------------------------------------------------------------------

REQUEST_SECONDS = Histogram(
    "memstill_http_request_seconds",
    "Requests to the API, by route and class of answer.",
    ("method", "route", "status"),
    buckets=_REQUEST_BUCKETS,
    registry=REGISTRY,
)
CHECKPOINT_SAVE_SECONDS = Histogram(
    "agent_checkpoint_save_seconds",
    "Saving one checkpoint of an agent, to its commit.",
    buckets=_SAVE_BUCKETS,
    registry=REGISTRY,
)
RECOVERIES = Counter(
    "agent_recovery_total",
    "Work that went on where it had been cut off.",
    ("recovery_type",),
    registry=REGISTRY,
)


def _begin_at_nought() -> None:
    """A series that begins with its first count hides that one from every rate."""
    for outcome in ("accepted", "duplicate", "erased", "distilled", "postponed", "parked", "dead"):
        TRANSCRIPTS.labels(outcome)
    for settled in FactOutcome:
        if settled is not FactOutcome.PENDING:
            SETTLED_FACTS.labels(settled.value)
    for reason in RefusalReason:
        REFUSED_FACTS.labels(reason.value)
    for change in get_args(Change):
        MEMORY_CHANGES.labels(change.__name__.lower())
    for kind in Recovery:
        RECOVERIES.labels(kind.value)


_begin_at_nought()

INGEST = "ingest"
# What these do is counted where it is committed: an outcome tells of one transcript alone.
_COUNTED_BY_STORES = frozenset({"distill", "consolidate"})


def note_stage(stage: str, outcome: Outcome | str, seconds: float) -> None:
    """A turn of a stage has ended; a text stands for one that has no outcome."""
    said = outcome if isinstance(outcome, str) else type(outcome).__name__.lower()
    STAGE_SECONDS.labels(stage, said).observe(seconds)
    # One that goes on later tells in the end of all its turns.
    if isinstance(outcome, Done) and stage not in _COUNTED_BY_STORES:
        for what, count in outcome.counts.items():
            WORK.labels(stage, what).inc(count)


@contextmanager
def ingesting(tracer: Tracer) -> Iterator[None]:
    """Around the acceptance of a batch of transcripts."""
    began, said = perf_counter(), "failed"
    try:
        with tracer.turn(INGEST):
            yield
        said = "done"
    finally:
        note_stage(INGEST, said, perf_counter() - began)


def note_accepted(answer: Accepted) -> None:
    """A transcript was pushed."""
    fresh = "erased" if answer.is_erased else "accepted"
    note_transcript("duplicate" if answer.is_duplicate else fresh)


def note_transcript(outcome: str) -> None:
    """Something became of a transcript."""
    TRANSCRIPTS.labels(outcome).inc()


def note_dead(reason: str) -> None:
    """A transcript became a dead letter, for a reason that is a name and no sentence."""
    note_transcript("dead")
    DEAD_LETTERS.labels(reason).inc()


def note_distilled(facts: int, refusals: Sequence[Refusal]) -> None:
    """The facts of a transcript are stored."""
    note_transcript("distilled")
    FACTS.inc(facts)
    for refusal in refusals:
        note_refused(refusal.reason)


def note_refused(reason: str) -> None:
    """A draft, or a fact that no plan could take, is not stored."""
    REFUSED_FACTS.labels(reason).inc()


def note_plan(plan: Plan) -> None:
    """A plan is committed."""
    for change, count in plan.counts().items():
        MEMORY_CHANGES.labels(change).inc(count)
    # What came with its successor is inserted as superseded.
    SUPERSEDED.inc(sum(map(_is_superseded_by, plan.changes)))
    for settled in plan.settled.values():
        SETTLED_FACTS.labels(settled.outcome.value).inc()
        if settled.outcome is FactOutcome.REFUSED:
            note_refused(settled.reason or "unknown")


def _is_superseded_by(change: Change) -> bool:
    if isinstance(change, Insert):
        return change.memory.state is MemoryState.SUPERSEDED
    return isinstance(change, Supersede)


def note_charge(charge: Charge, purpose: Purpose) -> None:
    """A model call is booked."""
    MODEL_CALLS.labels(charge.model, purpose.value).inc()
    tokens = charge.usage
    MODEL_TOKENS.labels(charge.model, purpose.value, "prompt").inc(tokens.prompt_tokens)
    MODEL_TOKENS.labels(charge.model, purpose.value, "completion").inc(tokens.completion_tokens)
    if charge.micros:
        MODEL_COST.labels(charge.model, purpose.value).inc(charge.micros / float(MICRO))


def note_recovery(kind: Recovery, count: int = 1) -> None:
    """Something goes on where it was cut off."""
    RECOVERIES.labels(kind.value).inc(count)


class ServerMeter:
    """``CallMeter`` of the breakers: how servers answer, and which count as away."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def note_call(self, dependency: str, outcome: str, seconds: float) -> None:
        DEPENDENCY_SECONDS.labels(dependency, outcome).observe(seconds)
        self._tracer.note_call(dependency, outcome, seconds)

    def note_state(self, dependency: str, *, is_open: bool) -> None:
        BREAKER_OPEN.labels(dependency).set(is_open)
