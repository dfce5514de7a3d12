"""Procedures: kept for agents, and learned from what the memories of users say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from pipelines.errors import InputError
from pipelines.model import Kind
from pipelines.outcome import Done, Outcome
from pipelines.stages.dedup.normalise import tokens
from pipelines.stages.procedures import (
    check_instruction,
    find_meant,
    parse_procedure,
    tells_result,
)
from pipelines.stages.redaction.clean import clean_fields, find_secret_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.policy import PersonalDataPolicy
    from pipelines.model import Owner
    from pipelines.ports import Clock
    from pipelines.ports.procedures import ProcedureStore, Telling
    from pipelines.stages.procedures import Procedure, ProcedureId

log = structlog.get_logger(__name__)

MAX_KEY_CHARS = 200
MAX_WORDS = 32
KNOWN_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Procedures:
    """What agents write down and look up."""

    store: ProcedureStore
    clock: Clock
    personal_data: PersonalDataPolicy

    def put(
        self, owner: Owner, name: str, steps: Sequence[str], expected_version: int | None = None
    ) -> Procedure:
        """Keep it as the newest version, the same steps again change nothing.

        Secrets are taken out, and personal data as its tenant wants it.

        Raises:
            InputError: A field is empty or too long, or another version is the newest by now.
        """
        given = check_instruction(name, steps)
        cleaned = self._clean(owner, name=given.name, steps=list(given.steps))
        clean = check_instruction(cleaned["name"], cleaned["steps"])
        return self.store.put(owner, clean, self.clock.now(), expected_version=expected_version)

    def find_named(self, owner: Owner, name: str) -> Procedure | None:
        """The user's under a name, else everyone's; also by the name under which it was saved."""
        return self.store.find_named(owner, self._clean(owner, name=name)["name"])

    def search(self, owner: Owner, query: str, limit: int) -> list[Procedure]:
        """The user's and everyone's that hold words of the query, most of them first."""
        words = list(dict.fromkeys(word.lower() for word in tokens(query) if word.isalnum()))
        if query.strip() and not words:
            return []
        return self.store.search(owner, words[:MAX_WORDS], limit)

    def record(
        self,
        owner: Owner,
        key: ProcedureId,
        told_by: str,
        *,
        worked: bool,
        version: int | None = None,
    ) -> Procedure:
        """Count an outcome, once for each ``told_by``.

        Raises:
            InputError: The key is empty, too long, a secret, or stands for the opposite.
            NotFound: There is no such procedure, or version of it.
        """
        if not 0 < len(told_by) <= MAX_KEY_CHARS or not told_by.isprintable():
            raise InputError("key", f"must be a line of 1 to {MAX_KEY_CHARS} characters")
        if find_secret_id(key=told_by):
            raise InputError("key", "holds a key or a password; send an id that opens nothing")
        now = self.clock.now()
        # Apart from the keys of memories.
        return self.store.record(
            owner, key, f"agent:{told_by}", now, worked=worked, version=version
        )

    def _clean(self, owner: Owner, **fields: object) -> dict[str, Any]:
        return clean_fields(fields, owner.tenant_id, self.personal_data)


@dataclass(frozen=True, slots=True)
class LearnProcedures:
    """Reads memories that were not read yet; idempotent, whoever runs it twice.

    Attributes:
        limit: Memories of one portion.
        portions: A run ends after so many; the next one goes on.
    """

    store: ProcedureStore
    limit: int = 500
    portions: int = 20

    def run(self) -> Outcome:
        """Learn from what there is."""
        counts = {"learned": 0, "counted": 0, "passed": 0, "forgotten": self.store.forget_gone()}
        for _ in range(self.portions):
            tellings = self.store.list_tellings(self.limit)
            for telling in tellings:
                counts[self._read(telling)] += 1
            if len(tellings) < self.limit:
                break
        if any(counts.values()):
            log.info("procedures_learned", **counts)
        return Done(counts)

    def _read(self, telling: Telling) -> str:
        if telling.kind is Kind.PROCEDURE:
            instruction = parse_procedure(telling.statement)
            if instruction is not None:
                self.store.learn(telling, instruction)
                return "learned"
        else:
            worked = tells_result(telling.statement)
            key = None if worked is None else self._meant(telling)
            if key is not None and worked is not None:
                self.store.count(telling, key, worked=worked)
                return "counted"
        self.store.pass_over(telling)
        return "passed"

    def _meant(self, telling: Telling) -> ProcedureId | None:
        """Of the owner's own: what one user met says nothing of everyone's."""
        found = self.store.search(telling.owner, [], KNOWN_AT_ONCE)
        known = {item.name: item for item in found if item.owner == telling.owner}
        name = find_meant(telling.statement, list(known))
        return None if name is None else known[name].id
