"""Promotion: to which scope a memory belongs, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.model import Role, Scope

if TYPE_CHECKING:
    from config.policy import PromotionPolicy, PromotionRule
    from pipelines.model import Memory


def scope_of(memory: Memory, policy: PromotionPolicy) -> tuple[Scope, str]:
    """The scope that the first fitting rule gives, and the rule's reason.

    It depends on what the memory rests on now: when evidence goes, so may the scope. A global
    memory stays global; people approved it.
    """
    if memory.scope is Scope.GLOBAL:
        return Scope.GLOBAL, "approved"
    for rule in policy.rules:
        if _fits(memory, rule):
            return Scope.USER, rule.reason
    return Scope.SESSION, "not enough evidence"


def is_said_by_user(memory: Memory) -> bool:
    """Whether at least one piece of evidence is a user's own message."""
    return any(item.role is Role.USER for item in memory.evidence)


def _fits(memory: Memory, rule: PromotionRule) -> bool:
    return (
        memory.kind.value in rule.kinds
        and (not rule.needs_user or is_said_by_user(memory))
        and memory.importance >= rule.min_importance
        and len(memory.sessions) >= rule.min_sessions
    )
