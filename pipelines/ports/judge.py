"""Judging what rules leave open, and remembering the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from pipelines.model import Owner
    from pipelines.stages.merging.relate import Pair, Relation


class Judge(Protocol):
    """Says how two statements relate where rules cannot."""

    @property
    def version(self) -> str:
        """Judge and prompt version, stored with each verdict."""
        ...

    def judge(self, owner: Owner, pairs: Sequence[Pair]) -> dict[str, Relation]:
        """Verdicts by the keys of the pairs, all from one question; some may be missing.

        Raises:
            ModelUnavailable, ModelRefused, BadReply: As ``ChatModel.complete``.
        """
        ...


class VerdictStore(Protocol):
    """What was judged, so that no pair is asked twice and people can overrule."""

    def find_verdicts(self, owner: Owner, keys: Collection[str]) -> dict[str, Relation]:
        """The known ones of these pairs."""
        ...

    def keep_verdicts(
        self, owner: Owner, verdicts: Mapping[str, Relation], judged_by: str, now: datetime
    ) -> None:
        """Store verdicts; the first one of a pair stays unless a person overrules it."""
        ...
