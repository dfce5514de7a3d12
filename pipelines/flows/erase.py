"""Erasing: at once invisible, then gone from every store, then proven.

The first transaction removes all that PostgreSQL has of the subject and voids every lease under
which something of it could still be written; what is on the Stream is refused from then on. The
session tier, the index, the Stream and what rests on several sessions follow. Later, when whatever
was under way has ended, all is searched once more, and the names are forgotten, too.
"""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import (
    DependencyUnavailable,
    IndexRefused,
    InputError,
    LeaseLost,
    OwnerBusy,
    StoreRefused,
)
from pipelines.flows.again import insist
from pipelines.model import EVERYONE, SHADOW
from pipelines.outcome import Done, Outcome, Skipped
from pipelines.ports import Erasure, ErasureId, ErasureState, Removal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from config.policy import Policies
    from pipelines.flows.consolidate import Consolidate
    from pipelines.flows.share import Share
    from pipelines.model import Owner
    from pipelines.ports import (
        ArchiveFiles,
        Clock,
        ErasureStore,
        Forgotten,
        MemoryStore,
        OwnerClaim,
        Subject,
        SubjectCache,
        SubjectStream,
        VectorIndex,
        Waker,
    )

log = structlog.get_logger(__name__)

INDEX, STREAM, ARCHIVE = "index", "stream", "archive"
_FAILURES = (DependencyUnavailable, IndexRefused, OwnerBusy, StoreRefused)


@dataclass(frozen=True, slots=True)
class Erase:
    """Erases users and sessions.

    Attributes:
        archive: None where nothing is archived.
    """

    erasures: ErasureStore
    store: MemoryStore
    index: VectorIndex
    stream: SubjectStream
    caches: Sequence[SubjectCache]
    consolidate: Consolidate
    share: Share
    waker: Waker
    clock: Clock
    policies: Policies
    archive: ArchiveFiles | None = None

    def start(self, subject: Subject, by: str) -> Erasure:
        """Erase; when this returns, nobody is shown anything of the subject any more.

        Raises:
            InputError: The subject is nobody's name.
            StoreUnavailable: Nothing was erased.
        """
        _check(subject)
        erasure = self._make(subject, by)
        forgotten = self.erasures.begin(erasure, self.policies.erase.lease)
        log.info("erasure_begun", erasure=str(erasure.id), tenant_id=erasure.tenant_id)
        try:
            self._purge(forgotten.erasure, forgotten.owners)
        except _FAILURES as error:
            self._postpone(forgotten.erasure, error)
        else:
            self._consolidate_anew(forgotten)
        return self.erasures.find(erasure.tenant_id, erasure.id)

    def run(self) -> Outcome:
        """Go on with what is due: what could not be purged, and what is to be proven."""
        self._report_overdue()
        counts = Counter[str]()
        now = self.clock.now()
        while (erasure := self.erasures.claim_due(now, self.policies.erase.lease)) is not None:
            counts[self._go_on(erasure)] += 1
        return Done(dict(counts)) if counts else Skipped("no erasure is due")

    def _go_on(self, erasure: Erasure) -> str:
        try:
            if erasure.state is ErasureState.PURGING:
                self._purge(erasure, self.erasures.find_owners(erasure))
                return "purged"
            return self._verify(erasure)
        except _FAILURES as error:
            self._postpone(erasure, error)
            return "postponed"

    # ---- purging ------------------------------------------------------------------------------

    def _purge(self, erasure: Erasure, owners: Sequence[Owner]) -> None:
        subject = _subject_of(erasure)
        removed = Counter[str]()
        for cache in self.caches:
            removed[cache.name] = cache.remove(subject, erasure.requested_at)
        removed[INDEX] = self._clear_index(erasure, owners)
        removed[STREAM] = self.stream.remove(subject, erasure.mark_at)
        removed[ARCHIVE] = self._clear_archive(erasure, subject)
        due_at = self.clock.now() + self.policies.erase.settle
        insist(
            lambda: self.erasures.record_purged(erasure.id, removed, due_at),
            self.policies.retry.patience,
        )
        log.info("erasure_purged", erasure=str(erasure.id), **removed)

    def _clear_index(self, erasure: Erasure, owners: Sequence[Owner]) -> int:
        """Take the points out; what is there again since is projected again."""
        before = sum(map(self.index.count, owners))
        if erasure.is_of_session:
            ids = erasure.memory_ids
            self.index.apply((), [Removal(key, None) for key in ids])
        else:
            for owner in owners:
                self.index.remove_owner(owner)
        after = sum(map(self.index.count, owners))
        self.erasures.project_again(erasure, owners, self.clock.now())
        self.waker.wake_index()
        return max(0, before - after)

    def _clear_archive(self, erasure: Erasure, subject: Subject) -> int:
        if self.archive is None:
            return 0
        if subject.session_id is None:
            return self.archive.remove_user(subject.owner)
        ids = erasure.memory_ids
        return self.archive.remove_session(subject.owner, subject.session_id, ids)

    def _consolidate_anew(self, forgotten: Forgotten) -> None:
        """Put together what is left, now that the index has forgotten what it was.

        What cannot be done now is done by the sweep and the next scan; the proof still waits
        until whatever was under way has ended.
        """
        try:
            for claim in forgotten.claims:
                self._give_back(claim)
                self.consolidate.run(claim.owner)
            if forgotten.is_shared:
                self.share.scan(forgotten.erasure.tenant_id)
        except _FAILURES as error:
            key = str(forgotten.erasure.id)
            log.warning("consolidation_left", erasure=key, error=f"{type(error).__name__}: {error}")

    def _give_back(self, claim: OwnerClaim) -> None:
        now = self.clock.now()
        insist(lambda: self.store.release_owner(claim, now, now), self.policies.retry.patience)

    # ---- proving ------------------------------------------------------------------------------

    def _verify(self, erasure: Erasure) -> str:
        found = self._find(erasure)
        if any(found.values()):
            log.error("erasure_incomplete", erasure=str(erasure.id), **found)
            self._purge(erasure, self.erasures.find_owners(erasure))
            return "incomplete"
        self.stream.compact()
        self.erasures.record_verified(erasure.id, found, self.clock.now())
        log.info("erasure_verified", erasure=str(erasure.id))
        return "verified"

    def _find(self, erasure: Erasure) -> dict[str, int]:
        """What is left of the subject, by store."""
        found = self.erasures.count_left(erasure)
        owners = self.erasures.find_owners(erasure)
        found[INDEX] = sum(map(self._count_surplus, owners))
        subject = _subject_of(erasure)
        found[STREAM] = self.stream.count(subject, erasure.mark_at)
        for cache in self.caches:
            found[cache.name] = cache.count(subject, erasure.requested_at)
        if self.archive is not None:
            ids = erasure.memory_ids
            found[ARCHIVE] = self.archive.count_left(subject.owner, subject.session_id, ids)
        return found

    def _count_surplus(self, owner: Owner) -> int:
        return max(0, self.index.count(owner) - self.erasures.count_expected(owner))

    def _report_overdue(self) -> None:
        overdue = self.erasures.count_overdue(self.clock.now() - self.policies.erase.warn)
        if overdue:
            log.error("erasures_overdue", count=overdue)

    def _make(self, subject: Subject, by: str) -> Erasure:
        now = self.clock.now()
        return Erasure(
            id=ErasureId(uuid.uuid4()),
            tenant_id=subject.owner.tenant_id,
            subject_key=subject.key,
            subject=subject,
            state=ErasureState.PURGING,
            requested_at=now,
            requested_by=by,
            mark_at=self._find_mark(),
            due_at=now + self.policies.erase.pause,
        )

    def _find_mark(self) -> datetime:
        try:
            return self.stream.mark()
        except DependencyUnavailable:
            # Nobody can push on it either; its clock is taken for ours.
            return self.clock.now()

    def _postpone(self, erasure: Erasure, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        due_at = self.clock.now() + self.policies.erase.pause
        insist(
            lambda: self.erasures.postpone(erasure.id, due_at, text), self.policies.retry.patience
        )
        log.warning("erasure_postponed", erasure=str(erasure.id), error=text)


def _subject_of(erasure: Erasure) -> Subject:
    if erasure.subject is None:
        raise LeaseLost(f"erasure {erasure.id} was verified meanwhile")
    return erasure.subject


def _check(subject: Subject) -> None:
    owner = subject.owner
    if owner.user_id == EVERYONE or SHADOW in owner.tenant_id:
        raise InputError("user_id", "is empty; name the user whose data is to be erased")
    if subject.session_id == "":
        raise InputError("session_id", "is empty; leave it out to erase the whole user")
