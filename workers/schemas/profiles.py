"""Answers about profiles of users."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from workers.schemas.answers import Answer


class ProfileShown(Answer):
    """What an application knows of a user by its own means."""

    user_id: str
    preferences: dict[str, Any]
    learned: dict[str, Any]
    version: int
    updated_at: datetime | None
