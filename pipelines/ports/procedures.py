"""What is asked of the store of procedures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pipelines.model import Kind, MemoryId, Owner
    from pipelines.stages.procedures import Instruction, Procedure, ProcedureId


@dataclass(frozen=True, slots=True)
class Telling:
    """A memory that may say how something is done, or how it turned out.

    Attributes:
        said_at: Aware; from when on it holds.
    """

    memory_id: MemoryId
    owner: Owner
    kind: Kind
    statement: str
    said_at: datetime


class ProcedureStore(Protocol):
    """Procedures in versions, and their outcomes. Everyone's are read with a user's own."""

    def put(
        self,
        owner: Owner,
        instruction: Instruction,
        now: datetime,
        *,
        expected_version: int | None = None,
    ) -> Procedure:
        """Keep it as the newest version; the same steps again change nothing.

        Args:
            owner: Whose; everyone's where it is nobody's in particular.
            instruction: Checked, and without secrets.
            now: Aware; an owner who was erased since is refused.
            expected_version: The one that was read, 0 for none; None where it does not matter.

        Raises:
            InputError: Another version is the newest one by now.
            ErasedMeanwhile: The owner was erased since.
        """
        ...

    def list_versions(
        self, tenant_id: str, key: ProcedureId, user_id: str | None = None
    ) -> list[Procedure]:
        """All versions, the newest first.

        Args:
            tenant_id: Whose.
            key: Which.
            user_id: The only user who asks: their own and everyone's alone are shown.

        Raises:
            NotFound: There is none.
        """
        ...

    def find_named(self, owner: Owner, name: str) -> Procedure | None:
        """The newest version under a name, the owner's before everyone's."""
        ...

    def search(self, owner: Owner, words: Sequence[str], limit: int) -> list[Procedure]:
        """The newest versions that hold any of the words, most of them first; all without words.

        Those that hold as many are ordered by how likely they work.
        """
        ...

    def record(
        self,
        owner: Owner,
        key: ProcedureId,
        told_by: str,
        now: datetime,
        *,
        worked: bool,
        version: int | None = None,
    ) -> Procedure:
        """Count an outcome, once for each ``told_by``; answers with the version it counts for.

        Args:
            owner: Who tells it; the procedure is theirs or everyone's.
            key: Which.
            told_by: The idempotency key.
            now: Aware; an owner who was erased since is refused.
            worked: How it turned out.
            version: The one that was followed; the newest if not given.

        Raises:
            NotFound: There is no such procedure, or version of it.
            ErasedMeanwhile: The owner was erased since.
            InputError: The key stands for the opposite already.
        """
        ...

    def list_tellings(self, limit: int) -> list[Telling]:
        """Memories of live users that were not read yet, those that tell how before results."""
        ...

    def learn(self, telling: Telling, instruction: Instruction) -> bool:
        """Keep a version that a memory told of, and mark the memory as read; False if it is gone.

        Results that fitted no procedure are read again.
        """
        ...

    def count(self, telling: Telling, key: ProcedureId, *, worked: bool) -> bool:
        """Count an outcome that a memory told of, for the version of its time, and mark it read."""
        ...

    def pass_over(self, telling: Telling) -> None:
        """Mark a memory as read that told nothing of use."""
        ...

    def forget_gone(self) -> int:
        """Drop what rests on memories that are gone; how much."""
        ...
