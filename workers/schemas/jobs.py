"""Answers about what runs by the clock."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from workers.schemas.answers import Answer


class JobShown(Answer):
    """A job and its latest run."""

    job: str
    purpose: str
    interval_seconds: float
    next_at: datetime
    state: Literal["running", "waiting", "failed", "done"] | None
    started_at: datetime | None
    succeeded_at: datetime | None
    took_seconds: float | None
    attempts: int
    counts: dict[str, int]
    note: str | None


class Jobs(Answer):
    """What runs by the clock here."""

    jobs: list[JobShown]


class JobTurn(Answer):
    """What running a job came to."""

    state: Literal["done", "waiting", "skipped"]
    counts: dict[str, int]
    note: str | None
    delay_seconds: float | None = Field(description="When there is more to do.")
