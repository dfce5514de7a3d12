"""Intervals of jobs are such that there are slots."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from config.schedule import Job
from config.settings import Settings


@pytest.mark.parametrize("seconds", ["0", "-1", "1e-7", "1e20", "1e400", "NaN"])
def test_interval_that_makes_no_slots_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, seconds: str
) -> None:
    """When the process starts, and not by every job later."""
    monkeypatch.setenv("MEMSTILL_SCHEDULE", f'{{"decay": {seconds}}}')

    with pytest.raises(ValidationError, match="schedule"):
        Settings()


def test_interval_replaces_the_one_of_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """And of no other."""
    monkeypatch.setenv("MEMSTILL_SCHEDULE", '{"decay": 3600}')

    jobs = Settings().policies().schedule.jobs

    assert timedelta(hours=1) == jobs[Job.DECAY].interval
    assert timedelta(days=1) == jobs[Job.PURGE].interval
