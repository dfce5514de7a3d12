"""``Sharing`` over the memories of in-memory stores, under the same contract."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.errors import NotFound
from pipelines.model import EVERYONE, MemoryState, Role, Scope
from pipelines.ports import Repeated
from pipelines.stages.dedup import statement_key
from pipelines.stages.sharing.share import ProposalState, Supporter

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from config.policy import GlobalPolicy
    from pipelines.model import Memory, MemoryId
    from pipelines.stages.sharing.share import Proposal, ProposalId
    from pipelines.testing.memories import InMemoryMemories

_ALL = 1_000_000


class InMemorySharing:
    """Looks at everything at each call; for some thousands of memories."""

    def __init__(self, stores: InMemoryMemories) -> None:
        self._stores = stores
        self._proposals: dict[ProposalId, Proposal] = {}
        self._lock = threading.Lock()

    def next_tenant(self, after: str) -> str | None:
        tenants = {change.memory.owner.tenant_id for change, _ in self._stores.events}
        return min((tenant for tenant in tenants if tenant > after), default=None)

    def find_repeated(self, tenant_id: str, policy: GlobalPolicy, after: str) -> Repeated:
        groups: dict[str, list[Memory]] = defaultdict(list)
        for memory in self._shareable(tenant_id):
            groups[statement_key(memory.statement)].append(memory)
        part: list[Supporter] = []
        looked_at = 0
        for key in sorted(key for key in groups if key > after):
            looked_at += len(groups[key])
            if len(_users_that_count(groups[key], policy)) >= policy.min_users:
                part += map(_as_supporter, groups[key])
            if looked_at >= policy.batch:
                return Repeated(tuple(part), key)
        return Repeated(tuple(part), None)

    def find_supporters(self, tenant_id: str, statements: Collection[str]) -> list[Supporter]:
        keys = {statement_key(statement) for statement in statements}
        return [
            _as_supporter(memory)
            for memory in self._shareable(tenant_id)
            if statement_key(memory.statement) in keys
        ]

    def load_cited(self, tenant_id: str, ids: Collection[MemoryId]) -> list[Memory]:
        return [
            memory
            for memory in self._stores.export_memories(tenant_id, None, None, _ALL)
            if memory.id in ids and memory.owner.user_id != EVERYONE
        ]

    def add_proposals(self, proposals: Sequence[Proposal]) -> list[ProposalId]:
        added: list[ProposalId] = []
        with self._lock:
            for item in proposals:
                known = self._proposals.get(item.id)
                if known is None:
                    self._proposals[item.id] = item
                elif known.state is ProposalState.WITHDRAWN:
                    self._proposals[item.id] = _proposed_anew(known, item)
                else:
                    continue
                added.append(item.id)
        return added

    def update_proposal(self, proposal: Proposal, expected: ProposalState) -> bool:
        with self._lock:
            known = self._proposals.get(proposal.id)
            is_expected = (
                known is not None
                and known.tenant_id == proposal.tenant_id
                and known.state is expected
            )
            if is_expected:
                self._proposals[proposal.id] = proposal
            return is_expected

    def find_proposal(self, tenant_id: str, key: ProposalId) -> Proposal:
        with self._lock:
            found = self._proposals.get(key)
        if found is None or found.tenant_id != tenant_id:
            raise NotFound(f"no promotion has the id {key}")
        return found

    def list_proposals(
        self,
        tenant_id: str,
        states: Collection[ProposalState],
        after: ProposalId | None,
        limit: int,
    ) -> list[Proposal]:
        with self._lock:
            found = [
                item
                for item in self._proposals.values()
                if item.tenant_id == tenant_id
                and item.state in states
                and (after is None or item.id > after)
            ]
        return sorted(found, key=lambda item: item.id)[:limit]

    def _shareable(self, tenant_id: str) -> list[Memory]:
        return [
            memory
            for memory in self._stores.export_memories(tenant_id, None, None, _ALL)
            if memory.state is MemoryState.ACTIVE and memory.scope is Scope.USER
        ]


def _users_that_count(memories: Sequence[Memory], policy: GlobalPolicy) -> set[str]:
    return {
        memory.owner.user_id
        for memory in memories
        if memory.kind.value in policy.kinds and memory.importance >= policy.min_importance
    }


def _as_supporter(memory: Memory) -> Supporter:
    return Supporter(
        memory.id,
        memory.owner,
        memory.statement,
        memory.subject,
        memory.kind,
        memory.importance,
        frozenset(item.speaker for item in memory.evidence if item.role is Role.USER),
    )


def _proposed_anew(known: Proposal, new: Proposal) -> Proposal:
    return replace(
        known,
        users=new.users,
        memory_ids=new.memory_ids,
        state=new.state,
        proposed_at=new.proposed_at,
        decided_at=None,
        decided_by=None,
    )
