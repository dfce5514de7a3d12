"""A world in which backfill is gathered into batches, and then distilled as always."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from config.operation import BatchPolicy
from config.policy import DistillPolicy
from config.spending import Budget, BudgetPolicy, Budgets, Limit, Price
from pipelines.adapters.model_distiller import ModelDistiller
from pipelines.flows.batch import RunBatches
from pipelines.flows.distill import Distill
from pipelines.flows.gather import Gather
from pipelines.model import Lane
from pipelines.ports import ChatReply
from pipelines.testing.batches import InMemoryBatches, ScriptedBatchEndpoint
from pipelines.testing.ledger import InMemoryLedger
from pipelines.testing.models import InMemoryReplies, OneDistiller, ScriptedChatModel
from pipelines.testing.requests import read_lines
from pipelines.testing.stores import InMemoryStores
from pipelines.testing.surroundings import ManualClock, RecordingWaker
from tests.builders import ALICE, PROMPT, START, day, make_transcript

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.model import Owner, ReceiptId, Transcript
    from pipelines.ports import ChatRequest, PreparedRequest, Status
    from pipelines.stages.cost import Usage

WAIT = timedelta(hours=1)
WINDOW = timedelta(hours=24)
INTERVAL = timedelta(minutes=1)
LEASE = timedelta(minutes=5)
# A request and its answer are 11 and 7 tokens: 11 + 14 micro-units live, 13 in a batch.
PRICE = Price(Decimal(1), Decimal(2))
LIVE, BATCHED_PRICE = 25, 13


def quote_all(request: ChatRequest) -> ChatReply:
    """Each line of a request is a fact."""
    facts = [
        {
            "statement": line["content"],
            "subject": "user",
            "kind": "knowledge",
            "quote": line["content"],
            "message_ids": [line["id"]],
            "importance": 0.5,
            "attribute": None,
            "value": None,
            "ends": False,
            "event_date": None,
        }
        for line in read_lines(request.user)
    ]
    return ChatReply(json.dumps({"facts": facts}), "scripted", 11, 7)


def old(text: str, number: int = 0, owner: Owner = ALICE) -> Transcript:
    """A session of the backfill lane."""
    made = make_transcript(text, owner=owner, session=f"s{number}", at=day(number))
    return replace(made, lane=Lane.BACKFILL)


class World:
    """Two requests make a batch; sessions wait an hour for one."""

    def __init__(
        self,
        *,
        budget: Budget | None = None,
        policy: BatchPolicy | None = None,
        distill: DistillPolicy | None = None,
    ) -> None:
        self.clock, self.waker = ManualClock(START), RecordingWaker()
        self.stores = InMemoryStores(backfill_wait=WAIT)
        self.answers: dict[str, ChatReply | Usage | None] = {}
        rules = BudgetPolicy(
            prices={"scripted": PRICE},
            default=Budgets(user_day=budget or Budget()),
            completion_allowance=10,
        )
        self.ledger = InMemoryLedger(rules, self.clock)
        self.replies = InMemoryReplies(self.ledger)
        self.chat = ScriptedChatModel(quote_all)
        self.endpoint = ScriptedBatchEndpoint(self._answer)
        self.batches = InMemoryBatches(self.stores, self.replies)
        self.distiller = ModelDistiller(self.chat, self.replies, PROMPT, distill or DistillPolicy())
        self.policy = policy or BatchPolicy(is_on=True, min_requests=2, wait=WAIT)
        self.flow = self.make_flow()

    def make_flow(self) -> RunBatches:
        """As another process would have it."""
        gather = Gather(
            self.batches, self.distiller, self.replies, self.stores, "scripted", self.policy
        )
        return RunBatches(self.batches, self.endpoint, gather, self.waker, self.clock, self.policy)

    def accept(self, *transcripts: Transcript) -> list[ReceiptId]:
        self.stores.accept(transcripts, self.clock.now())
        return [item.id for item in transcripts]

    def next_run(self, after: timedelta = INTERVAL) -> None:
        self.clock.advance(after)
        self.flow.run()

    def distill_due(self) -> None:
        """What the wake-ups of the sweep do."""
        flow = Distill(
            self.stores,
            OneDistiller(self.distiller),
            self.waker,
            self.clock,
            lease=LEASE,
            max_attempts=3,
            judge=lambda _, __: None,
        )
        due = self.stores.find_due(self.clock.now(), 1000)
        for receipt in (*due.transcripts, *due.backfill):
            flow.run(receipt)

    def status(self, receipt: ReceiptId) -> Status:
        return self.stores.status("acme", receipt)

    def states(self, receipts: Sequence[ReceiptId]) -> dict[str, int]:
        return self.stores.states("acme", receipts)

    def booked(self) -> list[int]:
        """Calls and money since the first day."""
        report = self.ledger.report("acme", None, START.date(), 100)
        return [report.calls, report.total.micros]

    def sessions_handed_in(self) -> list[list[str]]:
        """What each request carries."""
        return [
            [line["content"] for line in read_lines(request.request.user)]
            for request in self.endpoint.requests
        ]

    def _answer(self, request: PreparedRequest) -> ChatReply | Usage | None:
        for text, answer in self.answers.items():
            if text in request.request.user:
                return answer
        return quote_all(request.request)


def hard(tokens: int) -> Budget:
    """So many in a day."""
    return Budget(hard=Limit(tokens=tokens))
