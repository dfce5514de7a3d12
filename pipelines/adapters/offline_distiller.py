"""The distiller that needs no model, no key and no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.stages.offline.distill import distill_transcript

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from pipelines.model import Draft, Owner, ReceiptId, Transcript

VERSION = "offline/2"


class OfflineDistiller:
    """Proposes the sentences of a transcript that are worth keeping, by rules."""

    @property
    def version(self) -> str:
        return VERSION

    @property
    def is_selective(self) -> bool:
        return False

    @property
    def max_company(self) -> int:
        return 0

    def select_company(self, lead: Transcript, waiting: Sequence[Transcript]) -> list[Transcript]:
        del lead, waiting
        return []

    def find_companies(
        self, owner: Owner, receipts: Collection[ReceiptId]
    ) -> dict[ReceiptId, tuple[ReceiptId, ...]]:
        del owner, receipts
        return {}

    def distill(
        self,
        transcripts: Sequence[Transcript],
        keep_alive: Callable[[], None],
        *,
        was_asked: bool = True,
    ) -> list[list[Draft]]:
        del was_asked
        drafts: list[list[Draft]] = []
        for transcript in transcripts:
            if drafts:
                keep_alive()
            drafts.append(distill_transcript(transcript))
        return drafts
