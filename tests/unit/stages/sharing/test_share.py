"""Which statements of different users may be proposed for everyone."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.policy import GlobalPolicy
from pipelines.model import Kind, MemoryId, Owner, Slot
from pipelines.stages.sharing.share import (
    Supporter,
    Withheld,
    choose_cited,
    find_supports,
    proposal_id,
    propose,
    withhold,
    without_own,
)
from tests.builders import START, make_fact, make_memory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipelines.stages.sharing.share import Support

POLICY = GlobalPolicy(max_cited=4)
REGIONS = ("US", "DE")
STATEMENT = "PgBouncer breaks prepared statements."


def supporter(
    user: str,
    statement: str = STATEMENT,
    subject: str = "PgBouncer",
    *,
    kind: Kind = Kind.LESSON,
    importance: float = 0.5,
    speakers: Iterable[str] = ("User",),
    number: int = 0,
) -> Supporter:
    """A user's memory, whose id depends on the user and a number."""
    key = MemoryId(uuid.uuid5(uuid.NAMESPACE_URL, f"{user}/{number}"))
    owner = Owner("acme", user)
    return Supporter(key, owner, statement, subject, kind, importance, frozenset(speakers))


def three(statement: str = STATEMENT, subject: str = "PgBouncer", **changes: str) -> Support:
    """What three users say, the first of them under another name or id where one is given."""
    first = supporter(
        changes.get("user", "alice"), statement, subject, speakers=[changes.get("speaker", "User")]
    )
    others = [supporter(user, statement, subject) for user in ("bob", "carol")]
    (support,) = find_supports([first, *others], POLICY)
    return support


def counted(supporters: Iterable[Supporter]) -> list[int]:
    return sorted(support.users for support in find_supports(supporters, POLICY))


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("users", [1, 2, 3, 4])
@pytest.mark.parametrize("importance", [0.0, 0.29, 0.3, 1.0])
def test_statement_is_proposed_by_kind_users_and_importance(
    kind: Kind, users: int, importance: float
) -> None:
    """Work and knowledge from three users on, never anything about a person or a trifle."""
    said = [supporter(f"u{n}", kind=kind, importance=importance) for n in range(users)]
    supports = find_supports(said, POLICY)

    is_shareable = [None] == [withhold(support, POLICY, REGIONS) for support in supports]

    kinds = {Kind.KNOWLEDGE, Kind.PROCEDURE, Kind.LESSON, Kind.OUTCOME}
    assert (kind in kinds and users >= 3 and importance >= 0.3) == is_shareable


def test_user_counts_once_when_several_memories_say_it() -> None:
    """Saying it in many memories does not make many users."""
    said = [supporter("alice", number=n) for n in range(5)]

    assert [1] == counted(said)


def test_users_of_two_subjects_are_not_added_up() -> None:
    """The same words of another subject are another statement."""
    port, other = "The port is 5433.", supporter("carol", "The port is 5433.", "Redis")

    said = [supporter("alice", port, "PgBouncer"), supporter("bob", port, "pgbouncer "), other]

    assert [1, 2] == counted(said)


def test_statement_keeps_the_commonest_spelling() -> None:
    """What most users wrote is what a person reads and approves."""
    said = [
        supporter("alice", "pgbouncer breaks prepared statements"),
        supporter("bob"),
        supporter("carol"),
        supporter("dave", "pgbouncer breaks the prepared statements!", kind=Kind.KNOWLEDGE),
    ]

    (support,) = find_supports(said, POLICY)

    assert (STATEMENT, Kind.LESSON, 4) == (support.statement, support.kind, support.users)


@pytest.mark.parametrize(
    "statement",
    [
        "PgBouncer breaks 2 prepared statements.",
        "PgBouncer does not break prepared statements.",
        "PgBouncer broke prepared statements on 2026-03-02.",
    ],
)
def test_statement_that_differs_in_a_number_or_a_not_is_another_one(statement: str) -> None:
    """Only what is said alike word for word is counted together."""
    assert [1, 1] == counted([supporter("alice"), supporter("bob", statement)])


@pytest.mark.parametrize(
    ("support", "expected"),
    [
        (three("User prefers small pull requests.", "User"), Withheld.ABOUT_SPEAKER),
        (three("The dog ate the router.", "User's dog"), Withheld.ABOUT_SPEAKER),
        (three("Assistant lost the branch.", "Assistant"), Withheld.ABOUT_SPEAKER),
        (three("Ana rebooted the router.", "Ana", speaker="Ana Costa"), Withheld.ABOUT_SPEAKER),
        (three("Costa's router needs a reboot.", speaker="Ana Costa"), Withheld.NAMES_SPEAKER),
        (three("The user must log in twice.", "Login"), Withheld.NAMES_SPEAKER),
        (three("Tickets of acme-7 are late.", "Tickets", user="acme-7"), Withheld.NAMES_SPEAKER),
        (three("Write to help@example.com.", "Support"), Withheld.PERSONAL_DATA),
        (three("Call +49 30 901820 at night.", "Support"), Withheld.PERSONAL_DATA),
        (three("Pay to DE89 3704 0044 0532 0130 00.", "Billing"), Withheld.PERSONAL_DATA),
        (three("Send it to 12 Baker Street.", "Support"), Withheld.PERSONAL_DATA),
        (three("The key is [redacted:api-key].", "Staging"), Withheld.REDACTED),
        (three("Write to [email-1] first.", "Support"), Withheld.REDACTED),
        (three("Write to [email] first.", "Support"), Withheld.REDACTED),
        (three("All users must log in again after a deploy.", "Deploy"), None),
        (three("The e-mail queue [email-queue] is slow.", "Queue"), None),
        (three(speaker="Pg"), None),
        (three(speaker="User"), None),
    ],
)
def test_personal_statement_is_withheld(support: Support, expected: Withheld | None) -> None:
    """Nothing about who said it, nobody's name, id or data, and nothing with a hole in it."""
    assert expected == withhold(support, POLICY, REGIONS)


def test_name_of_any_user_withholds_the_statement() -> None:
    """One of many users is called like something in it: nobody can tell it from the person."""
    said = [supporter(f"u{n}") for n in range(20)]
    said[13] = replace(said[13], speakers=frozenset({"Pgbouncer"}))

    (support,) = find_supports(said, POLICY)

    assert Withheld.ABOUT_SPEAKER == withhold(support, POLICY, REGIONS)


def test_proposal_is_the_same_whoever_says_it_and_however_it_is_spelled() -> None:
    """What was rejected once is known again; another tenant's is another one."""
    first = proposal_id("acme", "The port is 5433.", "PgBouncer")

    assert first == proposal_id("acme", "the port is 5433", " pgbouncer")
    assert first != proposal_id("globex", "The port is 5433.", "PgBouncer")
    assert first != proposal_id("acme", "The port is 5433.", "Redis")
    assert first != proposal_id("acme", "The port is 5432.", "PgBouncer")


def test_proposal_says_what_its_users_say() -> None:
    """Statement, subject, kind, how many, and whose memories it cites."""
    support = three()

    made = propose("acme", support, POLICY, START)

    assert (STATEMENT, "PgBouncer", Kind.LESSON, 3) == (
        made.statement,
        made.subject,
        made.kind,
        made.users,
    )
    assert {item.memory_id for item in support.supporters} == set(made.memory_ids)
    assert (None, None) == (made.decided_by, made.memory_id)


@given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30), min_size=1))
def test_citing_keeps_who_still_stands_and_never_exceeds_the_limit(
    before: set[int], now: set[int]
) -> None:
    """Evidence changes only where a cited memory fell away."""
    (support,) = find_supports([supporter(f"u{n}") for n in sorted(now)], POLICY)
    (past,) = find_supports([supporter(f"u{n}") for n in sorted(before)], POLICY) or (support,)
    cited = choose_cited((), past, POLICY)

    chosen = choose_cited(cited, support, POLICY)

    standing = {item.memory_id for item in support.supporters}
    assert min(POLICY.max_cited, len(standing)) == len(chosen)
    assert set(cited) & standing <= set(chosen) <= standing


def test_shared_memory_gives_way_to_the_users_own_word() -> None:
    """Their own quote, and their own value of a slot, count for them."""
    slot = Slot("staging", "region")
    own = [
        make_memory(make_fact("The port is 5433.", subject="PgBouncer")),
        make_memory(make_fact("Staging runs in Dublin.", slot=slot)),
    ]
    shared = [
        make_memory(make_fact("the port is 5433", subject="pgbouncer", session="a")),
        make_memory(make_fact("The port is 5433.", subject="Redis", session="b")),
        make_memory(make_fact("Staging runs in Frankfurt.", slot=slot, session="c")),
        make_memory(make_fact("Deploys run at noon.", session="d")),
    ]

    assert [shared[1], shared[3]] == without_own(own, shared)
