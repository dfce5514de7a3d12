"""Answers about procedures."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from workers.schemas.answers import Answer


class ProcedureShown(Answer):
    """One version of how something is done, and how it turned out."""

    id: UUID
    user_id: str | None
    name: str
    steps: list[str]
    version: int
    since: datetime
    successes: int
    failures: int
    success_rate: float
    learned_from: UUID | None
    cites: list[UUID]


class ProceduresFound(Answer):
    """The newest versions, those that fit best first."""

    procedures: list[ProcedureShown]


class ProcedureVersions(Answer):
    """All versions of one, the newest first."""

    versions: list[ProcedureShown]
