"""Working memories in this process's memory."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from config.sessions import WorkingPolicy
from pipelines.ports import Working
from pipelines.testing.sessions import InMemorySessions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.model import Owner
    from pipelines.ports import Summary, WorkingItem, Write
    from pipelines.testing.sessions import Key


@dataclass(slots=True)
class InMemoryWorking:
    """``WorkingStore``, erased with the rest of its tier."""

    tier: InMemorySessions = field(default_factory=InMemorySessions)
    policy: WorkingPolicy = field(default_factory=WorkingPolicy)

    def append_items(
        self, owner: Owner, session_id: str, items: Sequence[WorkingItem], write: Write
    ) -> Working:
        self.tier.check(owner, session_id, write)
        found = self.tier.find(_key(owner, session_id)) or Working()
        if self.tier.is_first(_key(owner, session_id), write):
            found = replace(found, items=(*found.items, *items))
        self.tier.keep(_key(owner, session_id), found, self.policy.lifetime)
        return found

    def read_items(self, owner: Owner, session_id: str) -> Working:
        found: Working | None = self.tier.use(_key(owner, session_id), self.policy.lifetime)
        return found or Working()

    def fold_items(
        self, owner: Owner, session_id: str, seen: Working, summary: Summary, write: Write
    ) -> bool:
        self.tier.check(owner, session_id, write)
        found = self.tier.find(_key(owner, session_id)) or Working()
        count = len(seen.items)
        if (found.summary, found.items[:count]) != (seen.summary, seen.items):
            return False
        folded = Working(summary, found.items[count:])
        self.tier.keep(_key(owner, session_id), folded, self.policy.lifetime)
        return True


def _key(owner: Owner, session_id: str) -> Key:
    return (owner, session_id, "working", "")
