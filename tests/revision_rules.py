"""What a revision may do, read off the SQL that it would run.

A revision that expands only adds: whoever runs the release before it goes on working. Any
revision takes the strong lock of one table only, so that nobody waits for more than that.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

if TYPE_CHECKING:
    from alembic.script import Script

_NAME = r'"?(?P<table>\w+)"?'
_PASSING = re.compile(r"(BEGIN|COMMIT|SET lock_timeout\b.*)$", re.IGNORECASE)
_NEW_TABLE = re.compile(rf"CREATE TABLE {_NAME} \(", re.IGNORECASE)
_INDEX = re.compile(
    rf"(CREATE (?:UNIQUE )?INDEX|DROP INDEX)(?P<apart> CONCURRENTLY)? \w+(?: ON {_NAME}.*)?$",
    re.IGNORECASE | re.DOTALL,
)
_ALTER = re.compile(rf"ALTER TABLE {_NAME} (?P<doing>.*)$", re.IGNORECASE | re.DOTALL)
_FENCE = re.compile(rf"(?:CREATE POLICY \w+|GRANT [\w, ]+) ON {_NAME} ", re.IGNORECASE)
# What stands for itself, until a trigger of a table that is made here uses it.
_APART = re.compile(
    r"CREATE (?:OR REPLACE FUNCTION|SEQUENCE IF NOT EXISTS) \w+"
    r"|DO \$\$ BEGIN EXECUTE format\('ALTER FUNCTION \w+",
    re.IGNORECASE,
)
_TRIGGER = re.compile(rf"CREATE TRIGGER \w+ (?:BEFORE|AFTER) [\w ]+ ON {_NAME} ", re.IGNORECASE)
_NEW_COLUMN = re.compile(r"ADD COLUMN \w+ (?P<rest>.*)$", re.IGNORECASE | re.DOTALL)
_DROP_TABLE = re.compile(rf"DROP TABLE {_NAME}$", re.IGNORECASE)
# Filled in row by row, which rewrites the table, or checked against another one; or more actions.
_HEAVY = re.compile(
    r"\b(UNIQUE|PRIMARY KEY|REFERENCES|CHECK|GENERATED|SERIAL|BIGSERIAL)\b"
    r"|DEFAULT (?!now\(\))\w+\(|, *(ADD|DROP|ALTER)\b",
    re.IGNORECASE,
)
_REFERENCE = re.compile(
    rf"REFERENCES {_NAME} ?\([^)]*\)(?P<cascades> ON DELETE CASCADE)?", re.IGNORECASE
)
_LIGHT_TO_TAKE = re.compile(
    r"(DROP COLUMN \w+|RENAME .*|DROP CONSTRAINT \w+|ALTER COLUMN \w+ DROP (DEFAULT|NOT NULL)"
    r"|ADD CONSTRAINT .* NOT VALID|VALIDATE CONSTRAINT \w+)$",
    re.IGNORECASE | re.DOTALL,
)


def sql_of(script: Script) -> list[str]:
    """The statements that a revision would run."""
    buffer = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": buffer}
    )
    with Operations.context(context):
        script.module.upgrade()
    return [part.strip() for part in buffer.getvalue().split(";\n") if part.strip()]


@dataclass(slots=True)
class _Reader:
    contracts: bool
    made: set[str] = field(default_factory=set)
    altered: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    apart: int = 0
    others: int = 0

    def read(self, statement: str) -> None:
        if _PASSING.match(statement):
            return
        if found := _INDEX.match(statement):
            self._read_index(statement, found)
            return
        self.others += 1
        if found := _NEW_TABLE.match(statement):
            self.made.add(found["table"])
            self._read_references(statement)
        elif self._is_beside(statement):
            pass
        elif found := _ALTER.match(statement):
            self._read_alter(statement, found["table"], found["doing"])
        elif self.contracts and (found := _DROP_TABLE.match(statement)):
            self.altered.add(found["table"])
        else:
            self._refuse(statement, "is not known to be safe beside workers")

    def _is_beside(self, statement: str) -> bool:
        """Whether it is about a table that is made here, or about none."""
        found = _FENCE.match(statement) or _TRIGGER.match(statement)
        return found["table"] in self.made if found else bool(_APART.match(statement))

    def end(self) -> list[str]:
        if len(self.altered) > 1:
            self.problems.append(f"locks {', '.join(sorted(self.altered))}: one table a revision")
        if self.apart and self.others:
            self.problems.append("builds an index and does more: a revision of its own for each")
        return self.problems

    def _read_references(self, statement: str) -> None:
        for found in _REFERENCE.finditer(statement):
            if found["table"] in self.made:
                continue
            self.altered.add(found["table"])
            if found["cascades"] is None:
                self._refuse(statement, f"older releases delete from {found['table']}: CASCADE")

    def _read_index(self, statement: str, found: re.Match[str]) -> None:
        if found["table"] in self.made:
            self.others += 1
        elif found["apart"] is None:
            self._refuse(statement, "keeps writers out: use build_index, or CONCURRENTLY")
        elif statement.upper().startswith("DROP") and not self.contracts:
            self._refuse(statement, "takes away what older releases use: that is a contract")
        else:
            self.apart += 1

    def _read_alter(self, statement: str, table: str, doing: str) -> None:
        if table in self.made:
            return
        self.altered.add(table)
        column = _NEW_COLUMN.match(doing)
        if column is not None:
            self._read_column(statement, column["rest"])
        elif not self.contracts:
            self._refuse(statement, "does not only add")
        elif not _LIGHT_TO_TAKE.match(doing):
            self._refuse(statement, "reads or rewrites the whole table under its strongest lock")

    def _read_column(self, statement: str, rest: str) -> None:
        if _HEAVY.search(rest):
            self._refuse(statement, "reads or rewrites the whole table under its strongest lock")
        if "NOT NULL" in rest.upper() and "DEFAULT" not in rest.upper():
            self._refuse(statement, "older releases leave it out: give it a default, or allow null")

    def _refuse(self, statement: str, reason: str) -> None:
        self.problems.append(f"{' '.join(statement.split())}: {reason}")


def find_problems(statements: list[str], *, contracts: bool) -> list[str]:
    """What is wrong with a revision that runs these; each as a sentence."""
    reader = _Reader(contracts)
    for statement in statements:
        reader.read(statement)
    return reader.end()
