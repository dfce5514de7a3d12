"""How many requests of a tenant are taken on."""

from __future__ import annotations

from datetime import timedelta

import pytest

from config.rates import Rate, RatePolicy
from config.requests import RequestPolicy
from workers import admission
from workers.admission import Admission, TooManyRequests

SECOND = Rate(timedelta(seconds=1), burst=2)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def ask(asked: Admission, tenant: str = "acme") -> None:
    with asked.admit(tenant):
        pass


def test_tenant_waits_for_what_it_asked_for_when_its_share_is_under_way() -> None:
    """Others go on; and so does it once one is answered."""
    asked = Admission(RequestPolicy(tenant_in_flight=1))

    with asked.admit("acme"):
        with pytest.raises(TooManyRequests) as caught:
            ask(asked)
        ask(asked, "globex")
    ask(asked)

    assert 429 == caught.value.status_code
    assert {"Retry-After": "1"} == caught.value.headers


def test_place_is_free_again_when_a_request_fails() -> None:
    """Whatever it failed with."""
    asked = Admission(RequestPolicy(tenant_in_flight=1))

    with pytest.raises(ValueError, match="broke"), asked.admit("acme"):
        raise ValueError("broke")
    ask(asked)


def test_tenant_that_asks_faster_than_it_may_is_told_when_to_come_again() -> None:
    """A burst at once, then one each interval; the wait that is told is enough, and no less is."""
    clock, slow = Clock(), Rate(timedelta(seconds=10), burst=2)
    asked = Admission(RequestPolicy(rates=RatePolicy(slow)), clock)
    ask(asked)
    ask(asked)

    with pytest.raises(TooManyRequests) as caught:
        ask(asked)
    assert {"Retry-After": "10"} == caught.value.headers
    clock.now = 9.9
    with pytest.raises(TooManyRequests):
        ask(asked)
    clock.now = 10.1
    ask(asked)
    with pytest.raises(TooManyRequests):
        ask(asked)


def test_tenant_without_a_rate_is_not_held_up_by_that_of_others() -> None:
    """Null lifts the default."""
    asked = Admission(RequestPolicy(rates=RatePolicy(SECOND, {"big": None})), Clock())

    for _ in range(50):
        ask(asked, "big")


def test_tenants_that_ask_no_more_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names cost nothing where nobody is asked for a key; whoever has spent something is known."""
    monkeypatch.setattr(admission, "MAX_REMEMBERED", 3)
    clock = Clock()
    asked = Admission(RequestPolicy(rates=RatePolicy(SECOND)), clock)
    for number in range(3):
        ask(asked, f"tenant-{number}")
    clock.now = 0.5
    ask(asked, "late")
    clock.now = 2.0
    with asked.admit("tenant-0"):
        ask(asked, "new")

    assert {"tenant-0", "late", "new"} >= set(asked._standings)
    assert "tenant-0" in asked._standings
