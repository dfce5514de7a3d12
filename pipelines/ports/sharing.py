"""What users of one tenant say alike, and the proposals to make it everyone's.

The only port that reads memories of several users at once, and never those of two tenants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from config.policy import GlobalPolicy
    from pipelines.model import Memory, MemoryId
    from pipelines.stages.sharing.share import Proposal, ProposalId, ProposalState, Supporter


@dataclass(frozen=True, slots=True)
class Repeated:
    """A part of what is said by several users.

    Attributes:
        supporters: All memories of each statement in it.
        next: Where to go on; None at the end.
    """

    supporters: tuple[Supporter, ...]
    next: str | None


class Sharing(Protocol):
    """Supporters are current memories of user scope; a tenant's shared memories are none."""

    def next_tenant(self, after: str) -> str | None:
        """The tenant that follows in the order of the ids; an empty id asks for the first."""
        ...

    def find_repeated(self, tenant_id: str, policy: GlobalPolicy, after: str) -> Repeated:
        """Statements that at least ``min_users`` users have, of kinds and importance that count.

        Looks at about ``batch`` memories; ``after`` is where the last part ended, empty at
        first. Subjects are left to the caller: the users of one statement may speak of several.
        """
        ...

    def find_supporters(self, tenant_id: str, statements: Collection[str]) -> list[Supporter]:
        """All memories that say one of the statements, of any kind and importance; no order."""
        ...

    def load_cited(self, tenant_id: str, ids: Collection[MemoryId]) -> list[Memory]:
        """Memories of this tenant's users, in any state, in the order of their ids."""
        ...

    def add_proposals(self, proposals: Sequence[Proposal]) -> list[ProposalId]:
        """Store those of one tenant that are new, and propose anew those that were withdrawn.

        The text of a known one stays what it was.

        Returns:
            Which of them are proposed by this call.
        """
        ...

    def update_proposal(self, proposal: Proposal, expected: ProposalState) -> bool:
        """Write count, cited memories and decision, if it still stands as expected."""
        ...

    def find_proposal(self, tenant_id: str, key: ProposalId) -> Proposal:
        """One of this tenant.

        Raises:
            NotFound: There is none.
        """
        ...

    def list_proposals(
        self,
        tenant_id: str,
        states: Collection[ProposalState],
        after: ProposalId | None,
        limit: int,
    ) -> list[Proposal]:
        """Those in one of the states, in id order after ``after``."""
        ...
