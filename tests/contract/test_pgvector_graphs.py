"""What holds for the graphs by which owners with many memories are searched."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sqlalchemy import text

from pipelines.adapters.pgvector import PgvectorIndex
from pipelines.adapters.pgvector_format import BinaryVector, owner_number
from pipelines.adapters.pgvector_queries import Lead, make_neighbours, make_search
from pipelines.adapters.pgvector_words import CommonWords, write_words
from pipelines.adapters.postgres import Database
from pipelines.errors import IndexUnavailable
from pipelines.model import MemoryState, Scope
from tests.acceptance.deployment import wait_until
from tests.contract.points import ALICE, BOB, gone, make_point

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from pipelines.model import MemoryId, Vector
    from pipelines.ports import Hit, IndexPoint

SIZE = 16
LARGE = 200
ANIMALS = ("terrier", "parrot", "hamster", "pony", "tortoise")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


class World:
    """A table in which Alice has many points and Bob a few."""

    def __init__(self, database: Database, prefix: str) -> None:
        self._database = database
        self._prefix = prefix
        self.dice = np.random.default_rng(1)
        self.index = self.open()
        self.index.prepare()
        self.points = [self.point(f"A {ANIMALS[n % 5]} of {n}.") for n in range(2 * LARGE)]
        few = [make_point("A terrier.", self.vector(), owner=BOB) for _ in range(20)]
        self.index.apply([*self.points, *few], [])

    def open(self) -> PgvectorIndex:
        """As another process does it."""
        return PgvectorIndex(self._database.engine, self._prefix, "some-model", SIZE, LARGE)

    def vector(self) -> Vector:
        raw = self.dice.standard_normal(SIZE, dtype=np.float32)
        return raw / np.float32(np.linalg.norm(raw))

    def point(self, said: str, **fields: object) -> IndexPoint:
        return make_point(said, self.vector(), **fields)  # type: ignore[arg-type]

    def explain(self, statement: str, values: dict[str, object]) -> str:
        owner = {"tenant_id": ALICE.tenant_id, "user_id": ALICE.user_id}
        with self._database.engine.connect() as connection:
            # Of a table of this size PostgreSQL may as well read all.
            connection.exec_driver_sql(
                "UPDATE pg_class SET reltuples = 1000000, relpages = 1"
                f" WHERE oid = '{self.index._table}'::regclass"
            )
            lines = connection.scalars(
                text(f"EXPLAIN {self.index._sql(statement)}"), {**values, **owner}
            )
            return "\n".join(lines.all())

    def search(self, vector: Vector, said: str) -> list[Hit]:
        return self.index.search(ALICE, None, vector, said, 10)

    def words(self) -> dict[int, int]:
        """As a process finds them that starts now."""
        graph = self.open()._graphs.find(ALICE)
        assert graph is not None
        return dict(graph.words.holders)

    def transaction(self) -> AbstractContextManager[Connection]:
        return self._database.transaction()

    def run_alone(self, statement: str) -> None:
        engine = self._database.engine.execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)

    def wait_for_lock(self, waiting: int = 1) -> None:
        """Until so many wait for one."""

        def do_wait() -> bool:
            with self._database.transaction() as connection:
                found = connection.exec_driver_sql(
                    "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
                    " WHERE NOT granted AND datname = current_database()"
                )
                return bool(found.scalar_one() >= waiting)

        wait_until(do_wait, "somebody waits for a lock", 20)

    def forget_words(self) -> None:
        with self._database.transaction() as connection:
            connection.exec_driver_sql(f"COMMENT ON INDEX {self.graphs()[0]} IS 'of old'")

    def graphs(self) -> list[str]:
        with self._database.transaction() as connection:
            found = connection.exec_driver_sql(
                "SELECT indexname FROM pg_indexes WHERE indexname LIKE 'graph!_%%' ESCAPE '!'"
            )
            return list(found.scalars())

    def damage(self) -> None:
        """What was cut off while it was made is there, but of no use."""
        with self._database.transaction() as connection:
            connection.exec_driver_sql(
                "UPDATE pg_index SET indisvalid = false"
                f" WHERE indexrelid = '{self.graphs()[0]}'::regclass"
            )


@pytest.fixture
def world(database: Database, key_prefix: str) -> World:
    return World(database, key_prefix)


def keys(hits: Sequence[Hit]) -> list[MemoryId]:
    return [hit.memory_id for hit in hits]


def test_graph_finds_what_comparing_all_finds(world: World) -> None:
    """With the scores of both legs; only those who have many get a graph."""
    asked = [(world.vector(), f"Which is {n}?") for n in range(0, 2 * LARGE, 20)]
    before = [world.index.search(ALICE, None, vector, said, 10) for vector, said in asked]
    nearest = world.index.neighbours(ALICE, [vector for vector, _ in asked], 10)

    assert 1 == world.index.tend()
    after = [world.index.search(ALICE, None, vector, said, 10) for vector, said in asked]
    by_graph = world.index.neighbours(ALICE, [vector for vector, _ in asked], 10)

    assert len(asked) == len(by_graph)
    for one, other in zip(before, after, strict=True):
        assert len(set(keys(one)) & set(keys(other))) >= len(one) - 1
        scores = {hit.memory_id: hit for hit in one}
        for hit in other:
            if hit.memory_id in scores:
                assert hit.cosine == pytest.approx(scores[hit.memory_id].cosine, abs=1e-6)
                assert (hit.lexical or 0) == pytest.approx(scores[hit.memory_id].lexical or 0)
    for exact, near in zip(nearest, by_graph, strict=True):
        assert len(set(exact) & set(near)) >= len(exact) - 1
        assert exact[0] == near[0]
    assert 20 == len(world.index.search(BOB, None, world.vector(), "terrier", 50))


def test_common_words_score_what_others_find(world: World) -> None:
    """As they score it where every row that holds one is read."""
    vector = world.vector()
    before = {hit.memory_id: hit for hit in world.search(vector, "Which terrier was 15?")}
    world.index.tend()
    after = {hit.memory_id: hit for hit in world.search(vector, "Which terrier was 15?")}

    assert 80 == next(iter(world.words().values()))
    named = world.points[15].memory_id
    assert len(before) > 10 >= len(after.keys() - {named})
    assert after[named] == before[named]
    scored = [key for key, hit in after.items() if hit.lexical and key in before]
    assert len(scored) > 1
    for key in scored:
        assert after[key].lexical == pytest.approx(before[key].lexical)


def test_words_that_are_all_common_lead_to_what_holds_them_all(world: World) -> None:
    """Whatever rare word is beside them; one alone leads nowhere, but scores what is near."""
    both = [world.point(f"A pony and a parrot of {n}.") for n in range(3)]
    world.index.apply(both, [])
    world.index.tend()
    vector = world.vector()

    for question in ("Where are parrot and pony?", "Where are parrot and pony sleeping?"):
        found = keys(world.search(vector, question))
        assert {point.memory_id for point in both} <= set(found)
        assert 10 <= len(found) <= 10 + len(both)
    alone = world.search(vector, "Where is the parrot?")
    assert 10 == len(alone)
    assert {None} < {hit.lexical for hit in alone}


def test_words_are_counted_again_when_there_are_many_more(world: World) -> None:
    """Not before; and those of a graph of which no words are kept."""
    world.index.tend()
    assert 5 == len(world.words())
    world.index.apply([world.point("A goat.") for _ in range(60)], [])
    world.open().tend()
    assert 5 == len(world.words())
    world.index.apply([world.point("A goat.") for _ in range(60)], [])
    world.open().tend()
    assert [80, 80, 80, 80, 80, 120] == sorted(world.words().values())

    world.forget_words()
    assert {} == world.words()
    world.open().tend()
    assert 6 == len(world.words())


def test_graph_is_walked_and_no_row_besides_is_compared(world: World) -> None:
    """Both statements go by the graph, and by the terms where words are asked for."""
    world.index.tend()
    number = owner_number(ALICE)
    values = {
        "vector": BinaryVector(world.vector()),
        "vector_0": BinaryVector(world.vector()),
        "term_0": 1,
        "term_1": 2,
        "term_2": 3,
        "holding_0": 3,
        "holding_1": 4,
        "holding_2": 4,
        "session_id": None,
        "as_of": None,
        "limit": 10,
        "farthest": 1,
        "memories": 400,
    }
    for statement in (
        make_search(1, number),
        make_search(0, number),
        make_search(2, number, Lead(1)),
        make_search(3, number, Lead(1, 2)),
        make_search(2, number, Lead(0, 2)),
        make_search(2, number, Lead(0)),
        make_neighbours(1, number),
    ):
        plan = world.explain(statement, values)
        assert f"Index Scan using {world.graphs()[0]}" in plan
        assert "Seq Scan" not in plan


def test_graph_finds_what_was_written_since_and_nothing_that_is_not_to_be_found(
    world: World,
) -> None:
    """It is as present as the rows: replaced, superseded, removed, or another session's."""
    world.index.tend()
    fresh = world.point("A goat.")
    replaced, removed = world.points[0], world.points[1]
    private = world.point("A secret.", scope=Scope.SESSION, session_id="other")
    past = make_point(
        "A terrier.",
        replaced.vector,
        memory_id=replaced.memory_id,
        version=2,
        state=MemoryState.SUPERSEDED,
    )
    world.index.apply([fresh, private, past], [gone(removed)])

    def nearest(point: IndexPoint) -> list[MemoryId]:
        return keys(world.index.search(ALICE, None, point.vector, "", 5))

    assert fresh.memory_id == nearest(fresh)[0]
    assert private.memory_id not in nearest(private)
    assert replaced.memory_id not in nearest(replaced)
    assert removed.memory_id not in nearest(removed)
    assert 5 == len(nearest(replaced))


def test_graph_gives_as_many_as_are_asked_for(world: World) -> None:
    """More than pgvector keeps in sight by itself."""
    world.index.tend()
    assert 100 == len(world.index.neighbours(ALICE, [world.vector()], 100)[0])


def test_graph_is_made_by_one_process_and_seen_by_all(world: World) -> None:
    """Whoever comes second finds nothing left to do."""
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(PgvectorIndex.tend, [world.open() for _ in range(4)]))

    assert 1 == sum(made)
    assert 1 == len(world.graphs())
    assert world.open()._graphs.find(ALICE) is not None
    assert world.open()._graphs.find(BOB) is None


def test_graph_that_was_cut_off_is_made_anew(world: World) -> None:
    """A process that dies while it makes one leaves nothing that is trusted."""
    world.index.tend()
    world.damage()

    assert world.open()._graphs.find(ALICE) is None
    assert 1 == world.open().tend()
    assert world.open()._graphs.find(ALICE) is not None


def test_words_that_are_counted_during_an_erasure_do_not_outlive_it(world: World) -> None:
    """Whoever erases waits for whoever counts, before anything is erased."""
    world.index.tend()
    name = world.graphs()[0]
    with ThreadPoolExecutor(1) as pool:
        with world.transaction() as counting:
            counting.exec_driver_sql(f"COMMENT ON INDEX {name} IS NULL")
            erasing = pool.submit(world.index.remove_owner, ALICE)
            world.wait_for_lock()
            assert 2 * LARGE == world.index.count(ALICE)
            kept = write_words(CommonWords(int(time.time()), 400, 10, {1: 80}))
            counting.exec_driver_sql(f"COMMENT ON INDEX {name} IS '{kept}'")
        erasing.result(30)

    assert {} == world.words()
    assert 0 == world.index.count(ALICE)


def test_erasure_and_the_drop_of_a_graph_do_not_block_each_other(world: World) -> None:
    """Who drops it waits for whoever has written, and the erasure has not yet."""
    world.index.tend()
    drop = f"DROP INDEX CONCURRENTLY {world.graphs()[0]}"
    with ThreadPoolExecutor(2) as pool:
        with world.transaction() as writing:
            writing.exec_driver_sql(f"DELETE FROM {world.index._table} WHERE version < 0")
            dropping = pool.submit(world.run_alone, drop)
            world.wait_for_lock()
            erasing = pool.submit(world.index.remove_owner, ALICE)
            world.wait_for_lock(2)
        dropping.result(30)
        # What it would have forgotten is gone; whoever erases comes again.
        with pytest.raises(IndexUnavailable, match="UndefinedTable"):
            erasing.result(30)

    world.index.remove_owner(ALICE)
    assert [] == world.graphs()
    assert 0 == world.index.count(ALICE)


def test_graph_goes_with_the_memories(world: World) -> None:
    """Of an owner who was erased nothing is left but for a while an empty graph."""
    world.index.tend()
    assert world.words()
    world.index.remove_owner(ALICE)

    assert {} == world.words()
    assert [] == world.index.search(ALICE, None, world.vector(), "terrier", 5)
    assert 0 == world.open().tend()
    assert [] == world.graphs()
