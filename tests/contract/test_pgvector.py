"""What holds for the vector index inside PostgreSQL."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sqlalchemy import create_engine, text

from pipelines.adapters.pgvector import PgvectorIndex
from pipelines.adapters.pgvector_queries import make_search
from pipelines.errors import ConfigurationError, IndexUnavailable
from pipelines.model import Owner
from tests.contract.points import ALICE, SIZE, along, make_point

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine


def test_prepare_is_safe_when_several_start_at_once(engine: Engine, key_prefix: str) -> None:
    """Processes that start together on one database all come up."""
    indexes = [PgvectorIndex(engine, key_prefix, "some-model", SIZE) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert [None] * 6 == list(pool.map(PgvectorIndex.prepare, indexes))
    assert 0 == indexes[0].count(ALICE)


def test_prepare_says_who_must_act_when_pgvector_may_not_be_installed(
    engine: Engine, key_prefix: str
) -> None:
    """A user without the right to install the extension is told what a superuser must run."""
    role = f"plain_{uuid.uuid4().hex}"
    with engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role} LOGIN"))
    plain = create_engine(engine.url.set(username=role))
    with pytest.raises(ConfigurationError, match="CREATE EXTENSION vector"):
        PgvectorIndex(plain, key_prefix, "some-model", SIZE).prepare()
    plain.dispose()
    with engine.begin() as connection:
        connection.execute(text(f"DROP ROLE {role}"))


def test_pgvector_index_is_unavailable_when_its_table_was_dropped(
    engine: Engine, key_prefix: str
) -> None:
    """A derived table that is gone is a passing fault: the next start creates it."""
    index = PgvectorIndex(engine, key_prefix, "some-model", SIZE)
    with pytest.raises(IndexUnavailable):
        index.count(ALICE)
    index.prepare()
    assert 0 == index.count(ALICE)


def test_pgvector_index_starts_anew_when_its_layout_is_old(engine: Engine, key_prefix: str) -> None:
    """A table of an earlier release is dropped; whoever opens it sees it empty."""
    index = PgvectorIndex(engine, key_prefix, "some-model", SIZE)
    index.prepare()
    index.apply([make_point("tea")], [])
    with engine.begin() as connection:
        connection.execute(
            text(f'ALTER TABLE "{key_prefix}.some-model-{SIZE}" DROP COLUMN owner_number')
        )

    index.prepare()

    assert index.is_empty()
    index.apply([make_point("tea")], [])
    index.prepare()
    assert 1 == index.count(ALICE)


def test_pgvector_index_is_unavailable_when_no_server_answers(tmp_path: Path) -> None:
    """A server that is away is a passing fault."""
    away = create_engine(f"postgresql+psycopg://nobody@/nothing?host={tmp_path}")
    with pytest.raises(IndexUnavailable):
        PgvectorIndex(away, "memstill", "some-model", SIZE).prepare()


def test_search_by_words_finds_no_one_elses_row_whatever_its_terms(
    engine: Engine, key_prefix: str
) -> None:
    """The numbers of terms only lead to rows; whose they are is looked at."""
    index = PgvectorIndex(engine, key_prefix, "some-model", SIZE)
    index.prepare()
    mine, foreign = make_point("tea"), make_point("tea", owner=Owner("acme", "eve"))
    index.apply([mine, foreign], [])
    table = f'"{key_prefix}.some-model-{SIZE}"'
    with engine.begin() as connection:
        connection.execute(
            text(
                f"UPDATE {table} SET owned_terms = (SELECT owned_terms FROM {table}"
                " WHERE memory_id = :mine) WHERE memory_id = :foreign"
            ),
            {"mine": mine.memory_id, "foreign": foreign.memory_id},
        )

    found = index.search(ALICE, None, along(1), "tea", 5)

    assert [mine.memory_id] == [hit.memory_id for hit in found]


def test_pgvector_index_reads_one_owner_alone_when_the_table_is_large(
    engine: Engine, key_prefix: str
) -> None:
    """A search goes through the index on the owner and the one of terms, by no one else's rows."""
    index = PgvectorIndex(engine, key_prefix, "some-model", SIZE)
    index.prepare()
    owners = [Owner("acme", f"user{number}") for number in range(40)]
    index.apply([make_point("tea", owner=owner) for owner in owners for _ in range(25)], [])
    asked = {"term_0": 1, "session_id": None, "limit": 5, "as_of": None}
    values = {"vector": str(along(0).tolist()), **asked}
    with engine.connect() as connection:
        connection.execute(text(f'ANALYZE "{key_prefix}.some-model-{SIZE}"'))
        lines = connection.scalars(
            text(f"EXPLAIN {index._sql(make_search(1))}"),
            {**values, "tenant_id": "acme", "user_id": "user7"},
        ).all()
    plan = "\n".join(lines)
    assert "Index Cond: ((tenant_id = 'acme'::text) AND (user_id = 'user7'::text))" in plan
    assert "Index Cond: (owned_terms &&" in plan
    assert "Seq Scan" not in plan


@pytest.mark.parametrize(("size", "is_in_row"), [(1_536, True), (3_072, False)])
def test_vector_stays_in_its_row_while_it_fits_into_a_page(
    engine: Engine, key_prefix: str, size: int, *, is_in_row: bool
) -> None:
    """To compare it is then to read the row, and a plan that reads all rows knows its price."""
    index = PgvectorIndex(engine, key_prefix, "some-model", size)
    index.prepare()
    dice = np.random.default_rng(1)
    points = [
        make_point(f"Tea with {number}.", dice.standard_normal(size, dtype=np.float32))
        for number in range(20)
    ]
    index.apply(points, [])

    toast = text(
        "SELECT pg_relation_size(reltoastrelid) FROM pg_class WHERE oid = to_regclass(:table)"
    )
    with engine.connect() as connection:
        outside = connection.scalar(toast, {"table": f'"{key_prefix}.some-model-{size}"'})
    assert is_in_row == (outside == 0)
    assert {point.memory_id for point in points} == {
        hit.memory_id for hit in index.search(ALICE, None, points[0].vector, "tea", 20)
    }
