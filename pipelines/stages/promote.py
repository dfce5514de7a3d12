"""Promotion: which memory of a session becomes one of the user, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.model import Role, Scope

if TYPE_CHECKING:
    from config.policy import PromotionPolicy
    from pipelines.model import Memory


def promotion_reason(memory: Memory, policy: PromotionPolicy) -> str | None:
    """Say why a session's memory belongs to the user from now on; None if it does not."""
    if memory.scope is not Scope.SESSION:
        return None
    if not is_said_by_user(memory) and memory.kind.value not in policy.assistant_kinds:
        return None
    if memory.importance >= policy.min_importance:
        return "important"
    if len(memory.sessions) >= policy.min_sessions:
        return "corroborated"
    return None


def is_said_by_user(memory: Memory) -> bool:
    """Whether at least one piece of evidence is a user's own message."""
    return any(item.role is Role.USER for item in memory.evidence)
