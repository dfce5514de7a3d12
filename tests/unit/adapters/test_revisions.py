"""Every revision can run beside workers, and those that expand beside older ones."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from pipelines.adapters.postgres.migrate import is_contract
from pipelines.adapters.postgres.schema import BASELINE, FOLDER, known_revisions
from tests.revision_rules import find_problems, sql_of

SCRIPTS = {script.revision: script for script in ScriptDirectory(str(FOLDER)).walk_revisions()}
KINDS = {"expand", "contract"}

ADDING = [
    "ALTER TABLE memories ADD COLUMN mood TEXT",
    "ALTER TABLE memories ADD COLUMN mood TEXT DEFAULT 'calm' NOT NULL",
    "ALTER TABLE memories ADD COLUMN seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL",
    "CREATE INDEX CONCURRENTLY memories_by_mood ON memories (mood)",
    "CREATE UNIQUE INDEX CONCURRENTLY one_mood ON memories (mood) WHERE mood IS NOT NULL",
]
TAKING = [
    "ALTER TABLE memories DROP COLUMN mood",
    "ALTER TABLE memories RENAME mood TO temper",
    "ALTER TABLE memories RENAME TO thoughts",
    "ALTER TABLE memories DROP CONSTRAINT one_mood",
    "ALTER TABLE memories ADD CONSTRAINT calm CHECK (mood = 'calm') NOT VALID",
    "DROP TABLE memories",
    "DROP INDEX CONCURRENTLY memories_by_mood",
]
BLOCKING = [
    "CREATE INDEX memories_by_mood ON memories (mood)",
    "DROP INDEX memories_by_mood",
    "ALTER TABLE memories ADD COLUMN mood TEXT NOT NULL",
    "ALTER TABLE memories ADD COLUMN mood TEXT UNIQUE",
    "ALTER TABLE memories ADD COLUMN mood UUID DEFAULT gen_random_uuid() NOT NULL",
    "ALTER TABLE memories ADD COLUMN of_fact UUID REFERENCES facts (id)",
    "ALTER TABLE memories ALTER COLUMN importance TYPE INTEGER",
    "ALTER TABLE memories ALTER COLUMN value SET NOT NULL",
    "ALTER TABLE memories ADD CONSTRAINT calm CHECK (mood = 'calm')",
    "ALTER TABLE memories ADD COLUMN mood TEXT, ALTER COLUMN value SET NOT NULL",
    "ALTER TABLE memories ADD COLUMN number BIGSERIAL",
    "CREATE TABLE moods (of_memory UUID REFERENCES memories (id))",
    "UPDATE memories SET mood = 'calm'",
    "DELETE FROM memories",
    "LOCK TABLE memories",
    "CREATE POLICY one_tenant ON memories TO memstill_tenant USING (true)",
]


def test_every_revision_can_run_beside_workers() -> None:
    """Each says what it is, and does nothing that would stop or break whoever runs."""
    later = [SCRIPTS[number] for number in sorted(SCRIPTS) if number > BASELINE]
    nameless = [each.path for each in later if getattr(each.module, "kind", None) not in KINDS]
    found = {
        each.revision: find_problems(sql_of(each), contracts=is_contract(each)) for each in later
    }

    assert [] == nameless
    assert {} == {number: problems for number, problems in found.items() if problems}


def test_revisions_that_expand_are_one_chain_and_none_rests_on_a_contract() -> None:
    """So they can all be applied while the contracts wait."""
    adding = [number for number in sorted(SCRIPTS) if not is_contract(SCRIPTS[number])]

    before = [SCRIPTS[number].down_revision for number in adding]
    assert [None, *adding[:-1]] == before
    contracts = [script for script in SCRIPTS.values() if is_contract(script)]
    assert {script.down_revision for script in contracts} <= set(adding)


def test_files_say_what_the_revisions_are() -> None:
    """Number and kind are read off the files at each start, without Alembic."""
    found = {number: is_contract(script) for number, script in SCRIPTS.items()}

    assert known_revisions() == found


@pytest.mark.parametrize("statement", ADDING, ids=range(len(ADDING)))
def test_addition_is_let_through(statement: str) -> None:
    """What older workers do not notice."""
    assert [] == find_problems([statement], contracts=False)


@pytest.mark.parametrize("statement", TAKING, ids=range(len(TAKING)))
def test_what_takes_away_is_a_contract(statement: str) -> None:
    """What older workers would fail over."""
    assert 1 == len(find_problems([statement], contracts=False))
    assert [] == find_problems([statement], contracts=True)


@pytest.mark.parametrize("statement", BLOCKING, ids=range(len(BLOCKING)))
def test_what_would_stop_workers_is_refused_in_any_revision(statement: str) -> None:
    """Reading or rewriting a table under a lock that keeps everyone out, or in one long write."""
    assert [] != find_problems([statement], contracts=False)
    assert [] != find_problems([statement], contracts=True)


def test_two_tables_are_two_revisions() -> None:
    """Nobody waits for one table because another one is still in use."""
    both = [f"ALTER TABLE {name} ADD COLUMN mood TEXT" for name in ("memories", "facts")]

    assert ["locks facts, memories: one table a revision"] == find_problems(both, contracts=False)


def test_new_table_may_have_all_that_it_needs() -> None:
    """Nobody uses it yet."""
    made = [
        "CREATE TABLE moods (id UUID NOT NULL, tenant_id TEXT NOT NULL)",
        (
            "CREATE TABLE days (mood UUID REFERENCES moods (id), m UUID, "
            "FOREIGN KEY(m) REFERENCES memories (id) ON DELETE CASCADE)"
        ),
        "CREATE INDEX moods_of_tenant ON moods (tenant_id)",
        "ALTER TABLE moods ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY one_tenant ON moods TO memstill_tenant USING (true)",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON moods TO memstill_tenant",
    ]

    assert [] == find_problems(made, contracts=False)


def test_index_is_not_built_beside_anything_else() -> None:
    """What was committed before it could not be taken back."""
    both = ["ALTER TABLE facts ADD COLUMN mood TEXT", ADDING[3]]

    assert ["builds an index and does more: a revision of its own for each"] == find_problems(
        both, contracts=False
    )


def test_operations_are_read_as_they_would_run() -> None:
    """Alembic's operations, too, are judged by their SQL."""

    class Module:
        @staticmethod
        def upgrade() -> None:
            from alembic import op

            op.add_column("memories", sa.Column("mood", sa.Text(), nullable=False))
            op.create_index("memories_by_mood", "memories", ["mood"])

    class Revision:
        module = Module

    assert 2 == len(find_problems(sql_of(Revision), contracts=False))  # type: ignore[arg-type]
