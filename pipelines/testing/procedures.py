"""The store of procedures in memory."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pipelines.errors import ErasedMeanwhile, InputError, NotFound
from pipelines.model import Kind, Owner
from pipelines.stages.dedup.normalise import tokens
from pipelines.stages.dedup.reading import canonical
from pipelines.stages.procedures import Procedure, procedure_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pipelines.model import MemoryId
    from pipelines.ports.procedures import Telling
    from pipelines.stages.procedures import Instruction, ProcedureId


@dataclass(frozen=True, slots=True)
class _Told:
    version: int
    worked: bool
    memory_id: MemoryId | None


@dataclass(slots=True)
class InMemoryProcedures:
    """``ProcedureStore`` without a server.

    Attributes:
        memories: What there is to learn from; whoever tests adds and removes it.
        erased_at: When owners were erased.
    """

    memories: dict[MemoryId, Telling] = field(default_factory=dict)
    erased_at: dict[Owner, datetime] = field(default_factory=dict)
    _versions: dict[ProcedureId, list[Procedure]] = field(default_factory=dict)
    _told: dict[tuple[ProcedureId, Owner, str], _Told] = field(default_factory=dict)
    _readings: dict[MemoryId, bool] = field(default_factory=dict)

    def put(
        self,
        owner: Owner,
        instruction: Instruction,
        now: datetime,
        *,
        expected_version: int | None = None,
    ) -> Procedure:
        self._check_not_erased(owner, now)
        known = self._known(procedure_id(owner, instruction.name))
        found = known[0].version if known else 0
        if expected_version not in {None, found}:
            raise InputError("expected_version", f"is {found} by now; read it again")
        return self._add(owner, instruction, now)

    def list_versions(
        self, tenant_id: str, key: ProcedureId, user_id: str | None = None
    ) -> list[Procedure]:
        found = [
            item
            for item in self._known(key)
            if item.owner.tenant_id == tenant_id
            and item.owner.user_id
            in {user_id, ""} | ({item.owner.user_id} if user_id is None else set())
        ]
        if not found:
            raise NotFound(f"no procedure, or version of it, has the id {key}")
        return found

    def find_named(self, owner: Owner, name: str) -> Procedure | None:
        for whose in (owner, Owner.everyone(owner.tenant_id)):
            known = self._known(procedure_id(whose, name))
            if known:
                return known[0]
        return None

    def search(self, owner: Owner, words: Sequence[str], limit: int) -> list[Procedure]:
        whose = {owner, Owner.everyone(owner.tenant_id)}
        newest = [self._known(key)[0] for key in self._versions]
        hits = {item: _hits(item, words) for item in newest if item.owner in whose}
        fitting = [item for item, count in hits.items() if count or not words]
        fitting.sort(key=lambda item: (-hits[item], -item.success_rate, item.name, str(item.id)))
        return fitting[:limit]

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
        self._check_not_erased(owner, now)
        known = self._known(key)
        meant = next((item for item in known if version in {None, item.version}), None)
        if meant is None or meant.owner not in {owner, Owner.everyone(owner.tenant_id)}:
            raise NotFound(f"no procedure, or version of it, has the id {key}")
        told = self._told.setdefault((key, owner, told_by), _Told(meant.version, worked, None))
        if told.worked != worked:
            raise InputError("key", "stands for the opposite outcome; send a key of its own")
        return next(item for item in self._known(key) if item.version == meant.version)

    def _check_not_erased(self, owner: Owner, began_at: datetime) -> None:
        if owner in self.erased_at and self.erased_at[owner] >= began_at:
            raise ErasedMeanwhile("user_id: was erased while this was being saved")

    def list_tellings(self, limit: int) -> list[Telling]:
        unread = [item for key, item in self.memories.items() if key not in self._readings]
        unread.sort(key=lambda item: (item.kind is not Kind.PROCEDURE, item.said_at))
        return unread[:limit]

    def learn(self, telling: Telling, instruction: Instruction) -> bool:
        if not self._mark(telling, has_use=True):
            return False
        known = self._known(procedure_id(telling.owner, instruction.name))
        if not known or known[0].since < telling.said_at:
            self._add(telling.owner, instruction, telling.said_at, telling.memory_id)
        for key, has_use in list(self._readings.items()):
            if not has_use and self.memories[key].owner == telling.owner:
                del self._readings[key]
        return True

    def count(self, telling: Telling, key: ProcedureId, *, worked: bool) -> bool:
        if not self._mark(telling, has_use=True):
            return False
        meant = next((item for item in self._known(key) if item.since <= telling.said_at), None)
        if meant is None:
            return False
        told = _Told(meant.version, worked, telling.memory_id)
        self._told.setdefault((key, telling.owner, f"memory:{telling.memory_id}"), told)
        return True

    def pass_over(self, telling: Telling) -> None:
        self._mark(telling, has_use=False)

    def forget_gone(self) -> int:
        gone = [key for key, told in self._told.items() if self._is_gone(told.memory_id)]
        for outcome in gone:
            del self._told[outcome]
        lost = [item for line in self._versions.values() for item in line]
        lost = [item for item in lost if self._is_gone(item.learned_from)]
        for item in lost:
            self._versions[item.id].remove(item)
        self._versions = {key: line for key, line in self._versions.items() if line}
        unread = [key for key in self._readings if self._is_gone(key)]
        for key in unread:
            del self._readings[key]
        return len(gone) + len(lost) + len(unread)

    def _is_gone(self, key: MemoryId | None) -> bool:
        return key is not None and key not in self.memories

    def _mark(self, telling: Telling, *, has_use: bool) -> bool:
        if telling.memory_id not in self.memories:
            return False
        self._readings.setdefault(telling.memory_id, has_use)
        return True

    def _add(
        self,
        owner: Owner,
        instruction: Instruction,
        since: datetime,
        learned_from: MemoryId | None = None,
    ) -> Procedure:
        key = procedure_id(owner, instruction.name)
        known = self._known(key)
        if known and known[0].steps == instruction.steps:
            return known[0]
        version = known[0].version + 1 if known else 1
        made = Procedure(
            key, owner, instruction.name, instruction.steps, version, since, learned_from
        )
        self._versions.setdefault(key, []).append(made)
        return made

    def _known(self, key: ProcedureId) -> list[Procedure]:
        """Newest first, with what was told of each."""
        return [self._counted(item) for item in reversed(self._versions.get(key, []))]

    def _counted(self, item: Procedure) -> Procedure:
        told = [
            told
            for (key, _, _), told in self._told.items()
            if key == item.id and told.version == item.version
        ]
        return replace(
            item,
            successes=sum(each.worked for each in told),
            failures=sum(not each.worked for each in told),
            cites=tuple(each.memory_id for each in told if each.memory_id is not None),
        )


def _hits(item: Procedure, words: Sequence[str]) -> int:
    said = {canonical(word.lower()) for word in tokens(" ".join((item.name, *item.steps)))}
    return sum(canonical(word) in said for word in words)
