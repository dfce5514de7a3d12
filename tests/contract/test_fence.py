"""Row-level security: what one tenant's transaction cannot reach, whatever it asks."""

from __future__ import annotations

import re
import uuid
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import ARRAY, Column, Table, delete, event, func, insert, make_url, select, text
from sqlalchemy.dialects.postgresql import JSONB

from config.spending import BudgetPolicy
from pipelines.adapters.postgres import (
    Database,
    PostgresBatches,
    PostgresGenerations,
    PostgresInbox,
    PostgresKeys,
    PostgresLedger,
    PostgresMemoryStore,
    PostgresReplies,
    PostgresSharing,
    PostgresVerdicts,
    check_fence,
)
from pipelines.adapters.postgres.fence import ROLE
from pipelines.adapters.postgres.tables import batches, evidence, metadata
from pipelines.errors import ConfigurationError, StoreRefused
from pipelines.model import MemoryId, Owner, ReceiptId, Slot
from pipelines.plan import Insert, Plan
from pipelines.ports import OwnerClaim
from pipelines.stages.keys import KeyId
from pipelines.stages.sharing.share import ProposalId, ProposalState
from pipelines.testing.surroundings import ManualClock
from tests.builders import ALICE, make_fact, make_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection, Executable

TENANTS = ("acme", "other")
OWNED = [table for table in metadata.sorted_tables if "tenant_id" in table.c]
# Their rows hang on rows that name their tenant.
HANGING = [evidence, batches]
FENCED = OWNED + HANGING
OUTSIDE = [table for table in metadata.sorted_tables if table not in FENCED]
_ID = uuid.UUID(int=1)
MOMENT = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url, pool_size=1)
    yield opened
    opened.close()


def value_of(column: Column[Any], tenant_id: str) -> object:
    """Something that fits; the same id everywhere, so that rows hang on each other."""
    if column.name in {"tenant_id", "request_hash"}:
        return tenant_id
    if isinstance(column.type, ARRAY):
        return []
    if isinstance(column.type, JSONB):
        return {"of": tenant_id}
    kinds: dict[type, object] = {
        uuid.UUID: uuid.uuid5(uuid.NAMESPACE_OID, tenant_id),
        datetime: MOMENT,
        date: MOMENT.date(),
        bool: False,
        bytes: b"x",
        int: 1,
        float: 0.5,
        # A key of its own where the column is one.
        str: f"of {tenant_id}",
    }
    return kinds[column.type.python_type]


def row_of(table: Table, tenant_id: str) -> dict[str, object]:
    return {
        column.name: value_of(column, tenant_id) for column in table.c if column.identity is None
    }


def fill(connection: Connection) -> None:
    """One row of each tenant in every table, and none that a trigger would add."""
    connection.execute(text("ALTER TABLE user_profiles DISABLE TRIGGER USER"))
    for table in metadata.sorted_tables:
        for tenant_id in TENANTS:
            connection.execute(insert(table), row_of(table, tenant_id))


def count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def carry_out(database: Database, tenant_id: str, statement: Executable) -> None:
    with database.transaction(tenant_id) as connection:
        connection.execute(statement)


def test_tables_outside_the_fence_hold_nothing_of_a_tenant() -> None:
    """A new table has a tenant, or is named here with good reason."""
    assert {"installation", "generation_users", "job_runs"} == {table.name for table in OUTSIDE}


def test_role_of_the_fence_can_neither_log_in_nor_step_over_it(database: Database) -> None:
    """It owns nothing, and no right of its own passes the policies."""
    with database.transaction() as connection:
        role = connection.execute(
            text(
                "SELECT rolcanlogin, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb"
                f" FROM pg_roles WHERE rolname = '{ROLE}'"
            )
        ).one()
        owned = connection.execute(
            text(f"SELECT count(*) FROM pg_class WHERE relowner = '{ROLE}'::regrole")
        ).scalar_one()

    assert (False,) * 5 == tuple(role)
    assert 0 == owned


def test_every_table_of_tenants_is_behind_the_fence(database: Database) -> None:
    """It has row-level security and a policy for the role; a new one cannot forget it."""
    with database.transaction() as connection:
        found = connection.execute(
            text(
                "SELECT relname FROM pg_class JOIN pg_policy ON polrelid = pg_class.oid"
                f" WHERE relrowsecurity AND polroles = ARRAY['{ROLE}'::regrole::oid]"
            )
        )

        assert sorted(table.name for table in FENCED) == sorted(found.scalars())


def test_nothing_is_seen_of_another_tenant_or_of_none(database: Database) -> None:
    """Raw SQL without any condition shows the own row, and without a tenant nothing."""
    with database.transaction() as connection:
        fill(connection)
    seen: dict[str | None, list[int]] = {}
    for tenant_id in ("acme", "nobody", "", "acme\x1fgeneration"):
        with database.transaction(tenant_id) as connection:
            seen[tenant_id] = [count(connection, table) for table in FENCED]
    with database.transaction() as connection:
        connection.execute(text(f"SET LOCAL ROLE {ROLE}"))
        seen[None] = [count(connection, table) for table in FENCED]

    assert [1] * len(FENCED) == seen.pop("acme")
    for counts in seen.values():
        assert [0] * len(FENCED) == counts


def test_nothing_of_another_tenant_is_changed_or_deleted(database: Database) -> None:
    """Raw SQL without any condition reaches the own rows alone."""
    with database.transaction() as connection:
        fill(connection)
        connection.execute(text("DELETE FROM generation_users"))
    with database.transaction("acme") as connection:
        for table in FENCED:
            name = "tenant_id" if "tenant_id" in table.c else list(table.c)[-1].name
            same = connection.execute(text(f"UPDATE {table.name} SET {name} = {name}"))
            assert 1 == same.rowcount, table.name
        # What hangs on others goes first; a batch shows whose it is by what hangs on it.
        for table in (evidence, *reversed(OWNED)):
            assert 1 == connection.execute(delete(table)).rowcount, table.name

    with database.transaction("other") as connection:
        assert [1] * len(FENCED) == [count(connection, table) for table in FENCED]


def test_nothing_is_written_for_another_tenant(database: Database) -> None:
    """Neither inserted nor handed over, in any table."""
    with database.transaction() as connection:
        fill(connection)
    for table in (*OWNED, evidence):
        with database.transaction() as connection:
            # What hangs on the rows is in the way of deleting them, and of nothing else here.
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            connection.execute(delete(table))
            connection.execute(insert(table), row_of(table, "acme"))
        whose = table.c.memory_id if table is evidence else table.c.tenant_id

        for statement in (
            insert(table).values(row_of(table, "other")),
            table.update().values({whose: value_of(whose, "other")}),
        ):
            with pytest.raises(StoreRefused, match="InsufficientPrivilege"):
                carry_out(database, "acme", statement)


def test_role_of_the_fence_has_no_right_outside_it(database: Database) -> None:
    """What belongs to nobody is no tenant's business."""
    for table in OUTSIDE:
        with pytest.raises(StoreRefused, match="InsufficientPrivilege"):
            carry_out(database, "acme", select(table))


def test_fence_ends_with_its_transaction(database: Database) -> None:
    """The connection goes back to the pool as it came, after an error too."""
    with database.transaction() as connection:
        fill(connection)

    def seen() -> tuple[str, int, str | None]:
        with database.transaction() as connection:
            user, setting = connection.execute(
                text("SELECT current_user, current_setting('memstill.tenant', true)")
            ).one()
            return user, count(connection, OWNED[0]), setting or None

    before = seen()
    with database.transaction("acme") as connection:
        assert ROLE == connection.execute(text("SELECT current_user")).scalar_one()
    with pytest.raises(StoreRefused), database.transaction("acme") as connection:
        connection.execute(text("SELECT 1 / 0"))

    assert before == seen() == ("memstill", 2, None)


def test_whatever_serves_one_tenant_stands_behind_the_fence(database: Database) -> None:
    """Without any right of the role none of it is answered."""
    with database.transaction() as connection:
        connection.execute(text(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {ROLE}"))
    inbox, store, keys = (
        PostgresInbox(database),
        PostgresMemoryStore(database),
        PostgresKeys(database),
    )
    ledger = PostgresLedger(database, BudgetPolicy(), ManualClock(MOMENT))
    verdicts, sharing = PostgresVerdicts(database), PostgresSharing(database)
    receipt, key, proposal = ReceiptId(_ID), MemoryId(_ID), ProposalId(_ID)
    fact = make_fact("User likes tea.")
    claim = OwnerClaim(ALICE, 1, 1, 1)
    served: list[Callable[[], object]] = [
        lambda: inbox.status("acme", receipt),
        lambda: inbox.states("acme", [receipt]),
        lambda: inbox.count_parked("acme"),
        lambda: inbox.bury(ALICE, "payload", "reason", MOMENT),
        lambda: store.load_memories(ALICE, [key]),
        lambda: store.find_memory("acme", key),
        lambda: store.read_events("acme", key),
        lambda: store.export_memories("acme", None, None, 1),
        lambda: store.find_candidates(ALICE, ["it is so"], []),
        lambda: store.load_slot(ALICE, Slot("user", "home city")),
        lambda: store.load_facts(ALICE, [key]),
        lambda: store.pending_facts(ALICE, 1),
        lambda: store.load_reviews(ALICE),
        lambda: store.earliest_undistilled(ALICE, MOMENT),
        lambda: store.mark_owner_due(ALICE, MOMENT),
        lambda: store.claim_owner(ALICE, MOMENT, timedelta(1)),
        lambda: store.commit_plan(claim, Plan((Insert(make_memory(fact)),)), MOMENT),
        lambda: ledger.report("acme", None, MOMENT.date(), 1),
        lambda: ledger.spent_on("acme", None, MOMENT.date()),
        lambda: verdicts.find_verdicts(ALICE, ["pair"]),
        lambda: PostgresReplies(database, ledger).find_companies(ALICE, [receipt]),
        lambda: sharing.find_proposal("acme", proposal),
        lambda: sharing.list_proposals("acme", list(ProposalState), None, 1),
        lambda: sharing.find_supporters("acme", ["it is so"]),
        lambda: sharing.load_cited("acme", [key]),
        lambda: PostgresBatches(database, ledger).report("acme", 1),
        lambda: PostgresGenerations(database).find_generation("acme"),
        lambda: keys.list_keys("acme"),
        lambda: keys.load_key("acme", KeyId("k")),
        lambda: keys.revoke_key("acme", KeyId("k"), MOMENT),
    ]

    for ask in served:
        with pytest.raises(StoreRefused, match="InsufficientPrivilege"):
            ask()


# ---- plans ---------------------------------------------------------------------------------------

ROWS = 20_000
_FILL = """
INSERT INTO memories (
    id, tenant_id, user_id, scope, session_id, statement, statement_key, subject, kind,
    importance, slot_subject, slot_attribute, state, valid_from, confirmed_at, version,
    distilled_by, embedding, updated_at
)
SELECT md5('m' || n)::uuid, 't' || n % 4, 'u' || n % 40, 'user', 's', 'it is ' || n, 'key ' || n,
    'User', 'preference', .5, CASE WHEN n % 3 = 0 THEN 'user' END,
    CASE WHEN n % 3 = 0 THEN 'attribute ' || n % 50 END,
    'active', now(), now(), 1, 'x', '', now()
FROM generate_series(1, :rows) AS n
"""
_CITE = """
INSERT INTO evidence
SELECT id, id, 1, 'q', 'm', 's', 'user', 'User', 'quote', now(), now() FROM memories
"""


def plans_of(database: Database, ask: Callable[[Database], object]) -> str:
    """How each statement of a question is carried out."""
    found: list[str] = []

    def explain(_: object, cursor: Any, statement: str, values: Any, *__: object) -> None:  # noqa: ANN401
        if "set_config" not in statement:
            with cursor.connection.cursor() as other:
                other.execute(f"EXPLAIN {statement}", values)
                found.extend(line for (line,) in other.fetchall())

    event.listen(database.engine, "before_cursor_execute", explain)
    ask(database)
    event.remove(database.engine, "before_cursor_execute", explain)
    return "\n".join(found)


class Unfenced(Database):
    """Asks without the fence."""

    @contextmanager
    def transaction(self, tenant_id: str | None = None) -> Iterator[Connection]:
        del tenant_id
        with super().transaction() as connection:
            yield connection


@pytest.fixture
def unfenced(database_url: str) -> Iterator[Database]:
    opened = Unfenced(database_url, pool_size=1)
    yield opened
    opened.close()


def indexes_of(plan: str) -> set[str]:
    """Those on memories and evidence, but for the one that tells whose a quote is."""
    found = re.findall(r"Index (?:Only )?Scan (?:using|on) ((?:memories|evidence)_\w+)", plan)
    return set(found) | {"memories_pkey"}


def test_queries_use_the_same_indexes_behind_the_fence(
    database: Database, unfenced: Database
) -> None:
    """The tenant is compared once, not row by row, and conditions on a hash stay in the index."""
    with database.transaction() as connection:
        connection.execute(text(_FILL), {"rows": ROWS})
        connection.execute(text(_CITE))
        connection.execute(text("ANALYZE memories, evidence"))
        one = "SELECT id FROM memories WHERE tenant_id = 't1' AND user_id = 'u1' LIMIT 50"
        keys = [MemoryId(key) for key in connection.execute(text(one)).scalars()]
    for name, ask in questions(keys).items():
        before, behind = (plans_of(each, ask) for each in (unfenced, database))

        assert "One-Time Filter: (current_setting('memstill.tenant'" in behind, (name, behind)
        assert indexes_of(before) == indexes_of(behind), (name, behind)
        assert not re.search("Seq Scan on (memories|evidence)", behind), (name, behind)
        if name == "supporters":
            assert re.search(r"Index Cond: .*md5\(statement_key\)", behind), behind


def questions(keys: list[MemoryId]) -> dict[str, Callable[[Database], object]]:
    owner, slots = Owner("t1", "u1"), [Slot("user", "attribute 1")]
    store, sharing = PostgresMemoryStore, PostgresSharing
    return {
        "hydrate": lambda database: store(database).load_memories(owner, keys),
        "candidates": lambda database: store(database).find_candidates(owner, ["key 1"], slots),
        "export": lambda database: store(database).export_memories("t1", None, None, 200),
        "one user's": lambda database: store(database).export_memories("t1", "u1", None, 99),
        "supporters": lambda database: sharing(database).find_supporters("t1", ["key 1"]),
    }


# ---- at start-up ---------------------------------------------------------------------------------


def test_process_is_not_started_when_its_login_cannot_stand_on_both_sides(
    database: Database, database_url: str
) -> None:
    """One that may not take the role, and one that the fence would hold all the time."""
    login = f"login_{uuid.uuid4().hex}"
    check_fence(database)
    with database.transaction() as connection:
        connection.execute(text(f"CREATE ROLE {login} LOGIN"))
    url = make_url(database_url).set(username=login).render_as_string(hide_password=False)
    other = Database(url, pool_size=1)
    try:
        with pytest.raises(ConfigurationError, match=f"GRANT {ROLE} TO"):
            check_fence(other)
        with database.transaction() as connection:
            connection.execute(text(f"GRANT {ROLE} TO {login}"))
        with pytest.raises(ConfigurationError, match="BYPASSRLS"):
            check_fence(other)
    finally:
        other.close()
        with database.transaction() as connection:
            connection.execute(text(f"DROP ROLE {login}"))


def test_process_is_not_started_when_the_fence_is_missing(database: Database) -> None:
    """On a schema of before, it says what brings it up to date."""
    with database.transaction() as connection:
        connection.execute(text(f"REVOKE ALL ON memories FROM {ROLE}"))

    with pytest.raises(ConfigurationError, match="memstill migrate"):
        check_fence(database)
