"""memstill inside this process, on the servers of a place."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from config.settings import Settings
from workers.app import make_app
from workers.container import open_container

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.load.place import Place
    from workers.container import Container


@contextmanager
def open_inside(place: Place, index: str, **env: str) -> Iterator[Container]:
    """With the index ``pgvector`` or ``edge``, and whatever else it is told."""
    url = index if index == "pgvector" else f"edge:{place.folder / index}"
    with replace(place, env=place.env | {"MEMSTILL_INDEX_URL": url} | env).environment():
        settings = Settings()
        container = open_container(settings, make_app(settings))
        try:
            yield container
        finally:
            container.close()
