"""What an error means for the work that met it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from config.operation import RetryPolicy
from pipelines.errors import (
    BadReply,
    IndexUnavailable,
    ModelRefused,
    ModelUnavailable,
    StoreRefused,
)
from pipelines.flows.again import JITTER, delay_after
from workers.retry import judge

POLICY = RetryPolicy(
    max_attempts=5, base=timedelta(seconds=10), factor=4.0, longest=timedelta(minutes=5)
)


@pytest.mark.parametrize(
    ("error", "last_attempt"),
    [
        (ModelUnavailable("429"), 5),
        (IndexUnavailable("away"), 5),
        (ModelRefused("401"), 5),
        (BadReply("no JSON"), 3),
        (StoreRefused("DataError"), 1),
    ],
)
def test_retry_gives_each_error_its_number_of_attempts(error: Exception, last_attempt: int) -> None:
    """The last attempt's error makes a dead letter, the ones before it a delay."""
    assert all(judge(error, n, POLICY) is not None for n in range(1, last_attempt))
    assert None is judge(error, last_attempt, POLICY)


def test_retry_delay_grows_up_to_the_longest() -> None:
    """Each delay is four times the one before it, jittered by a quarter, and bounded."""
    for attempt, seconds in ((1, 10), (2, 40), (3, 160), (4, 300)):
        delay = judge(ModelUnavailable("busy"), attempt, POLICY)
        assert delay is not None
        assert seconds * (1 - JITTER) <= delay.total_seconds() <= seconds * (1 + JITTER)


@pytest.mark.parametrize("attempt", [20, 22, 31, 10_000])
def test_delay_is_the_longest_when_work_has_failed_for_days(attempt: int) -> None:
    """What is never given up, as consolidating, is tried again however often it failed."""
    delay = delay_after(attempt, RetryPolicy())

    assert timedelta(minutes=45) <= delay <= timedelta(minutes=75)


def test_retry_never_comes_back_before_the_endpoint_asked_for() -> None:
    """Retry-After is a lower bound."""
    delay = judge(ModelUnavailable("busy", retry_after_seconds=90), 1, POLICY)

    assert timedelta(seconds=90) == delay


def test_retry_gives_even_one_attempt_in_all_to_every_error() -> None:
    """With a single attempt allowed, the first error is the last."""
    once = RetryPolicy(max_attempts=1)

    assert None is judge(BadReply("x"), 1, once)
    assert None is judge(ModelUnavailable("x"), 1, once)


@pytest.mark.parametrize("attempt", [1, 5, 500])
def test_retry_waits_an_outage_out_whatever_the_attempt(attempt: int) -> None:
    """Until it may be over and a little longer, however often that was."""
    away = ModelUnavailable("away", retry_after_seconds=40, is_outage=True)

    delay = judge(away, attempt, POLICY)

    assert delay is not None
    assert 40 <= delay.total_seconds() <= 40 + POLICY.base.total_seconds() * JITTER


def test_retry_buries_nothing_for_an_outage_even_with_one_attempt_in_all() -> None:
    """No attempt is none."""
    away = IndexUnavailable("away", is_outage=True)

    assert None is not judge(away, 1, RetryPolicy(max_attempts=1))
