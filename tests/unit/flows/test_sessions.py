"""What a running session may hand over, and what is stored of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from config.policy import Handling, PersonalDataPolicy, PersonalKind
from config.sessions import SessionPolicy
from pipelines.errors import InputError, OwnerBusy, SessionsUnavailable
from pipelines.flows.sessions import Sessions
from pipelines.model import Owner, Role
from pipelines.ports import Asked
from pipelines.testing.sessions import InMemorySessions
from tests.session_tiers import said

if TYPE_CHECKING:
    from collections.abc import Callable

ALICE = Owner("acme", "alice")
KEY = "sk-" + "proj-" + "bcdfghjkmnpqrstvwxz2345bcdfghjkmnpqrstvwxz2345"
MINUTE = timedelta(minutes=1)
SMALL = SessionPolicy(
    max_messages=4,
    max_messages_at_once=3,
    max_message_bytes=100,
    max_state_bytes=40,
    max_tool_state_bytes=30,
    max_tools_at_once=2,
    max_rate=9,
)


def make(policy: SessionPolicy = SMALL) -> tuple[Sessions, InMemorySessions]:
    cache = InMemorySessions(policy=policy)
    return Sessions(cache, cache.clock, PersonalDataPolicy(), policy), cache


def texts(cache: InMemorySessions) -> list[str]:
    return [item.content for item in cache.read_context(ALICE, "s", 10)]


def test_secrets_are_taken_out_of_text_before_it_is_stored() -> None:
    """Of messages, also where they are said again without any context, and of episodes."""
    sessions, cache = make()

    sessions.append(ALICE, "s", [said(f"my key is {KEY}"), said(f"{KEY}, noted", Role.ASSISTANT)])
    told = sessions.add_episode(ALICE, "s", f"She gave me {KEY}.")

    assert ["my key is [redacted:openai-key]", "[redacted:openai-key], noted"] == texts(cache)
    assert "She gave me [redacted:openai-key]." == told.content
    assert [told] == cache.read_episodes(ALICE, 5)


def test_bare_answer_to_a_question_for_a_secret_is_taken_out() -> None:
    """Also when question and answer are appended one by one, in whatever instalments."""
    sessions, cache = make()

    sessions.append(ALICE, "s", [said("What is your password?", Role.ASSISTANT)])
    sessions.append(ALICE, "s", [said("hunter2isok")])
    sessions.append(ALICE, "s", [said("I like tea.")])

    assert ["What is your password?", "[redacted:password]", "I like tea."] == texts(cache)


def test_personal_data_is_handled_as_the_tenant_wants_it() -> None:
    """Without numbers: those of two appends would mean different addresses."""
    sessions, cache = make(SessionPolicy())
    masking = PersonalDataPolicy(default={PersonalKind.EMAIL: Handling.MASK})
    sessions = replace(sessions, personal_data=masking)

    for address in ("ann@mail.example", "bob@mail.example"):
        sessions.append(ALICE, "s", [said(f"write to {address}")])

    assert ["write to [email]"] * 2 == texts(cache)


def test_append_gives_up_when_the_question_changes_all_the_time() -> None:
    """It never stores what was not redacted as an answer to what stands before it."""

    class Hectic(InMemorySessions):
        def append_context(self, *_: object, **__: object) -> Asked:
            return Asked(said("Your password?", asks=True), b"")

    cache = Hectic(policy=SMALL)
    sessions = Sessions(cache, cache.clock, PersonalDataPolicy(), SMALL)

    with pytest.raises(OwnerBusy):
        sessions.append(ALICE, "s", [said("hunter2isok")])


REFUSED: dict[str, tuple[str, Callable[[Sessions], object]]] = {
    "nothing": ("messages", lambda it: it.append(ALICE, "s", [])),
    "too many": ("messages", lambda it: it.append(ALICE, "s", [said("x")] * 4)),
    "blank": ("messages[1].content", lambda it: it.append(ALICE, "s", [said("x"), said(" ")])),
    "too long": ("messages[0].content", lambda it: it.append(ALICE, "s", [said("é" * 51)])),
    "no text": ("messages[0].content", lambda it: it.append(ALICE, "s", [said("\ud800")])),
    "nul": ("content", lambda it: it.add_episode(ALICE, "s", "a\x00")),
    "long episode": ("content", lambda it: it.add_episode(ALICE, "s", "x" * 101)),
    "large state": ("state", lambda it: it.keep_state(ALICE, "s", "x" * 39)),
    "large tool state": ("state", lambda it: it.keep_tool_state(ALICE, "s", "t", "x" * 29)),
    "no json": ("state", lambda it: it.keep_state(ALICE, "s", {"a": float("nan")})),
    "secret session": ("session_id", lambda it: it.keep_state(ALICE, KEY, 1)),
    "secret tool": ("tool", lambda it: it.keep_tool_state(ALICE, "s", KEY, 1)),
    "no tool": ("tool", lambda it: it.tool_states(ALICE, "s", [])),
    "many tools": ("tool", lambda it: it.tool_states(ALICE, "s", ["a", "b", "c"])),
    "limit": ("limit", lambda it: it.context(ALICE, "s", 5)),
    "no limit": ("limit", lambda it: it.episodes(ALICE, 0)),
    "high rate": ("limit", lambda it: it.count_use(ALICE, "calls", 10, MINUTE)),
    "long window": (
        "window_seconds",
        lambda it: it.count_use(ALICE, "calls", 1, timedelta(hours=25)),
    ),
}


@pytest.mark.parametrize(("field", "call"), REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_fit_is_refused_with_its_field(
    field: str, call: Callable[[Sessions], object]
) -> None:
    """And nothing of it is stored."""
    sessions, cache = make()

    with pytest.raises(InputError) as refused:
        call(sessions)

    assert field == refused.value.field
    assert {} == cache._kept


def test_what_just_fits_is_kept_as_it_is() -> None:
    """State is not looked into: its integrity is the point."""
    sessions, cache = make()
    state: dict[str, Any] = {"key": KEY[:20]}

    sessions.append(ALICE, "s", [said("é" * 50)])
    sessions.keep_state(ALICE, "s", state)

    assert ["é" * 50] == texts(cache)
    assert {"state": state} == sessions.state(ALICE, "s")


def test_absence_of_the_tier_is_said_as_such() -> None:
    """Whoever asks can go on without it."""
    sessions, cache = make()
    cache.is_away = True

    with pytest.raises(SessionsUnavailable):
        sessions.look(ALICE, "s", 4, 4)
