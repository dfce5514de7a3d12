"""What every table shares."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, MetaData, Text

metadata = MetaData()

Time = DateTime(timezone=True)


def owner_columns() -> list[Column[str]]:
    """Whose the row is."""
    return [Column("tenant_id", Text, nullable=False), Column("user_id", Text, nullable=False)]
