"""Promotion from session to user, as a table."""

from __future__ import annotations

import pytest

from config.policy import PromotionPolicy
from pipelines.model import Kind, Role, Scope, receipt_id
from pipelines.stages.promote import promotion_reason
from tests.builders import ALICE, make_evidence, make_fact, make_memory

POLICY = PromotionPolicy(min_importance=0.3, min_sessions=2)


@pytest.mark.parametrize(
    ("kind", "role", "importance", "sessions", "expected"),
    [
        (Kind.PREFERENCE, Role.USER, 0.6, 1, "important"),
        (Kind.EVENT, Role.USER, 0.3, 1, "important"),
        (Kind.EVENT, Role.USER, 0.2, 1, None),
        (Kind.EVENT, Role.USER, 0.2, 2, "corroborated"),
        (Kind.LESSON, Role.ASSISTANT, 0.6, 1, "important"),
        (Kind.OUTCOME, Role.ASSISTANT, 0.2, 1, None),
        (Kind.PREFERENCE, Role.ASSISTANT, 0.9, 3, None),
        (Kind.PROFILE, Role.TOOL, 0.9, 3, None),
    ],
)
def test_promotion_follows_the_policy(
    kind: Kind, role: Role, importance: float, sessions: int, expected: str | None
) -> None:
    """Kind, speaker, importance and corroboration decide, and nothing else."""
    evidence = tuple(
        make_evidence("said", receipt=receipt_id(ALICE, f"s{n}"), session=f"s{n}", role=role)
        for n in range(sessions)
    )
    fact = make_fact("said", kind=kind, importance=importance, evidence=evidence)

    memory = make_memory(fact, scope=Scope.SESSION)

    assert expected == promotion_reason(memory, POLICY)


def test_promotion_leaves_a_memory_of_the_user_alone() -> None:
    """What is the user's already is not promoted a second time."""
    memory = make_memory(make_fact("said", importance=1.0), scope=Scope.USER)

    assert None is promotion_reason(memory, POLICY)
