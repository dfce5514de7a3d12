"""The distiller that needs no model, no key and no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.stages.offline.distill import distill_transcript

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.model import Draft, Transcript

VERSION = "offline/1"


class OfflineDistiller:
    """Proposes the sentences of a transcript that are worth keeping, by rules."""

    @property
    def version(self) -> str:
        return VERSION

    def distill(self, transcript: Transcript, keep_alive: Callable[[], None]) -> list[Draft]:
        drafts = distill_transcript(transcript)
        keep_alive()
        return drafts
