"""Cleaning LangGraph's own tables, composed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.adapters.langgraph_tables import LangGraphStore
from pipelines.flows.clean_threads import CleanThreads
from workers.clock import SystemClock

if TYPE_CHECKING:
    from config.settings import Settings


def make_clean_threads(settings: Settings, url: str | None = None) -> CleanThreads | None:
    """The flow on the database that is named, here or in the settings; None without one."""
    named = settings.langgraph_url
    address = url or (named.get_secret_value() if named else None)
    if not address:
        return None
    return CleanThreads(LangGraphStore(address), SystemClock(), settings.policies().langgraph)
