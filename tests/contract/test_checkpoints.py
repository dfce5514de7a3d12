"""The store of checkpoints keeps its contract, in memory and on PostgreSQL."""

from __future__ import annotations

import threading
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import text

from config.checkpoints import CheckpointPolicy
from pipelines.adapters.hot_checkpoints import RedisHotCheckpoints
from pipelines.adapters.postgres import Database, PostgresCheckpoints, PostgresErasures
from pipelines.adapters.postgres.checkpoint_rows import CHAIN_OF_NEWEST
from pipelines.errors import (
    CheckpointConflict,
    IdempotencyConflict,
    NewerFormat,
    QueueUnavailable,
)
from pipelines.flows.checkpoint import Checkpoints, NewCheckpoint
from pipelines.flows.clean_checkpoints import CleanCheckpoints, Cleaned
from pipelines.model import Owner
from pipelines.ports import (
    CheckpointDraft,
    Erasure,
    ErasureId,
    ErasureState,
    HotState,
    Subject,
)
from pipelines.stages.checkpoints.canonical import canonical_json, digest
from pipelines.stages.checkpoints.chain import NEWEST, CheckpointId, Thread, rebuild
from pipelines.testing.checkpoints import InMemoryCheckpoints, InMemoryHotCheckpoints
from pipelines.testing.surroundings import ManualClock
from tests.builders import ALICE, BOB, START, day

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipelines.ports import CheckpointStore, HotCheckpoints, Saved
    from pipelines.stages.checkpoints.chain import Parent

THREAD = Thread(ALICE, "t")
HOUR = timedelta(hours=1)
DEPTH = 3


def make_id(number: int) -> CheckpointId:
    return CheckpointId(uuid.UUID(int=number))


def make_draft(
    number: int,
    state: object = None,
    parent: Parent = NEWEST,
    thread: Thread = THREAD,
    **changes: Any,  # noqa: ANN401 - any field
) -> CheckpointDraft:
    spelled = canonical_json({"turn": number} if state is None else state)
    draft = CheckpointDraft(
        make_id(number), thread, parent, "node", "{}", spelled, digest(spelled), day(number)
    )
    return replace(draft, **changes)


def make_delta(number: int, **changes: Any) -> CheckpointDraft:  # noqa: ANN401 - any field
    """A draft that rests on the one before."""
    delta = canonical_json([{"op": "replace", "path": "/turn", "value": number}])
    before = digest(canonical_json({"turn": number - 1}))
    rests: dict[str, Any] = {"base": make_id(number - 1), "base_sha256": before, "delta": delta}
    return make_draft(number, **(rests | changes))


def fill(store: CheckpointStore, count: int, thread: Thread = THREAD) -> list[Saved]:
    """A full snapshot after each three deltas."""
    drafts = [make_delta(number, thread=thread) for number in range(1, count + 1)]
    return [store.append(draft, DEPTH) for draft in drafts]


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    opened = Database(request.getfixturevalue("database_url"))
    yield opened
    opened.close()


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> CheckpointStore:
    if request.param == "memory":
        return InMemoryCheckpoints()
    return PostgresCheckpoints(request.getfixturevalue("database"))


def test_checkpoints_follow_each_other_and_rest_on_each_other(store: CheckpointStore) -> None:
    """Numbered without gaps; so many deltas, then a full snapshot."""
    saved = [item.checkpoint for item in fill(store, 6)]

    assert [1, 2, 3, 4, 5, 6] == [item.sequence for item in saved]
    assert [None, *map(make_id, range(1, 6))] == [item.parent for item in saved]
    assert [False, True, True, True, False, True] == [item.is_delta for item in saved]
    for number in range(1, 7):
        chain = store.load_chain(THREAD, make_id(number))
        assert canonical_json({"turn": number}) == rebuild(chain)
        assert saved[number - 1] == chain[-1].checkpoint
        assert store.load_before(THREAD, number + 1) == chain
    assert store.load_chain(THREAD, make_id(6)) == store.load_newest(THREAD, None)


def test_delta_to_another_checkpoint_than_the_newest_is_stored_in_full(
    store: CheckpointStore,
) -> None:
    """Whoever made it did not know of the newest."""
    fill(store, 2)

    saved = store.append(make_delta(4, state={"turn": 4}), DEPTH)

    assert not saved.checkpoint.is_delta
    assert canonical_json({"turn": 4}) == rebuild(store.load_newest(THREAD, None))


def test_delta_to_another_state_than_the_newest_is_stored_in_full(store: CheckpointStore) -> None:
    """Whoever made it took something damaged for the newest state."""
    fill(store, 2)

    saved = store.append(make_delta(3, base_sha256=digest(b"damaged")), DEPTH)

    assert not saved.checkpoint.is_delta
    assert canonical_json({"turn": 3}) == rebuild(store.load_newest(THREAD, None))


def test_newest_checkpoint_that_is_known_is_not_read(store: CheckpointStore) -> None:
    """Only named; another one is read in full."""
    fill(store, 3)

    (link,) = store.load_newest(THREAD, make_id(3))

    assert (make_id(3), b"") == (link.checkpoint.id, link.content)
    assert 3 == len(store.load_newest(THREAD, make_id(2)))
    assert [] == list(store.load_newest(Thread(ALICE, "other"), make_id(3)))


def test_save_that_is_repeated_is_one_save(store: CheckpointStore) -> None:
    """Also after others; the same id for something else is refused."""
    first, *_ = fill(store, 3)

    again = store.append(make_delta(1, begun_at=day(9)), DEPTH)

    assert again.is_duplicate
    assert first.checkpoint == again.checkpoint
    for changes in ({"node": "other"}, {"metadata": '{"a":1}'}, {"sha256": "0" * 64}):
        with pytest.raises(IdempotencyConflict):
            store.append(make_delta(1, **changes), DEPTH)
    assert 3 == len(store.list_newest(THREAD, 10))


def test_save_behind_another_than_the_newest_names_the_newest(store: CheckpointStore) -> None:
    """Nothing is saved."""
    with pytest.raises(CheckpointConflict) as empty:
        store.append(make_draft(1, parent=make_id(9)), DEPTH)
    fill(store, 2)
    for parent in (make_id(1), None):
        with pytest.raises(CheckpointConflict) as caught:
            store.append(make_draft(3, parent=parent), DEPTH)
        assert make_id(2) == caught.value.newest

    assert empty.value.newest is None
    assert 3 == store.append(make_draft(3, parent=make_id(2)), DEPTH).checkpoint.sequence


def test_threads_are_apart_whatever_their_names_have_in_common(store: CheckpointStore) -> None:
    """By tenant, by user and by name; an id may occur in each of them."""
    threads = [
        THREAD, Thread(ALICE, "t2"), Thread(BOB, "t"), Thread(Owner("other", "alice"), "t"),
        Thread(Owner("acme:alice", "t"), "t"),
    ]  # fmt: skip
    for place, thread in enumerate(threads):
        store.append(make_draft(1, {"of": place}, thread=thread), DEPTH)

    for place, thread in enumerate(threads):
        (link,) = store.load_newest(thread, None)
        assert canonical_json({"of": place}) == link.content
    assert [THREAD, threads[1]] == [
        shown.thread for shown in store.list_threads("acme", "alice", None, 9)
    ]


def test_threads_are_listed_in_pages(store: CheckpointStore) -> None:
    """With what each takes."""
    for name in ("c", "a", "b"):
        fill(store, 2, Thread(ALICE, name))

    first = store.list_threads("acme", None, None, 2)
    rest = store.list_threads("acme", None, first[-1].thread, 2)

    assert ["a", "b", "c"] == [shown.thread.id for shown in (*first, *rest)]
    sizes = [item.stored for item in store.list_newest(Thread(ALICE, "a"), 9)]
    found = first[0]
    assert (make_id(2), 2, 2, sum(sizes), day(2)) == (
        found.newest, found.sequence, found.kept, found.stored, found.saved_at,
    )  # fmt: skip


def test_history_is_told_in_pages_the_newest_first(store: CheckpointStore) -> None:
    """Each once."""
    fill(store, 5)

    pages = [store.list_newest(THREAD, 2, before) for before in (None, 4, 2)]

    assert [[5, 4], [3, 2], [1]] == [[item.sequence for item in page] for page in pages]


@pytest.mark.parametrize("below", range(1, 8))
def test_trimmed_thread_still_gives_every_state_that_it_keeps(
    store: CheckpointStore, below: int
) -> None:
    """What rested on what went rests on a full snapshot now; the next save goes on."""
    fill(store, 7)
    state = rebuild(store.load_chain(THREAD, make_id(below)))

    assert below - 1 == store.trim(THREAD, below, state)

    for number in range(below, 8):
        chain = store.load_chain(THREAD, make_id(number))
        assert canonical_json({"turn": number}) == rebuild(chain)
    assert list(range(7, below - 1, -1)) == [item.sequence for item in store.list_newest(THREAD, 9)]
    assert 0 == store.trim(THREAD, below, state)
    assert 8 == store.append(make_delta(8), DEPTH).checkpoint.sequence
    assert canonical_json({"turn": 8}) == rebuild(store.load_newest(THREAD, None))


def test_thread_is_not_trimmed_where_something_would_rest_on_nothing(
    store: CheckpointStore,
) -> None:
    """Without the state of what others rest on, or if somebody saved meanwhile."""
    fill(store, 3)

    assert 0 == store.trim(THREAD, 2, None)
    assert 0 == store.trim(THREAD, 3, None)
    fill_one = store.append(make_delta(4), DEPTH)
    assert 0 == store.trim(THREAD, 4, None)
    assert 4 == len(store.list_newest(THREAD, 9)) == fill_one.checkpoint.sequence
    assert 4 == store.trim(THREAD, 5, None)
    assert [] == list(store.list_newest(THREAD, 9))


def test_thread_that_was_begun_anew_is_not_removed_with_the_old_one(
    store: CheckpointStore,
) -> None:
    """Two clean up at once; between them somebody saves behind the one that was quicker."""
    fill(store, 3)
    assert 3 == store.trim(THREAD, 4, None)
    fill(store, 1)

    assert 0 == store.trim(THREAD, 4, None)

    assert canonical_json({"turn": 1}) == rebuild(store.load_newest(THREAD, None))


def test_surplus_is_found_by_number_and_by_age(store: CheckpointStore) -> None:
    """Of any tenant, in pages."""
    counts = {Thread(ALICE, "few"): 2, Thread(ALICE, "many"): 4, Thread(BOB, "many"): 4}
    for thread, count in counts.items():
        fill(store, count, thread)

    many = [Thread(ALICE, "many"), Thread(BOB, "many")]
    assert many == store.find_surplus(None, 3, START, 9)
    assert many[1:] == store.find_surplus(many[0], 3, START, 9)
    assert sorted(counts) == store.find_surplus(None, 9, day(2), 9)
    assert [] == store.find_surplus(None, 9, START, 9)
    surplus = store.count_surplus(many[0], 3)
    assert (1, 2) == (surplus.first, surplus.rows)
    assert surplus.stored == sum(i.stored for i in store.list_newest(many[0], 9, 3))
    assert (1, 0, 0) == tuple(
        getattr(store.count_surplus(many[0], 1), name) for name in ("first", "rows", "stored")
    )


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["save", "full", "trim", "late"]), max_size=14), st.randoms())
def test_thread_keeps_its_states_whatever_is_done_to_it(
    store: CheckpointStore,
    doing: list[str],
    rng: Any,  # noqa: ANN401 - hypothesis' own random
) -> None:
    """No chain has a gap, no sequence is missing or double."""
    thread = Thread(ALICE, uuid.uuid4().hex)
    number, first = 0, 1
    for what in doing:
        if what == "trim":
            below = rng.randint(first, max(first, number))
            state = rebuild(store.load_before(thread, below + 1)) if number else None
            first += store.trim(thread, below, state)
            continue
        number += 1
        made = make_delta(number, thread=thread)
        late = make_id(max(0, number - 2))
        if what == "full":
            made = replace(made, delta=None)
        elif what == "late":
            made = replace(made, base=late)
        store.append(made, DEPTH)

    kept = [item.sequence for item in store.list_newest(thread, 99)]
    assert list(range(number, first - 1, -1)) == kept
    for item in kept:
        chain = store.load_chain(thread, make_id(item))
        assert canonical_json({"turn": item}) == rebuild(chain)
        assert len(chain) <= DEPTH + 1


# ---- PostgreSQL alone ----------------------------------------------------------------------------


def in_threads(count: int, run: Callable[[int], object]) -> None:
    workers = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def test_writers_at_once_leave_one_line_without_gaps_or_doubles(database: Database) -> None:
    """Of those who expect the same parent one wins, and the others go on from it."""
    store = PostgresCheckpoints(database)

    def write(number: int) -> None:
        store.append(make_draft(100 + number, begun_at=START), DEPTH)
        while True:
            newest = store.list_newest(THREAD, 1)[0].id
            try:
                store.append(make_draft(300 + number, parent=newest, begun_at=START), DEPTH)
            except CheckpointConflict:
                continue
            return

    in_threads(6, write)

    assert list(range(12, 0, -1)) == [item.sequence for item in store.list_newest(THREAD, 99)]
    line = store.list_newest(THREAD, 99)
    assert [item.parent for item in line] == [*(item.id for item in line[1:]), None]


def test_saves_and_cleaning_at_once_lose_nothing_that_is_kept(database: Database) -> None:
    """Whoever trims and whoever saves take turns, and neither breaks what the other rests on."""
    store = PostgresCheckpoints(database)
    fill(store, 1)

    def work(role: int) -> None:
        for number in range(2, 30):
            if role == 0:
                store.append(make_delta(number), DEPTH)
                continue
            newest = store.list_newest(THREAD, 2)[-1]
            # The other one may have removed it since.
            chain = store.load_chain(THREAD, newest.id)
            store.trim(THREAD, newest.sequence, rebuild(chain) if chain else None)

    in_threads(3, work)

    for item in store.list_newest(THREAD, 99):
        chain = store.load_chain(THREAD, item.id)
        assert canonical_json({"turn": item.sequence}) == rebuild(chain)
    assert 29 == store.list_newest(THREAD, 1)[0].sequence


def erase(database: Database, subject: Subject, number: int) -> None:
    at = day(number)
    erasure = Erasure(
        ErasureId(uuid.uuid4()), "acme", subject.key, subject, ErasureState.PURGING, at, "x", at, at
    )
    PostgresErasures(database).begin(erasure, HOUR)


def test_save_that_was_under_way_does_not_outlive_an_erasure(database: Database) -> None:
    """What is saved later is new; another thread or user is not concerned."""
    store = PostgresCheckpoints(database)
    fill(store, 2)
    fill(store, 1, Thread(BOB, "t"))

    erase(database, Subject(ALICE), 5)

    with pytest.raises(CheckpointConflict, match="erased"):
        store.append(make_draft(4), DEPTH)
    assert [] == list(store.list_newest(THREAD, 9))
    assert [] == list(store.load_newest(THREAD, make_id(2)))
    assert 1 == len(store.list_newest(Thread(BOB, "t"), 9))
    assert 1 == store.append(make_draft(6), DEPTH).checkpoint.sequence


def test_erased_session_takes_the_thread_of_its_name_along(database: Database) -> None:
    """And no other."""
    store = PostgresCheckpoints(database)
    fill(store, 2)
    fill(store, 2, Thread(ALICE, "other"))

    erase(database, Subject(ALICE, "t"), 5)

    with pytest.raises(CheckpointConflict, match="erased"):
        store.append(make_draft(4), DEPTH)
    assert [] == list(store.list_newest(THREAD, 9))
    assert (
        3 == store.append(make_draft(3, thread=Thread(ALICE, "other")), DEPTH).checkpoint.sequence
    )


def test_save_does_not_wait_for_an_erasure_that_is_under_way(database: Database) -> None:
    """It is refused, so it cannot be stored behind it."""
    store = PostgresCheckpoints(database)
    with database.transaction() as connection:
        name = "acme\x1falice"
        connection.exec_driver_sql(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 11))", (name,)
        )

        with pytest.raises(CheckpointConflict, match="erased"):
            store.append(make_draft(1), DEPTH)
        assert 0 == store.trim(THREAD, 1, None)


def test_checkpoint_of_a_newer_release_is_left_to_it(database: Database) -> None:
    """It is neither damaged nor handed out."""
    store = PostgresCheckpoints(database)
    fill(store, 2)
    with database.transaction() as connection:
        connection.exec_driver_sql(
            "UPDATE agent_checkpoints SET schema_version = 2 WHERE sequence = 2"
        )

    with pytest.raises(NewerFormat):
        store.load_newest(THREAD, None)
    assert canonical_json({"turn": 1}) == rebuild(store.load_chain(THREAD, make_id(1)))
    flow = Checkpoints(store, InMemoryHotCheckpoints(), ManualClock(day(9)), CheckpointPolicy())
    flow.save(NewCheckpoint(THREAD, {"turn": 3}))
    assert canonical_json({"turn": 3}) == flow.load(THREAD).state
    cleaning = CleanCheckpoints(store, flow.clock, CheckpointPolicy(keep=2))
    assert Cleaned(left=1) == cleaning.clean()


def test_chain_is_read_by_its_bounds_however_long_the_thread_is(database: Database) -> None:
    """Not the whole thread, of which there may be thousands."""
    store = PostgresCheckpoints(database)
    fill(store, 3)
    with database.transaction() as connection:
        connection.exec_driver_sql(
            "INSERT INTO agent_checkpoints SELECT tenant_id, user_id, thread_id, 3 + n,"
            " gen_random_uuid(), parent, origin, node, metadata, sha256, bytes, NULL, 0, content,"
            " 1, saved_at FROM agent_checkpoints, generate_series(1, 5000) AS n WHERE sequence = 3"
        )
        connection.exec_driver_sql("ANALYZE agent_checkpoints")
    with database.transaction() as connection:
        explained = f"EXPLAIN (ANALYZE, FORMAT JSON) {CHAIN_OF_NEWEST.text}"
        whose = {"tenant": "acme", "user": "alice", "thread": "t", "known": None}
        plan = connection.execute(text(explained), whose).scalar_one()

    assert max(_rows_of(plan[0]["Plan"])) <= DEPTH + 1


def _rows_of(plan: dict[str, Any]) -> Iterator[float]:
    yield plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
    for part in plan.get("Plans", ()):
        yield from _rows_of(part)


# ---- close at hand -------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "redis"])
def hot(request: pytest.FixtureRequest) -> Iterator[HotCheckpoints]:
    if request.param == "memory":
        yield InMemoryHotCheckpoints()
        return
    with Redis.from_url(request.getfixturevalue("redis_url")) as redis:
        yield RedisHotCheckpoints(redis, request.getfixturevalue("key_prefix"))


def a_state(number: int = 1) -> HotState:
    return HotState(make_id(number), b'{"a":"\n"}', day(number))


def test_hot_state_is_found_as_it_was_put_there(hot: HotCheckpoints) -> None:
    """By its tenant, user and thread alone."""
    hot.keep(THREAD, a_state(1), HOUR)
    hot.keep(THREAD, a_state(2), HOUR)

    assert a_state(2) == hot.find(THREAD, HOUR)
    for other in (Thread(BOB, "t"), Thread(ALICE, "u"), Thread(Owner("other", "alice"), "t")):
        assert hot.find(other, HOUR) is None


def test_hot_states_of_a_subject_are_removed(hot: HotCheckpoints) -> None:
    """Those from before; of a session only its own thread's."""
    threads = [THREAD, Thread(ALICE, "u"), Thread(BOB, "t")]
    for number, thread in enumerate(threads, start=1):
        hot.keep(thread, a_state(number), HOUR)

    assert 0 == hot.count(Subject(ALICE), day(0))
    assert 1 == hot.count(Subject(ALICE), day(1))
    assert (1, 1) == (
        hot.count(Subject(ALICE, "t"), day(9)),
        hot.remove(Subject(ALICE, "t"), day(9)),
    )
    assert (1, 1) == (hot.count(Subject(ALICE), day(9)), hot.remove(Subject(ALICE), day(9)))
    assert [None, None, a_state(3)] == [hot.find(thread, HOUR) for thread in threads]
    assert 0 == hot.count(Subject(ALICE), day(9))


def test_hot_states_live_so_long_after_their_last_use(redis_url: str, key_prefix: str) -> None:
    """Also the list by which they are found to be erased; no key holds a name."""
    with Redis.from_url(redis_url) as redis:
        hot = RedisHotCheckpoints(redis, key_prefix)
        hot.keep(THREAD, a_state(), HOUR)
        keys = [key.decode() for key in redis.keys(f"{key_prefix}:*")]
        for key in keys:
            redis.expire(key, 60)
        hot.find(THREAD, HOUR)
        used = [redis.ttl(key) for key in keys]
        hot.remove(Subject(ALICE), day(9))

        assert 2 == len(keys)
        assert [] == [key for key in keys if "alice" in key or "acme" in key]
        assert all(3590 < seconds <= 3600 for seconds in used)
        assert [] == redis.keys(f"{key_prefix}:*")


@pytest.mark.parametrize(
    "raw",
    [b"", b"\n", b"{}\n[]", b'{"schema_version": 2, "id": "x"}\n[]', b"[1]\n", b"\xff\n{}"],
    ids=range(6),
)
def test_hot_entry_that_cannot_be_read_is_as_good_as_none(
    redis_url: str, key_prefix: str, raw: bytes
) -> None:
    """Another release wrote it, or nobody; it goes with its user all the same."""
    with Redis.from_url(redis_url) as redis:
        hot = RedisHotCheckpoints(redis, key_prefix)
        hot.keep(THREAD, a_state(), HOUR)
        redis.set(hot._key(THREAD), raw)

        assert hot.find(THREAD, HOUR) is None
        assert 1 == hot.remove(Subject(ALICE), day(0))


def test_redis_that_is_away_is_not_asked_again_at_once(tmp_path: Any) -> None:  # noqa: ANN401
    """Nothing is found there, and nobody waits; only an erasure has to know."""
    retry = Retry(NoBackoff(), 0)
    with Redis(unix_socket_path=str(tmp_path / "nobody"), retry=retry) as redis:
        hot = RedisHotCheckpoints(redis, "test")
        assert hot.find(THREAD, HOUR) is None
        hot.keep(THREAD, a_state(), HOUR)
        assert hot._is_away()
        for ask in (hot.remove, hot.count):
            with pytest.raises(QueueUnavailable):
                ask(Subject(ALICE), day(9))
