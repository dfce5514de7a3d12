"""The session tier, in memory and on Redis alike."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from redis import ConnectionPool, Redis, UnixDomainSocketConnection
from redis.backoff import NoBackoff
from redis.retry import Retry

from pipelines.adapters.redis_sessions import RedisSessions
from pipelines.adapters.session_keys import OwnerKeys
from pipelines.errors import ErasedMeanwhile, NewerFormat, SessionsUnavailable
from pipelines.model import Owner, Role
from pipelines.ports import Asked, Episode, Subject, Write
from tests.acceptance.deployment import free_port
from tests.session_tiers import AT, POLICY, Tier, make_tier, open_tier, said
from workers.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workers.embedded.redis import RedisServer

ALICE = Owner("acme", "alice")
BOB = Owner("acme", "bob")
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
SPOKEN = "s:1/{x} é"


@pytest.fixture(params=["memory", "redis"])
def tier(request: pytest.FixtureRequest) -> Iterator[Tier]:
    """An empty session tier of each kind."""
    if request.param == "memory":
        yield make_tier()
        return
    url = request.getfixturevalue("redis_url")
    with open_tier(url, request.getfixturevalue("key_prefix")) as opened:
        yield opened


def fill(tier: Tier, owner: Owner = ALICE, session: str = SPOKEN) -> None:
    """Something of every kind."""
    tier.cache.append_context(owner, session, [said("hello")], tier.write())
    tier.cache.add_episode(owner, Episode(session, "met", AT), tier.write())
    tier.cache.keep_tool_state(owner, session, "search", {"page": 2}, tier.write())
    tier.cache.keep_state(owner, session, {"step": 3}, tier.write())
    tier.cache.count_use(owner, "calls", 5, MINUTE, tier.write())


def held(tier: Tier, owner: Owner = ALICE, session: str = SPOKEN) -> list[bool]:
    """Whether there is a conversation, an episode, tool state, state."""
    return [
        bool(tier.cache.read_context(owner, session, 10)),
        any(item.session_id == session for item in tier.cache.read_episodes(owner, 10)),
        bool(tier.cache.read_tool_states(owner, session, ["search"])),
        tier.cache.read_state(owner, session) is not None,
    ]


ALL, NOTHING = [True] * 4, [False] * 4


def test_context_holds_the_latest_messages_in_order(tier: Tier) -> None:
    """The oldest go when there is no room, and a read may ask for fewer."""
    counts = [
        tier.cache.append_context(
            ALICE, SPOKEN, [said(f"{n}", Role.USER), said(f"re {n}", Role.ASSISTANT)], tier.write()
        )
        for n in range(3)
    ]

    found = tier.cache.read_context(ALICE, SPOKEN, 10)

    assert [2, 4, 5] == counts
    assert ["re 0", "1", "re 1", "2", "re 2"] == [item.content for item in found]
    assert (Role.USER, AT, None) == (found[1].role, found[1].created_at, found[1].name)
    assert found[-2:] == tier.cache.read_context(ALICE, SPOKEN, 2)


def test_lifetimes_are_those_of_the_policy(tier: Tier) -> None:
    """Tool state goes after 30 minutes, the conversation after 2 hours, then episodes, state."""
    fill(tier)

    spent, left = timedelta(), []
    for end in (POLICY.tool_state, POLICY.context, POLICY.episode, POLICY.state):
        tier.pass_time(end - spent)
        spent = end
        left.append(tier.cache.count(Subject(ALICE), tier.now()))

    assert [3, 2, 1, 0] == left


def test_use_extends_a_lifetime_but_not_an_episodes(tier: Tier) -> None:
    """What is read within its lifetime stays; an episode ends a day after it was added."""
    fill(tier)
    step = POLICY.tool_state - MINUTE

    for _ in range(50):
        tier.pass_time(step)
        alive = held(tier)

    assert [True, False, True, True] == alive
    assert 3 == tier.cache.count(Subject(ALICE), tier.now())


def test_unread_state_outlives_what_is_read(tier: Tier) -> None:
    """Using one value extends no other."""
    fill(tier)
    for _ in range(5):
        tier.pass_time(POLICY.tool_state - MINUTE)
        tier.cache.read_context(ALICE, SPOKEN, 1)

    assert [True, True, False, True] == held(tier)


def test_each_episode_lives_a_day_and_the_newest_come_first(tier: Tier) -> None:
    """Also those told within the same moment keep their order; the oldest above the bound go."""
    for number in range(12, 0, -1):
        tier.cache.add_episode(ALICE, Episode(SPOKEN, f"{number:02}", AT), tier.write())
    assert ["01", "02", "03"] == [item.content for item in tier.cache.read_episodes(ALICE, 10)]

    tier.pass_time(POLICY.episode - MINUTE)
    tier.cache.add_episode(ALICE, Episode("s2", "late", AT), tier.write())
    tier.pass_time(2 * MINUTE)

    assert [Episode("s2", "late", AT)] == tier.cache.read_episodes(ALICE, 10)


def test_state_is_kept_as_it_was_given(tier: Tier) -> None:
    """Null is state too; what was never kept is none."""
    state = {"b": [1, 1.0, 2**63 - 1, 0.1], "a": {"": None}, "é": "\u2028"}

    tier.cache.keep_state(ALICE, SPOKEN, state, tier.write())
    tier.cache.keep_tool_state(ALICE, SPOKEN, "a:b", None, tier.write())

    found = tier.cache.read_state(ALICE, SPOKEN)
    assert found is not None
    assert repr(state) == repr(found["state"])
    assert {"a:b": None} == tier.cache.read_tool_states(ALICE, SPOKEN, ["a:b", "a", "b"])
    assert tier.cache.read_state(ALICE, "another") is None


def test_repeated_write_is_done_once(tier: Tier) -> None:
    """Whoever got no answer repeats it under the same name."""
    write = tier.write("again")

    counts = [tier.cache.append_context(ALICE, SPOKEN, [said("once")], write) for _ in range(2)]
    again = tier.write("told again")
    for _ in range(2):
        tier.cache.add_episode(ALICE, Episode(SPOKEN, "once", AT), again)
    used = [tier.cache.count_use(ALICE, "calls", 9, MINUTE, tier.write("used")) for _ in range(2)]

    assert [1, 1] == counts
    assert 1 == len(tier.cache.read_episodes(ALICE, 10))
    assert [(True, 1), (True, 1)] == [(item.is_allowed, item.used) for item in used]


def test_answer_to_a_question_for_a_secret_is_appended_knowingly_only(tier: Tier) -> None:
    """Whoever appends has to have seen the question, and nothing is stored until then."""
    question = said("What is your password?", Role.ASSISTANT, asks=True)
    tier.cache.append_context(ALICE, SPOKEN, [question], tier.write())
    write = tier.write()

    asked = tier.cache.append_context(ALICE, SPOKEN, [said("hunter2")], write)
    before = tier.cache.read_context(ALICE, SPOKEN, 10)
    assert isinstance(asked, Asked)
    count = tier.cache.append_context(ALICE, SPOKEN, [said("[redacted]")], write, asked)

    assert question == asked.message
    assert [question] == before
    assert 2 == count
    assert 3 == tier.cache.append_context(ALICE, SPOKEN, [said("thanks")], tier.write())


def test_use_is_counted_exactly_in_a_window_that_slides(tier: Tier) -> None:
    """Room is made as the oldest use leaves the window, not when some fixed window ends."""

    def count(limit: int = 2) -> tuple[bool, int, int]:
        found = tier.cache.count_use(ALICE, "calls", limit, MINUTE, tier.write())
        return found.is_allowed, found.used, round(found.retry_after.total_seconds())

    first = count()
    tier.pass_time(40 * SECOND)
    second, refused = count(), count()
    tier.pass_time(21 * SECOND)
    third, again = count(), count()

    assert [(True, 1, 0), (True, 2, 20), (False, 2, 20)] == [first, second, refused]
    assert [(True, 2, 39), (False, 2, 39)] == [third, again]
    # A limit that was lowered meanwhile.
    assert (False, 2, 60) == count(1)
    other = tier.cache.count_use(BOB, "calls", 2, MINUTE, tier.write())
    assert (True, 1) == (other.is_allowed, other.used)


def test_view_is_what_context_and_episodes_are(tier: Tier) -> None:
    """One look gives what two reads would."""
    fill(tier)

    view = tier.cache.look(ALICE, SPOKEN, 5, 5)

    assert tier.cache.read_context(ALICE, SPOKEN, 5) == list(view.context)
    assert tier.cache.read_episodes(ALICE, 5) == list(view.episodes)
    assert [1, 1] == [len(view.context), len(view.episodes)]


def test_erased_user_has_nothing_left_and_others_have_all(tier: Tier) -> None:
    """Of whatever session; and what was proven to be gone is proven again."""
    for owner in (ALICE, BOB):
        fill(tier, owner)
        fill(tier, owner, "second")
    assert 8 == tier.cache.count(Subject(ALICE), tier.now())

    removed = tier.cache.remove(Subject(ALICE), tier.now())

    assert 8 == removed
    assert [NOTHING, NOTHING] == [held(tier), held(tier, session="second")]
    assert 0 == tier.cache.count(Subject(ALICE), tier.now())
    assert [ALL, ALL] == [held(tier, BOB), held(tier, BOB, "second")]


def test_erased_session_leaves_the_users_others(tier: Tier) -> None:
    """A tool named like the session is the other session's, and stays."""
    fill(tier)
    fill(tier, session="second")
    tier.cache.keep_tool_state(ALICE, "second", SPOKEN, 1, tier.write())

    removed = tier.cache.remove(Subject(ALICE, SPOKEN), tier.now())

    assert 4 == removed
    assert [NOTHING, ALL] == [held(tier), held(tier, session="second")]
    assert {SPOKEN: 1} == tier.cache.read_tool_states(ALICE, "second", [SPOKEN])
    assert 0 == tier.cache.count(Subject(ALICE, SPOKEN), tier.now())


@pytest.mark.parametrize("session", [None, SPOKEN], ids=["user", "session"])
def test_write_that_began_before_an_erasure_is_refused(tier: Tier, session: str | None) -> None:
    """However late it comes: an append under way brings nobody back."""
    began_at = tier.now()
    tier.pass_time(SECOND)
    tier.cache.remove(Subject(ALICE, session), tier.now())
    late = tier.write(began_at=began_at)

    with pytest.raises(ErasedMeanwhile):
        tier.cache.append_context(ALICE, SPOKEN, [said("late")], late)
    with pytest.raises(ErasedMeanwhile):
        tier.cache.add_episode(ALICE, Episode(SPOKEN, "late", AT), late)
    with pytest.raises(ErasedMeanwhile):
        tier.cache.keep_tool_state(ALICE, SPOKEN, "search", 1, late)
    with pytest.raises(ErasedMeanwhile):
        tier.cache.keep_state(ALICE, SPOKEN, 1, late)

    assert NOTHING == held(tier)
    assert 0 == tier.cache.count(Subject(ALICE, session), tier.now())


def test_what_begins_after_an_erasure_is_kept_by_its_repetitions(tier: Tier) -> None:
    """Whoever comes back is no longer who was erased; going on with the erasure spares them."""
    fill(tier)
    tier.cache.remove(Subject(ALICE), tier.now())
    tier.pass_time(POLICY.erase_slack + SECOND)
    erased_at = tier.now() - POLICY.erase_slack - 2 * SECOND
    fill(tier)

    assert 0 == tier.cache.count(Subject(ALICE), tier.now())
    assert 0 == tier.cache.remove(Subject(ALICE), erased_at)
    assert ALL == held(tier)

    assert 5 == tier.cache.remove(Subject(ALICE), tier.now())
    assert NOTHING == held(tier)


def test_absent_redis_is_unavailable_and_nothing_else() -> None:
    """An agent goes on without the tier; what was sent is not in the error."""
    with Redis(host="127.0.0.1", port=free_port(), retry=Retry(NoBackoff(), 0)) as nobody:
        tier = RedisSessions(nobody, "test", POLICY)
        with pytest.raises(SessionsUnavailable, match=r"does not answer \(ConnectionError\)$"):
            tier.append_context(ALICE, "s", [said("hello")], Write(AT, "w"))
        with pytest.raises(SessionsUnavailable):
            tier.look(ALICE, "s", 1, 1)


def test_full_redis_is_unavailable(redis_url: str, key_prefix: str) -> None:
    """It answers, but takes nothing."""
    with Redis.from_url(redis_url) as redis, open_tier(redis_url, key_prefix) as tier:
        redis.config_set("maxmemory", 1)
        try:
            with pytest.raises(SessionsUnavailable):
                fill(tier)
        finally:
            redis.config_set("maxmemory", 0)


class CountingUnixConnection(UnixDomainSocketConnection):
    """Counts how often something is sent."""

    sent = 0

    def send_packed_command(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        CountingUnixConnection.sent += 1
        return super().send_packed_command(*args, **kwargs)  # type: ignore[no-untyped-call]


def test_each_operation_is_one_round_trip(redis_server: RedisServer, key_prefix: str) -> None:
    """Also the first one that a server hears of, and the one that erases."""
    path = redis_server.url.removeprefix("unix://").partition("?")[0]
    pool = ConnectionPool(connection_class=CountingUnixConnection, path=path)
    with Redis(connection_pool=pool) as redis:
        tier = Tier(RedisSessions(redis, key_prefix, POLICY), SystemClock().now, lambda _: None)
        redis.script_flush()
        subject = Subject(ALICE)
        operations: list[Callable[[], object]] = [
            lambda: tier.cache.append_context(ALICE, "s", [said("a"), said("b")], tier.write()),
            lambda: tier.cache.read_context(ALICE, "s", 5),
            lambda: tier.cache.add_episode(ALICE, Episode("s", "met", AT), tier.write()),
            lambda: tier.cache.read_episodes(ALICE, 5),
            lambda: tier.cache.keep_tool_state(ALICE, "s", "t", 1, tier.write()),
            lambda: tier.cache.read_tool_states(ALICE, "s", ["t", "u"]),
            lambda: tier.cache.keep_state(ALICE, "s", 1, tier.write()),
            lambda: tier.cache.read_state(ALICE, "s"),
            lambda: tier.cache.count_use(ALICE, "calls", 5, MINUTE, tier.write()),
            lambda: tier.cache.look(ALICE, "s", 5, 5),
            lambda: tier.cache.count(subject, tier.now()),
            lambda: tier.cache.remove(subject, AT),
        ]
        sent = []
        for operate in operations:
            before = CountingUnixConnection.sent
            operate()
            sent.append(CountingUnixConnection.sent - before)

    assert [1] * len(operations) == sent


def test_every_key_has_a_lifetime_and_the_index_names_them_all(
    redis_url: str, key_prefix: str
) -> None:
    """Nothing outlives its use, and an erasure needs no scan; all lie in the user's one slot."""
    with Redis.from_url(redis_url) as redis, open_tier(redis_url, key_prefix) as tier:
        fill(tier)
        keys = {key.decode() for key in redis.keys(f"{key_prefix}:*")}
        lives = [redis.pttl(key) for key in keys]
        named = OwnerKeys(key_prefix, ALICE)
        listed = {key.decode() for key in redis.zrange(named.index, 0, -1)}

    held_once = {key for key in keys if ":once:" in key}
    assert all(0 < life <= POLICY.longest.total_seconds() * 1000 for life in lives)
    assert keys - held_once - {named.index} == listed
    assert {f"{{{Subject(ALICE).key}}}"} == {key.split(":")[3] for key in keys}


def test_what_a_failover_brings_back_is_found_by_the_proof(redis_url: str, key_prefix: str) -> None:
    """Also when it was used since: what counts is when it was written first."""
    with Redis.from_url(redis_url) as redis, open_tier(redis_url, key_prefix) as tier:
        fill(tier)
        redis.set(OwnerKeys(key_prefix, ALICE).erased(), round(time.time() * 1000), ex=600)
        time.sleep(0.01)
        assert ALL == held(tier)

        found = tier.cache.count(Subject(ALICE), tier.now())
        tier.cache.remove(Subject(ALICE), AT)

        assert (5, 0) == (found, tier.cache.count(Subject(ALICE), tier.now()))
        assert NOTHING == held(tier)


def test_index_forgets_what_has_expired(redis_url: str, key_prefix: str) -> None:
    """It does not grow with every session that a user ever had."""
    with Redis.from_url(redis_url) as redis, open_tier(redis_url, key_prefix) as tier:
        for number in range(200):
            tier.cache.keep_tool_state(ALICE, f"s{number}", "t", 1, tier.write())
            redis.delete(OwnerKeys(key_prefix, ALICE).of_session(f"s{number}", "tool", "t"))
        size = redis.zcard(OwnerKeys(key_prefix, ALICE).index)

    assert size < 20


def test_value_of_a_newer_release_is_left_to_it(redis_url: str, key_prefix: str) -> None:
    """It is not taken for something else."""
    with Redis.from_url(redis_url) as redis, open_tier(redis_url, key_prefix) as tier:
        key = OwnerKeys(key_prefix, ALICE).of_session("s", "state")
        redis.set(key, b'{"schema_version": 2, "state": 1}', ex=60)

        with pytest.raises(NewerFormat):
            tier.cache.read_state(ALICE, "s")


NAME = st.text(
    st.characters(exclude_categories=("Cc", "Cs")) | st.sampled_from(":{}%/*\\ "), min_size=1
).filter(lambda text: not text.isspace())


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([("a", "b", "s", "x:tool:y"), ("a", "b", "s:tool:x", "y")])
@example([("a", "b%3A", "s", "t"), ("a", "b:", "s", "t"), ("a:b", "", "s", "t")])
@given(st.lists(st.tuples(NAME, NAME, NAME, NAME), min_size=2, max_size=4, unique=True))
def test_no_two_owners_sessions_or_tools_share_a_key(
    tier: Tier, places: list[tuple[str, str, str, str]]
) -> None:
    """Whatever visible characters their names are made of."""
    for number, (tenant, user, session, tool) in enumerate(places):
        tier.cache.keep_tool_state(Owner(tenant, user), session, tool, number, tier.write())

    found = [
        tier.cache.read_tool_states(Owner(tenant, user), session, [tool])
        for tenant, user, session, tool in places
    ]
    assert [{place[3]: number} for number, place in enumerate(places)] == found
