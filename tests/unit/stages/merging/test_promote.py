"""Promotion from session to user, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from config.policy import PromotionPolicy
from pipelines.model import Kind, Role, Scope, receipt_id
from pipelines.stages.merging.promote import scope_of
from tests.builders import ALICE, make_evidence, make_fact, make_memory

if TYPE_CHECKING:
    from pipelines.model import Memory

POLICY = PromotionPolicy()


OF_THE_PERSON = (Kind.PREFERENCE, Kind.PROFILE, Kind.EVENT, Kind.PROCEDURE, Kind.KNOWLEDGE)
OF_THE_WORK = (Kind.OUTCOME, Kind.LESSON)
OTHERS = (Role.ASSISTANT, Role.TOOL, Role.SYSTEM)

# By importance, what one session and what two sessions lead to: the reason, or None for staying
# in the session.
Cells = dict[float, tuple[str | None, str | None]]
SAID_BY_USER: Cells = {
    0.0: (None, "corroborated"),
    0.29: (None, "corroborated"),
    0.3: ("important", "important"),
    1.0: ("important", "important"),
}
RESULT_BY_OTHERS: Cells = {
    0.0: (None, "corroborated result"),
    0.29: (None, "corroborated result"),
    0.3: ("result of the work", "result of the work"),
    1.0: ("result of the work", "result of the work"),
}
PERSON_BY_OTHERS: Cells = dict.fromkeys(SAID_BY_USER, (None, None))

TABLE: dict[tuple[Kind, Role], Cells] = {
    **{(kind, Role.USER): SAID_BY_USER for kind in (*OF_THE_PERSON, *OF_THE_WORK)},
    **{(kind, role): RESULT_BY_OTHERS for kind in OF_THE_WORK for role in OTHERS},
    **{(kind, role): PERSON_BY_OTHERS for kind in OF_THE_PERSON for role in OTHERS},
}


def said_by(*roles: Role, kind: Kind, importance: float) -> Memory:
    """A memory of one session for each of the roles."""
    evidence = tuple(
        make_evidence("said", receipt=receipt_id(ALICE, f"s{n}"), session=f"s{n}", role=role)
        for n, role in enumerate(roles)
    )
    fact = make_fact("said", kind=kind, importance=importance, evidence=evidence)
    return make_memory(fact, scope=Scope.SESSION)


def reason_for_user(memory: Memory) -> str | None:
    """Why it is the user's; None if it stays in its session."""
    scope, reason = scope_of(memory, POLICY)
    return reason if scope is Scope.USER else None


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("kind", Kind)
def test_promotion_follows_the_policy(kind: Kind, role: Role) -> None:
    """Kind, speaker, importance and corroboration decide, and nothing else."""
    found = {
        importance: (
            reason_for_user(said_by(role, kind=kind, importance=importance)),
            reason_for_user(said_by(role, role, kind=kind, importance=importance)),
        )
        for importance in SAID_BY_USER
    }

    assert TABLE[kind, role] == found


@pytest.mark.parametrize("kind", Kind)
def test_promotion_counts_every_session_when_the_user_says_it_once(kind: Kind) -> None:
    """What the user said is theirs, and the assistant's repeating it corroborates."""
    memory = said_by(Role.ASSISTANT, Role.USER, kind=kind, importance=0.0)

    assert "corroborated" == reason_for_user(memory)


def test_promotion_counts_a_session_once_when_it_is_said_twice_there() -> None:
    """Repeating oneself within a session is no corroboration."""
    twice = tuple(
        make_evidence("said", receipt=receipt_id(ALICE, "s1"), index=index) for index in (0, 1)
    )
    memory = make_memory(make_fact("said", importance=0.0, evidence=twice), scope=Scope.SESSION)

    assert None is reason_for_user(memory)


def test_promotion_leaves_a_global_memory_alone() -> None:
    """What people approved for everybody is nobody's single evidence to take back."""
    memory = make_memory(make_fact("said", importance=0.0), scope=Scope.GLOBAL)

    assert Scope.GLOBAL is scope_of(memory, POLICY)[0]


def test_promotion_is_taken_back_when_the_evidence_goes() -> None:
    """A memory of the user that rests on too little is one of its session again."""
    memory = make_memory(make_fact("said", importance=0.0), scope=Scope.USER)

    assert (Scope.SESSION, "not enough evidence") == scope_of(memory, POLICY)
