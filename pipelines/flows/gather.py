"""Gathering: backfill that waits becomes requests that there is money for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipelines.errors import BudgetExceeded
from pipelines.ports import BatchItem
from pipelines.stages.injection.recalled import without_recalled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from config.operation import BatchPolicy
    from pipelines.model import Owner, ReceiptId, Transcript
    from pipelines.ports import (
        BatchableDistiller,
        BatchStore,
        Hold,
        Inbox,
        PreparedRequest,
        ReplyStore,
    )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A request, and what is set aside for it."""

    prepared: PreparedRequest
    hold: Hold

    @property
    def item(self) -> BatchItem:
        """What is written down of it."""
        return BatchItem(self.prepared.request_hash, self.prepared.paid_for, self.hold)


@dataclass(frozen=True, slots=True)
class Gather:
    """Groups sessions as distilling does, so that it will find the replies to these requests."""

    store: BatchStore
    distiller: BatchableDistiller
    replies: ReplyStore
    inbox: Inbox
    model: str
    policy: BatchPolicy

    def run(self, now: datetime) -> list[Candidate]:
        """Requests for a batch, none if they are too few to be worth one.

        What has no room in a budget is parked, and taken up again when there may be some.
        """
        companies = list(self._companies(self.find_waiting(now), now))
        requests = [self.distiller.list_requests(company) for company in companies]
        if sum(map(len, requests)) < self.policy.min_requests:
            return []
        budgets = _Budgets(self.replies, self.model)
        chosen: list[Candidate] = []
        for company, prepared in zip(companies, requests, strict=True):
            try:
                chosen += budgets.reserve(prepared)
            except BudgetExceeded as error:
                due_at = error.resume_at + self.policy.wait
                self.store.park_waiting([item.id for item in company], due_at, str(error))
        return chosen

    def find_waiting(self, now: datetime) -> list[Transcript]:
        """Backfill that can be put in a batch: it goes the live road only after a while."""
        until, policy = now + self.policy.wait, self.policy
        return self.store.find_waiting(until, policy.max_transcripts, policy.max_bytes)

    def release(self, candidates: Iterable[Candidate]) -> None:
        """Give back what was set aside."""
        for candidate in candidates:
            self.replies.ledger.release(candidate.hold)

    def rebuild(self, items: Sequence[BatchItem]) -> list[PreparedRequest]:
        """The requests of items again, from their transcripts; without those that have changed."""
        wanted = {item.request_hash for item in items}
        companies = {item.paid_for.receipts: item.paid_for.owner for item in items}
        return [
            request
            for receipts, owner in companies.items()
            for request in self._ask_again(owner, receipts)
            if request.request_hash in wanted
        ]

    def _ask_again(self, owner: Owner, receipts: Sequence[ReceiptId]) -> list[PreparedRequest]:
        found = {item.id: item for item in self.inbox.load_transcripts(owner, receipts)}
        if not found.keys() >= set(receipts):
            return []
        return self.distiller.list_requests([without_recalled(found[key]) for key in receipts])

    def _companies(
        self, waiting: Sequence[Transcript], now: datetime
    ) -> Iterator[list[Transcript]]:
        """Sessions that share a request, in event order; what was paid before goes its road."""
        of_owner: dict[Owner, list[Transcript]] = {}
        for item in waiting:
            of_owner.setdefault(item.owner, []).append(without_recalled(item))
        for owner, theirs in of_owner.items():
            paid = self.replies.find_companies(owner, [item.id for item in theirs])
            if paid:
                self.store.release_waiting(list(paid), now)
            theirs.sort(key=lambda item: (item.ended_at, str(item.id)))
            yield from self._split([item for item in theirs if item.id not in paid])

    def _split(self, waiting: list[Transcript]) -> Iterator[list[Transcript]]:
        while waiting:
            lead, *others = waiting
            chosen = self.distiller.select_company(lead, others[: self.distiller.max_company])
            company = [lead, *chosen]
            yield company
            taken = {item.id for item in company}
            waiting = [item for item in others if item.id not in taken]


@dataclass(slots=True)
class _Budgets:
    """Sets aside what requests may cost; whoever has no room is not asked for more of the same.

    Attributes:
        refused: The refusals of a tenant or of a user, and for how many bytes.
    """

    replies: ReplyStore
    model: str
    refused: dict[tuple[str, ...], tuple[int, BudgetExceeded]] = field(default_factory=dict)

    def reserve(self, requests: Sequence[PreparedRequest]) -> list[Candidate]:
        """All or nothing.

        Raises:
            BudgetExceeded: There is no room; nothing is set aside.
        """
        held: list[Candidate] = []
        try:
            for request in requests:
                hold = self._reserve(request)
                held.append(Candidate(request, hold))
        except BudgetExceeded:
            for candidate in held:
                self.replies.ledger.release(candidate.hold)
            raise
        return held

    def _reserve(self, request: PreparedRequest) -> Hold:
        names, size = request.paid_for.owner.names, request.prompt_bytes
        for known in (names[:1], names):
            smallest, error = self.refused.get(known, (size + 1, None))
            if error is not None and size >= smallest:
                raise error
        try:
            return self.replies.ledger.reserve(self.model, size, request.paid_for, is_batch=True)
        except BudgetExceeded as error:
            self.refused[names[:1] if error.is_tenants else names] = (size, error)
            raise
