"""Rates of tenants: what comes too fast waits its time, and nothing is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from config.rates import Rate, RatePolicy
from config.settings import Settings
from pipelines.adapters.postgres import Database, PostgresInbox
from pipelines.model import Owner
from tests.builders import START, make_transcript

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from pipelines.model import Transcript

SECOND = timedelta(seconds=1)
POLICY = RatePolicy(default=Rate(SECOND, 3), tenants={"free": None})


@pytest.fixture
def inbox(database_url: str) -> Iterator[PostgresInbox]:
    database = Database(database_url)
    yield PostgresInbox(database, rates=POLICY)
    database.close()


def push(inbox: PostgresInbox, *sessions: str, tenant: str = "acme", at: datetime) -> list[float]:
    """When each is due, in seconds after the start."""
    owner = Owner(tenant, "alice")
    items: list[Transcript] = [
        make_transcript(name, owner=owner, session=name, key=name) for name in sessions
    ]
    inbox.accept(items, at)
    found = [inbox.status(tenant, item.id).due_at for item in items]
    return [(due - START).total_seconds() for due in found if due is not None]


def test_burst_is_due_at_once_and_the_rest_at_the_rate(inbox: PostgresInbox) -> None:
    """Three at once, then one a second, however they are pushed."""
    names = [f"s{number}" for number in range(6)]
    assert [0, 0, 0, 1, 2, 3] == push(inbox, *names, at=START)
    assert [4] == push(inbox, "later", at=START)


def test_rate_that_was_not_used_comes_back_up_to_the_burst(inbox: PostgresInbox) -> None:
    """After a pause three may come at once again, and no more."""
    push(inbox, *[f"s{number}" for number in range(6)], at=START)
    assert [60, 60, 60, 61] == push(inbox, "a", "b", "c", "d", at=START + 60 * SECOND)


def test_repeated_push_uses_up_nothing(inbox: PostgresInbox) -> None:
    """A duplicate is answered, and no later session waits for it."""
    push(inbox, "s1", at=START)
    for _ in range(9):
        push(inbox, "s1", at=START)
    assert [0, 0, 1] == push(inbox, "s2", "s3", "s4", at=START)


def test_tenants_do_not_use_up_each_others_rate(inbox: PostgresInbox) -> None:
    """One tenant's flood delays itself alone; one without a rate is never delayed."""
    push(inbox, *[f"s{number}" for number in range(50)], at=START)
    assert [0] == push(inbox, "s1", tenant="beta", at=START)
    names = [f"s{number}" for number in range(50)]
    assert [0.0] * 50 == push(inbox, *names, tenant="free", at=START)


def test_rates_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Per minute, with a burst of a minute's worth unless it is named; null does not limit."""
    monkeypatch.setenv(
        "MEMSTILL_RATES",
        '{"default": {"per_minute": 120}, "tenants": {"big": null, "slow": {"per_minute": 0.5}}}',
    )
    policy = Settings().policies().rate
    assert Rate(timedelta(seconds=0.5), 120) == policy.rate_of("any")
    assert None is policy.rate_of("big")
    assert Rate(timedelta(minutes=2), 1) == policy.rate_of("slow")


@pytest.mark.parametrize(
    "given", ["{", '{"default": {"per_minute": 0}}', '{"default": {"per_hour": 5}}']
)
def test_wrong_rates_are_refused_by_name(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing error does not silently mean no limit."""
    monkeypatch.setenv("MEMSTILL_RATES", given)
    with pytest.raises(ValidationError, match="rates"):
        Settings()
