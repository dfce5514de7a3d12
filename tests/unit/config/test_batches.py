"""Batches as the environment spells them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from pydantic import ValidationError

from config.settings import Settings


def test_batches_are_off_when_nothing_is_said() -> None:
    """Whoever wants to wait for a day says so."""
    policies = Settings().policies()
    assert not policies.batch.is_on
    assert Decimal("0.5") == policies.budget.batch_share


def test_batches_are_as_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The price of a batch, how few make one, and how long one is waited for."""
    given = {
        "MODEL_BATCH": "on",
        "MODEL_BATCH_MIN": "7",
        "BATCH_PRICE_SHARE": "0.1",
        "SCHEDULE": '{"batches": 5}',
        "BATCH_WAIT_SECONDS": "60",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"MEMSTILL_{name}", value)
    policies = Settings().policies()
    assert (True, 7, timedelta(seconds=5), timedelta(minutes=1)) == (
        policies.batch.is_on,
        policies.batch.min_requests,
        policies.batch.interval,
        policies.batch.wait,
    )
    assert Decimal("0.1") == policies.budget.batch_share


@pytest.mark.parametrize("share", ["-0.1", "1.1", "half"])
def test_price_share_is_a_share(monkeypatch: pytest.MonkeyPatch, share: str) -> None:
    """A batch never costs more than its calls."""
    monkeypatch.setenv("MEMSTILL_BATCH_PRICE_SHARE", share)
    with pytest.raises(ValidationError):
        Settings()
