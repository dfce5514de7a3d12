"""Calls behind the caller's back are made in order, whatever one of them does."""

from __future__ import annotations

from threading import Event

from structlog.testing import capture_logs

from workers.aside import Aside


def test_call_that_fails_does_not_keep_the_others_from_being_made() -> None:
    """It is logged."""
    aside, made = Aside("test"), list[int]()
    with capture_logs() as logs:
        for number in range(4):
            assert aside.do(lambda number=number: made.append(12 // (number - 1)))  # type: ignore[misc]
        aside.close()

    assert [-12, 12, 6] == made
    assert ["call_failed"] == [entry["event"] for entry in logs]


def test_calls_that_do_not_fit_are_lost_and_the_caller_knows() -> None:
    """Nobody waits for a server that hangs."""
    aside, begun, goes_on = Aside("test", limit=1), Event(), Event()

    def hang() -> None:
        begun.set()
        goes_on.wait(10)

    assert aside.do(hang)
    assert begun.wait(10)

    assert [True, False] == [aside.do(lambda: None) for _ in range(2)]
    goes_on.set()
    aside.close()
