"""The two clients offer the same."""

from __future__ import annotations

import inspect

import pytest

from memstill_client import (
    AsyncMemstill,
    AsyncResumableTask,
    AsyncSession,
    Memstill,
    ResumableTask,
    Session,
)
from memstill_client.checkpoints import AsyncCheckpoints, Checkpoints

PAIRS = [
    (Memstill, AsyncMemstill),
    (Session, AsyncSession),
    (ResumableTask, AsyncResumableTask),
    (Checkpoints, AsyncCheckpoints),
]


def calls_of(client: type) -> dict[str, list[tuple[str, object, object]]]:
    """What can be called, with what arguments."""
    return {
        name: [
            (parameter.name, parameter.kind, parameter.default)
            for parameter in inspect.signature(member).parameters.values()
        ]
        for name, member in inspect.getmembers(client, callable)
        if not name.startswith("_")
    }


@pytest.mark.parametrize(("blocking", "awaited"), PAIRS)
def test_asynchronous_client_has_every_call_of_the_other(blocking: type, awaited: type) -> None:
    """With the same arguments, of the same names and defaults."""
    assert calls_of(blocking) == calls_of(awaited)


def test_asynchronous_calls_are_awaited_or_iterated() -> None:
    """None blocks the event loop; a session and a key are only named, without asking anybody."""
    blocking = [
        name
        for name in calls_of(AsyncMemstill)
        if not inspect.iscoroutinefunction(getattr(AsyncMemstill, name))
        and not inspect.isasyncgenfunction(getattr(AsyncMemstill, name))
    ]

    assert ["session", "with_key"] == blocking
