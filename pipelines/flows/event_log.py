"""The event log against the tables: whether they say the same, and writing the tables from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import LeaseLost, OwnerBusy, VersionConflict
from pipelines.model import Owner
from pipelines.ports import Rewriting
from pipelines.stages.event_log import Divergence, compare, fold, to_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.policy import Policies
    from pipelines.model import Memory, MemoryId, Vector
    from pipelines.ports import Clock, Embedder, EventLog, MemoryStore, OwnerClaim, UserLog, Waker
    from pipelines.stages.event_log import Known

log = structlog.get_logger(__name__)

BUSY = "the user is being worked on, or was changed meanwhile; try again in a moment"


@dataclass(frozen=True, slots=True)
class UserDivergence:
    """A user of whom the tables say something else than the log."""

    owner: Owner
    found: tuple[Divergence, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """What comparing some users came to.

    Attributes:
        after: The last of them if there may be more; None if there are none.
    """

    users: int
    memories: int
    divergent: tuple[UserDivergence, ...]
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What was written from the log: memories, and those that it did not know."""

    written: int
    removed: int


@dataclass(frozen=True, slots=True)
class CheckEvents:
    """Compares what the log says with the tables; writes nothing."""

    events: EventLog

    def run_user(self, owner: Owner) -> Compared:
        """Compare one user."""
        read = self.events.read_log(owner)
        found = tuple(compare(fold(read.entries, read.start), read.stored))
        divergent = (UserDivergence(owner, found),) if found else ()
        return Compared(1, len(read.stored), divergent)

    def run(self, tenant_id: str, after: str | None, limit: int) -> Compared:
        """Compare the next users of a tenant in the order of their ids."""
        users = self.events.list_users(tenant_id, after, limit)
        found = [self.run_user(Owner(tenant_id, user)) for user in users]
        return Compared(
            len(found),
            sum(each.memories for each in found),
            tuple(item for each in found for item in each.divergent),
            users[-1] if len(users) == limit else None,
        )


@dataclass(frozen=True, slots=True)
class RewriteMemories:
    """Has the tables say of one user what the log says, under the user's lease."""

    events: EventLog
    store: MemoryStore
    embedder: Embedder
    waker: Waker
    clock: Clock
    policies: Policies

    def run(self, owner: Owner) -> Rewritten:
        """Write what differs; what does not is not touched.

        Raises:
            OwnerBusy: Another worker holds the user right now, or changed them meanwhile.
        """
        now = self.clock.now()
        self.store.mark_owner_due(owner, now)
        claim = self.store.claim_owner(owner, now, self.policies.lease.consolidate)
        if claim is None:
            raise OwnerBusy(BUSY)
        try:
            done = self._rewrite(claim)
        except (LeaseLost, VersionConflict) as error:
            raise OwnerBusy(BUSY) from error
        finally:
            # Facts may wait: those of before, and those of memories that are gone.
            self.store.release_owner(claim, self.clock.now(), self.clock.now())
        self.waker.wake_index()
        log.info("memories_rewritten", written=done.written, removed=done.removed)
        return done

    def _rewrite(self, claim: OwnerClaim) -> Rewritten:
        read = self.events.read_log(claim.owner)
        told = fold(read.entries, read.start)
        unlike = [item.memory_id for item in compare(told, read.stored)]
        if not unlike:
            return Rewritten(0, 0)
        vectors = self._embed(told, read, unlike)
        written = _to_memories(claim.owner, told, unlike, vectors)
        removed = [key for key in unlike if key not in told]
        what = Rewriting(read.latest, written, vectors.keys(), removed)
        self.events.rewrite(claim, what, self.clock.now())
        return Rewritten(len(written), len(removed))

    def _embed(
        self, told: Known, read: UserLog, keys: Sequence[MemoryId]
    ) -> dict[MemoryId, Vector]:
        """Vectors of those that the tables have none of, or that of another statement."""
        wanted = [key for key in keys if key in told and not _is_embedded(told, read.stored, key)]
        texts = [told[key].fields["statement"] for key in wanted]
        return dict(zip(wanted, self.embedder.embed(texts), strict=True)) if texts else {}


def _is_embedded(told: Known, stored: Known, key: MemoryId) -> bool:
    return key in stored and stored[key].fields["statement"] == told[key].fields["statement"]


def _to_memories(
    owner: Owner, told: Known, keys: Sequence[MemoryId], vectors: dict[MemoryId, Vector]
) -> list[Memory]:
    return [to_memory(key, owner, told[key], vectors.get(key)) for key in keys if key in told]
