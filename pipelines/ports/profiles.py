"""Profiles of users, and their entries on the way into the index."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from pipelines.model import Memory, MemoryId, Owner, Vector
    from pipelines.stages.profile import ProfileEntry, Section


@dataclass(frozen=True, slots=True)
class Profile:
    """What an application knows of a user.

    Attributes:
        version: 0 where there is none yet; one more at each change, whoever makes it.
        updated_at: None where there is none yet.
    """

    owner: Owner
    sections: Mapping[Section, Mapping[str, Any]] = field(default_factory=dict)
    version: int = 0
    updated_at: datetime | None = None


class MemoryLoader(Protocol):
    """What recall hydrates hits from."""

    def load_memories(self, owner: Owner, ids: Collection[MemoryId]) -> list[Memory]:
        """Those of the ids that are this owner's; no order."""
        ...


class ProfileStore(Protocol):
    """Profiles; whatever program changes one, its entries follow."""

    def find_profile(self, owner: Owner) -> Profile:
        """The user's; an empty one of version 0 where there is none."""
        ...

    def patch_profile(
        self,
        owner: Owner,
        patch: Mapping[Section, Mapping[str, Any]],
        version: int | None,
        began_at: datetime,
    ) -> Profile:
        """Change it by a JSON merge patch.

        Args:
            owner: Whose it is.
            patch: By section; null takes a key away.
            version: The one that was read; None changes it whatever it is by now.
            began_at: Aware; an owner who was erased since is refused.

        Raises:
            InputError: It has another version, or would be too large.
            ErasedMeanwhile: The user was erased since it began.
        """
        ...

    def load_entries(self, owner: Owner, ids: Collection[MemoryId]) -> list[Memory]:
        """Those of the ids that are entries of the user's profile, as memories."""
        ...

    def find_unembedded(self, limit: int) -> list[ProfileEntry]:
        """Entries whose value has no embedding yet, the longest waiting first."""
        ...

    def keep_vectors(self, vectors: Sequence[tuple[ProfileEntry, Vector]], now: datetime) -> None:
        """Keep embeddings of values that still stand, and have the index told of them."""
        ...
