"""Sharing: what enough users of a tenant say alike becomes everyone's, once a person approves it.

A shared memory is there only while its proposal is approved: opening writes the proposal first
and the memory then, closing the memory first. What a crash leaves between the two, the next scan
or the repeated decision completes.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import InputError, OwnerBusy, StoreRefused, WriteConflict
from pipelines.model import MemoryState, Owner
from pipelines.outcome import Done, Outcome
from pipelines.stages.sharing.share import (
    OPEN_STATES,
    Proposal,
    ProposalState,
    choose_cited,
    find_supports,
    proposal_id,
    propose,
    shared_memory_id,
    withhold,
)
from pipelines.stages.sharing.shared import close_shared, open_shared

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from config.policy import GlobalPolicy, Policies
    from pipelines.model import Memory
    from pipelines.plan import Plan
    from pipelines.ports import Clock, Embedder, MemoryStore, OwnerClaim, Sharing, Waker
    from pipelines.stages.sharing.share import ProposalId, Support, Supporter

log = structlog.get_logger(__name__)

PAGE = 100
BUSY = "the tenant's shared memories are being changed; try again in a moment"


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a scan changed: proposals made, counted anew, and taken back."""

    proposed: int = 0
    updated: int = 0
    withdrawn: int = 0

    def __add__(self, other: Scanned) -> Scanned:
        return Scanned(
            self.proposed + other.proposed,
            self.updated + other.updated,
            self.withdrawn + other.withdrawn,
        )

    def counts(self) -> dict[str, int]:
        """By name."""
        return {
            "proposed": self.proposed,
            "updated": self.updated,
            "withdrawn": self.withdrawn,
        }


@dataclass(frozen=True, slots=True)
class Share:
    """Proposes, decides and withdraws; one tenant's decisions stand under one lease."""

    store: MemoryStore
    sharing: Sharing
    embedder: Embedder
    waker: Waker
    clock: Clock
    policies: Policies

    def run(self, after: str = "") -> Outcome:
        """Scan the tenants that follow; after a while the rest in a new wake-up."""
        started, total = self.clock.now(), Scanned()
        tenant_id = self.sharing.next_tenant(after)
        while tenant_id is not None:
            total += self._scan_or_skip(tenant_id)
            if self.clock.now() - started >= self._policy.turn:
                self.waker.wake_share(tenant_id)
                break
            tenant_id = self.sharing.next_tenant(tenant_id)
        return Done(total.counts())

    def scan(self, tenant_id: str) -> Scanned:
        """Propose what enough users of the tenant say, and take back what they do not any more.

        Raises:
            OwnerBusy: Somebody decides at this moment; what was proposed until then stays.
        """
        scanned = self._propose_new(tenant_id) + self._review(tenant_id)
        log.info("statements_scanned", tenant_id=tenant_id, **scanned.counts())
        return scanned

    def approve(self, tenant_id: str, key: ProposalId, by: str) -> Proposal:
        """Make the proposal's statement a memory of everyone; repeating it changes nothing.

        Raises:
            NotFound: The tenant has no such proposal.
            InputError: Too few users say it now, or something in it is personal.
            OwnerBusy: Somebody else decides at this moment.
        """
        self.sharing.find_proposal(tenant_id, key)
        with self._everyone(tenant_id) as claim:
            known = self.sharing.find_proposal(tenant_id, key)
            approved = self._approved(known, by)
            self._decide(approved, known)
            self._open(claim, approved)
        log.info("promotion_approved", tenant_id=tenant_id, proposal=str(key))
        return approved

    def reject(self, tenant_id: str, key: ProposalId, by: str) -> Proposal:
        """Never propose it again; what was approved before is taken back.

        Raises:
            NotFound: The tenant has no such proposal.
            OwnerBusy: Somebody else decides at this moment.
        """
        self.sharing.find_proposal(tenant_id, key)
        with self._everyone(tenant_id) as claim:
            known = self.sharing.find_proposal(tenant_id, key)
            self._close(claim, known)
            rejected = known
            if known.state is not ProposalState.REJECTED:
                rejected = self._decided(known, ProposalState.REJECTED, by)
                self._decide(rejected, known)
        log.info("promotion_rejected", tenant_id=tenant_id, proposal=str(key))
        return rejected

    # ---- the scan -----------------------------------------------------------------------------

    @property
    def _policy(self) -> GlobalPolicy:
        return self.policies.sharing

    def _scan_or_skip(self, tenant_id: str) -> Scanned:
        try:
            return self.scan(tenant_id)
        except (WriteConflict, StoreRefused) as error:
            # The other tenants do not wait for this one; the next scan makes it good.
            log.warning("scan_skipped", tenant_id=tenant_id, error=str(error))
            return Scanned()

    def _propose_new(self, tenant_id: str) -> Scanned:
        proposed, after = 0, ""
        while True:
            part = self.sharing.find_repeated(tenant_id, self._policy, after)
            proposed += len(self.sharing.add_proposals(self._proposals(tenant_id, part.supporters)))
            if part.next is None:
                return Scanned(proposed=proposed)
            after = part.next

    def _proposals(self, tenant_id: str, supporters: Sequence[Supporter]) -> list[Proposal]:
        now, regions = self.clock.now(), self.policies.personal_data.phone_regions
        return [
            propose(tenant_id, support, self._policy, now)
            for support in find_supports(supporters, self._policy)
            if withhold(support, self._policy, regions) is None
        ]

    def _review(self, tenant_id: str) -> Scanned:
        total = Scanned()
        after: ProposalId | None = None
        while page := self.sharing.list_proposals(tenant_id, OPEN_STATES, after, PAGE):
            total += self._review_page(tenant_id, page)
            after = page[-1].id
        return total

    def _review_page(self, tenant_id: str, page: Sequence[Proposal]) -> Scanned:
        supports = self._find_supports(tenant_id, page)
        present = self._find_present(tenant_id, page)
        changed = [item for item in page if self._is_stale(item, supports.get(item.id), present)]
        if not changed:
            return Scanned()
        with self._everyone(tenant_id) as claim:
            settled = [self._settle(claim, item, supports.get(item.id)) for item in changed]
        return sum(settled, Scanned())

    def _find_supports(self, tenant_id: str, page: Sequence[Proposal]) -> dict[ProposalId, Support]:
        found = self.sharing.find_supporters(tenant_id, [item.statement for item in page])
        return {
            proposal_id(tenant_id, support.statement, support.subject): support
            for support in find_supports(found, self._policy)
        }

    def _find_present(self, tenant_id: str, page: Sequence[Proposal]) -> set[ProposalId]:
        ids = {shared_memory_id(item.id): item.id for item in page}
        memories = self.store.load_memories(Owner.everyone(tenant_id), list(ids))
        return {ids[row.id] for row in memories if row.state is MemoryState.ACTIVE}

    def _is_stale(
        self, proposal: Proposal, support: Support | None, present: set[ProposalId]
    ) -> bool:
        if support is None or support.users < self._policy.min_users:
            return True
        is_missing = proposal.state is ProposalState.APPROVED and proposal.id not in present
        return is_missing or self._recounted(proposal, support) != proposal

    def _settle(self, claim: OwnerClaim, proposal: Proposal, support: Support | None) -> Scanned:
        if self.sharing.find_proposal(proposal.tenant_id, proposal.id).state != proposal.state:
            # Decided since it was listed; whoever decided has counted.
            return Scanned()
        if support is None or support.users < self._policy.min_users:
            self._close(claim, proposal)
            withdrawn = self._decided(proposal, ProposalState.WITHDRAWN, None)
            withdrawn = replace(withdrawn, users=support.users if support else 0)
            is_written = self.sharing.update_proposal(withdrawn, proposal.state)
            return Scanned(withdrawn=int(is_written))
        recounted = self._recounted(proposal, support)
        is_written = self.sharing.update_proposal(recounted, proposal.state)
        if is_written and recounted.state is ProposalState.APPROVED:
            self._open(claim, recounted)
        return Scanned(updated=int(is_written))

    def _recounted(self, proposal: Proposal, support: Support) -> Proposal:
        cited = choose_cited(proposal.memory_ids, support, self._policy)
        return replace(proposal, users=support.users, memory_ids=cited)

    # ---- decisions ----------------------------------------------------------------------------

    def _approved(self, known: Proposal, by: str) -> Proposal:
        support = self._find_supports(known.tenant_id, [known]).get(known.id)
        if support is None or support.users < self._policy.min_users:
            raise InputError(
                "promotion",
                f"is said by {support.users if support else 0} users now; "
                f"it takes {self._policy.min_users}",
            )
        if known.state is ProposalState.APPROVED:
            return self._recounted(known, support)
        # The proposal's text is what was read and is approved, whoever says it by now.
        shown = replace(support, statement=known.statement, subject=known.subject)
        withheld = withhold(shown, self._policy, self.policies.personal_data.phone_regions)
        if withheld is not None:
            raise InputError("promotion", f"cannot be shared any more: {withheld}")
        approved = self._decided(known, ProposalState.APPROVED, by)
        return replace(self._recounted(approved, support), memory_id=shared_memory_id(known.id))

    def _decided(self, known: Proposal, state: ProposalState, by: str | None) -> Proposal:
        return replace(known, state=state, decided_at=self.clock.now(), decided_by=by)

    def _decide(self, decided: Proposal, known: Proposal) -> None:
        if not self.sharing.update_proposal(decided, known.state):
            raise OwnerBusy(BUSY)

    def _open(self, claim: OwnerClaim, proposal: Proposal) -> None:
        cited = self.sharing.load_cited(proposal.tenant_id, proposal.memory_ids)
        vector = self.embedder.embed([proposal.statement])[0]
        present = self._find_shared(claim.owner, proposal)
        self._commit(claim, open_shared(proposal, cited, present, vector, self.clock.now()))

    def _close(self, claim: OwnerClaim, proposal: Proposal) -> None:
        present = self._find_shared(claim.owner, proposal)
        self._commit(claim, close_shared(present, self.clock.now()))

    def _find_shared(self, everyone: Owner, proposal: Proposal) -> Memory | None:
        found = self.store.load_memories(everyone, [shared_memory_id(proposal.id)])
        return found[0] if found else None

    def _commit(self, claim: OwnerClaim, plan: Plan) -> None:
        if plan.changes:
            self.store.commit_plan(claim, plan, self.clock.now())
            self.waker.wake_index()

    @contextmanager
    def _everyone(self, tenant_id: str) -> Iterator[OwnerClaim]:
        """The lease under which the shared memories of a tenant are changed."""
        owner, now = Owner.everyone(tenant_id), self.clock.now()
        self.store.mark_owner_due(owner, now)
        claim = self.store.claim_owner(owner, now, self.policies.lease.consolidate)
        if claim is None:
            raise OwnerBusy(BUSY)
        try:
            yield claim
        except OwnerBusy:
            raise
        except WriteConflict as error:
            raise OwnerBusy(BUSY) from error
        finally:
            self.store.release_owner(claim, None, self.clock.now())
