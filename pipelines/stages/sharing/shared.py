"""The shared memory of an approved proposal: what has to change for it to be there, or gone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.model import Memory, MemoryState, Owner, Scope
from pipelines.plan import Insert, Plan, Recount, Restore, Supersede
from pipelines.stages.sharing.share import shared_memory_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pipelines.model import Evidence, Vector
    from pipelines.plan import Change
    from pipelines.stages.sharing.share import Proposal

DISTILLED_BY = "approval/1"


def open_shared(
    proposal: Proposal,
    cited: Sequence[Memory],
    present: Memory | None,
    vector: Vector,
    now: datetime,
) -> Plan:
    """What makes the shared memory say what the proposal says, resting on what it cites.

    Args:
        proposal: Approved.
        cited: The users' memories that it cites; the first evidence of each is its evidence.
        present: The shared memory as it stands, if it was ever there.
        vector: Of the statement.
        now: From when a new one holds for everyone.
    """
    evidence = _evidence(cited)
    if present is None:
        return Plan((Insert(_make(proposal, cited, evidence, vector, now)),))
    added = tuple(item for item in evidence if item not in present.evidence)
    released = tuple(item for item in present.evidence if item not in evidence)
    changed = replace(present, evidence=evidence, users=proposal.users, version=present.version + 1)
    if present.state is MemoryState.ACTIVE:
        is_same = not (added or released) and present.users == proposal.users
        return Plan() if is_same else _change(present, Recount(changed, released, added))
    opened = replace(changed, state=MemoryState.ACTIVE, valid_to=None, confirmed_at=now)
    return _change(present, Restore(opened, released, added))


def close_shared(present: Memory | None, now: datetime) -> Plan:
    """What ends the shared memory; it stays as history."""
    if present is None or present.state is not MemoryState.ACTIVE:
        return Plan()
    closed = replace(
        present,
        state=MemoryState.SUPERSEDED,
        # The clocks of two machines differ a little; an interval never ends before it began.
        valid_to=max(now, present.valid_from),
        version=present.version + 1,
    )
    return _change(present, Supersede(closed))


def _change(present: Memory, change: Change) -> Plan:
    return Plan((change,), {present.id: present.version})


def _evidence(cited: Sequence[Memory]) -> tuple[Evidence, ...]:
    first = [memory.evidence[0] for memory in cited if memory.evidence]
    # In the order in which a store reads it back.
    return tuple(
        sorted(first, key=lambda item: (item.said_at, item.transcript_id, item.message_index))
    )


def _make(
    proposal: Proposal,
    cited: Sequence[Memory],
    evidence: tuple[Evidence, ...],
    vector: Vector,
    now: datetime,
) -> Memory:
    model = next((memory for memory in cited if memory.slot is not None), None)
    return Memory(
        id=shared_memory_id(proposal.id),
        owner=Owner.everyone(proposal.tenant_id),
        scope=Scope.GLOBAL,
        # No session's: whose it was is nobody else's business.
        session_id="",
        statement=proposal.statement,
        subject=proposal.subject,
        kind=proposal.kind,
        importance=max((memory.importance for memory in cited), default=0.0),
        valid_from=now,
        confirmed_at=now,
        evidence=evidence,
        vector=vector,
        slot=model.slot if model else None,
        value=model.value if model else None,
        ends=model.ends if model else False,
        users=proposal.users,
        distilled_by=DISTILLED_BY,
    )
