"""Invented content that every golden file holds; it never changes, whatever a format becomes."""

from __future__ import annotations

import json
import uuid
from typing import Any

from memstill_client.tasks import _Progress
from memstill_client.wire import parse_transcript
from pipelines.flows.recall_tiers import Recollection
from pipelines.model import FactOutcome, Lane, MemoryId, Role, Scope, TranscriptState, receipt_id
from pipelines.plan import Insert, Plan, Promote, Supersede
from pipelines.ports import (
    ArchivedFile,
    ArchivedKind,
    ChatRequest,
    CheckpointDraft,
    ContextMessage,
    Difference,
    Episode,
    Erasure,
    ErasureId,
    ErasureState,
    FactReport,
    HotState,
    IndexPoint,
    PaidFor,
    Purpose,
    Rebuild,
    Round,
    Status,
    Subject,
    Summary,
    Working,
    WorkingItem,
)
from pipelines.stages.checkpoints.canonical import canonical_json, digest
from pipelines.stages.checkpoints.chain import NEWEST, CheckpointId, Thread
from pipelines.stages.procedures import Procedure, ProcedureId
from tests.builders import ALICE, START, day, make_fact, make_memory, make_transcript, vector_of
from workers.payloads import to_transcript

NOW = day(7)
RECEIPT = receipt_id(ALICE, "s-42/final")
RANDOM = uuid.UUID("0b9d6c1e-54c5-4a5e-9f5c-0d8a2f1e7c31")

PUSHED: dict[str, Any] = {
    "schema_version": 1,
    "tenant_id": "acme",
    "user_id": "alice",
    "agent_id": "support-bot",
    "session_id": "s-42",
    "idempotency_key": "s-42/final",
    "started_at": "2026-03-02T09:00:00+01:00",
    "time_zone": "Europe/Berlin",
    "metadata": {"channel": "chat"},
    "messages": [
        {
            "id": "m1",
            "role": "user",
            "name": "Alice",
            "content": "Find me a train to Bern.",
            "created_at": "2026-03-02T09:00:05+01:00",
        },
        {
            "id": "m2",
            "role": "assistant",
            "content": "",
            "created_at": "2026-03-02T09:00:06+01:00",
            "tool_call": {"name": "search", "arguments": {"to": "Bern"}},
        },
    ],
}
TRANSCRIPT_V1 = parse_transcript(PUSHED, now=NOW)
TRANSCRIPT = to_transcript(TRANSCRIPT_V1, default_tenant="default", lane=Lane.BACKFILL)

FACT = make_fact("Alice prefers trains.", attribute="means of travel", value="train")
MEMORY = make_memory(FACT)
SUCCESSOR = make_memory(make_fact("Alice prefers ferries.", session="s2", at=day(3)))
CLOSED = make_memory(FACT, valid_to=day(3), superseded_by=SUCCESSOR.id, version=2)
PLAN = Plan(
    changes=(
        Insert(MEMORY),
        Supersede(CLOSED, added=MEMORY.evidence),
        Promote(CLOSED, Scope.SESSION, "said in two sessions"),
    )
)
STATUS = Status(
    receipt=RECEIPT,
    session_id="s-42",
    state=TranscriptState.DONE,
    attempts=1,
    counts={"inserted": 1},
    redactions={"api-key": 1},
    reason=None,
    last_error=None,
    received_at=START,
    finished_at=day(1),
    facts=(
        FactReport(FACT.statement, FACT.kind.value, FactOutcome.INSERTED.value, None, MEMORY.id),
    ),
)
SAID = ContextMessage(Role.USER, "I live in Bern.", START, "Alice")
EPISODE = Episode("s-42", "Alice was told of a train at 09:32.", START)
ITEM = WorkingItem("i-1", "The train leaves at 09:32.", 8, START)
SUMMARY = Summary("i-1", "Alice wants a train to Bern.", 7, 4, "small-1 summarise-v1/0a", START)
ERASURE = Erasure(
    id=ErasureId(RANDOM),
    tenant_id="acme",
    subject_key=Subject(ALICE).key,
    subject=None,
    state=ErasureState.VERIFIED,
    requested_at=START,
    requested_by="api",
    mark_at=START,
    due_at=None,
    purged_at=day(1),
    verified_at=day(2),
    removed={"memories": 3},
    found={"memories": 0},
)
POINT = IndexPoint(
    MEMORY.id,
    ALICE,
    MEMORY.scope,
    MEMORY.session_id,
    MEMORY.version,
    vector_of("trains"),
    "Alice prefers trains.",
    MEMORY.state,
    MEMORY.valid_from,
    CLOSED.valid_to,
)
ARCHIVED = ArchivedFile(
    key="a/b/events/00000000000000000001-00000000000000000007-0123456789abcdef.jsonl.zst",
    kind=ArchivedKind.EVENTS,
    owner=ALICE,
    rows=7,
    size=512,
    sha256="0123456789abcdef" * 4,
    first="00000000000000000001",
    last="00000000000000000007",
    written_at=day(100),
)
REBUILD = Rebuild("a1b2", START, expected=10, after=MemoryId(RANDOM), compared=4)
ROUND = Round(START, day(1), MemoryId(RANDOM), 4, {next(iter(Difference)): 2})
REQUEST = ChatRequest("You distill.", "[0] Alice: I prefer trains.", "facts", {"type": "object"})
PAID_FOR = PaidFor(ALICE, Purpose.DISTILL, (RECEIPT,))
ASKED = make_transcript("I prefer trains.")
DRAFTED: dict[str, Any] = {
    "statement": "Alice prefers trains.",
    "subject": "Alice",
    "kind": "preference",
    "quote": "I prefer trains.",
    "message_ids": [0],
    "importance": 0.6,
    "attribute": "means of travel",
    "value": "train",
    "ends": False,
    "event_date": None,
}
COMPLETION = {
    "model": "small-1",
    "choices": [
        {"message": {"content": json.dumps({"facts": [DRAFTED]})}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 40, "completion_tokens": 20},
}
BLOCK_LINES = ["Alice prefers trains. (2026-03-02)"]
_STATES = [canonical_json({"cart": ["tea"], "turn": turn, "total": 1.0}) for turn in (1, 2)]
DRAFT = CheckpointDraft(
    id=CheckpointId(RANDOM),
    thread=Thread(ALICE, "order-7"),
    parent=NEWEST,
    node="pay",
    metadata='{"model":"small-1"}',
    state=_STATES[0],
    sha256=digest(_STATES[0]),
    begun_at=NOW,
)
NEXT_DRAFT = CheckpointDraft(
    id=CheckpointId(uuid.UUID(int=2)),
    thread=DRAFT.thread,
    parent=DRAFT.id,
    node="ship",
    metadata="{}",
    state=_STATES[1],
    sha256=digest(_STATES[1]),
    begun_at=day(8),
    base=DRAFT.id,
    base_sha256=DRAFT.sha256,
    delta=canonical_json([{"op": "replace", "path": "/turn", "value": 2}]),
)
HOT = HotState(DRAFT.id, _STATES[0], NOW)
PROGRESS = _Progress(RANDOM, {"read": [1, 2], "pay": {"paid": 1.5}}, NEXT_DRAFT.id)
RECOLLECTION = Recollection(
    procedures=(
        Procedure(
            ProcedureId(uuid.UUID(int=3)),
            ALICE,
            "book a train",
            ("search", "pay"),
            2,
            NOW,
            None,
            3,
            1,
        ),
    ),
    episodes=(Episode("s1", "Booked a train to Bern.", NOW),),
    working=Working(
        Summary("1", "Looked for trains.", 4, 2, "extractive/1", NOW),
        (WorkingItem("2", "Bern it is.", 3, NOW),),
    ),
    block="a block",
    tokens=3,
    notes=("a note",),
)
