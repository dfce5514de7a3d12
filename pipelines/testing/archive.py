"""An archive in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Collection


class InMemoryArchive:
    """``Archive`` over a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, key: str, content: bytes) -> None:
        self.kept[key] = content

    def get(self, key: str) -> bytes:
        if key not in self.kept:
            raise NotFound(f"the archive has no {key}")
        return self.kept[key]

    def list(self, folder: str) -> list[str]:
        return sorted(key for key in self.kept if key.startswith(f"{folder}/"))

    def delete(self, keys: Collection[str]) -> None:
        for key in keys:
            self.kept.pop(key, None)
