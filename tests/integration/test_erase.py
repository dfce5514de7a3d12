"""Erasing: nothing of the subject is left anywhere, nothing brings it back, nobody else loses."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import redis
from sqlalchemy import select

from memstill_client import NotFound
from pipelines import errors
from pipelines.adapters.postgres.tables import metadata
from pipelines.errors import IndexUnavailable, LeaseLost
from pipelines.flows.share import Share
from pipelines.model import Owner, ReceiptId
from pipelines.ports import ChatReply, DeadFilter, ErasureState, PaidFor, Purpose, Subject
from pipelines.stages.sharing.share import ProposalId
from workers.intake import make_intake

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from memstill_client import Erasure
    from pipelines.model import Memory, MemoryId
    from pipelines.ports import DeadLetter
    from tests.integration.generations import World

CANARY = "xylophone-quagga"
ALICE = Owner("acme", "alice")
LEASE = timedelta(minutes=5)


@pytest.fixture
def stream(world: World) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(world.container.settings.redis_url.get_secret_value()) as opened:
        yield opened


def push_on_stream(world: World, stream: redis.Redis, user: str, text: str, session: str) -> None:
    body = {
        "schema_version": 1,
        "tenant_id": "acme",
        "user_id": user,
        "session_id": session,
        "messages": [{"role": "user", "content": text}],
    }
    stream.xadd(
        f"{world.container.settings.key_prefix}:transcripts", {"transcript": json.dumps(body)}
    )


def find_everywhere(world: World, stream: redis.Redis, word: str) -> set[str]:
    """The tables, and keys of Redis, in which a word stands."""
    found = set()
    with world.container.database.transaction() as connection:
        names = connection.exec_driver_sql(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        ).scalars()
        for name in names.all():
            rows = connection.exec_driver_sql(
                f'SELECT count(*) FROM "{name}" AS t WHERE CAST(to_jsonb(t) AS text) LIKE %s',
                (f"%{word}%",),
            )
            if rows.scalar_one():
                found.add(name)
    for key in stream.keys("*"):
        is_stream = stream.type(key) == b"stream"
        held: object = stream.xrange(key) if is_stream else stream.dump(key)
        if word in f"{key!r} {held!r}":
            found.add(repr(key))
    return found


def tables_with(world: World, user: str) -> set[str]:
    """The tables that have rows of a user."""
    found = set()
    with world.container.database.transaction() as connection:
        for table in metadata.sorted_tables:
            if "user_id" in table.c:
                rows = select(table.c.user_id).where(table.c.user_id == user).limit(1)
                if connection.execute(rows).one_or_none() is not None:
                    found.add(table.name)
    return found


def keep_in_session(world: World, user: str) -> None:
    """Words of a user's in every corner of the session tier."""
    word = CANARY if user == "alice" else "boat"
    session = world.client.session(user, "s9")
    session.append({"role": "user", "content": f"I keep a {word}.", "name": user})
    session.add_episode(f"{user} sold a {word}.")
    session.set_tool_state("search", {"for": word})
    session.save_state([word])
    session.remember(f"She keeps a {word}.")
    world.client.count_use(user, word, 3, 60)


def told_of(world: World, user: str) -> Counter[tuple[Any, ...]]:
    """A user's memories, without their ids."""
    rows = world.container.store.export_memories("acme", user, None, 1000)
    said: dict[Any, Memory] = {row.id: row for row in rows}
    return Counter(
        (
            row.statement,
            row.state,
            row.scope,
            row.valid_from,
            row.valid_to,
            row.value,
            row.superseded_by and said[row.superseded_by].statement,
            tuple(sorted((item.session_id, item.quote) for item in row.evidence)),
        )
        for row in rows
        if row.state.value != "merged"
    )


def verify(world: World) -> None:
    """What the schedule does when whatever was under way has ended."""
    world.work()
    world.query("UPDATE erasures SET due_at = requested_at WHERE due_at IS NOT NULL RETURNING 1")
    world.container.erase.run()


def test_erased_user_is_in_no_table_key_or_index_and_others_lose_nothing(
    world: World, stream: redis.Redis
) -> None:
    """Told, queued, dead, unreadable, shared, shadowed and waiting on the Stream: all is gone."""
    for user in ("alice", "bob", "carol"):
        world.tell("Staging runs in Frankfurt.", user=user, day=1)
    world.tell(f"I keep a {CANARY}.", "My home is Berlin.", day=2)
    world.tell("My home is Lisbon.", f"It is said that {CANARY} sings.", day=3)
    world.container.share.scan("acme")
    (proposal,) = world.client.promotions()
    world.client.approve_promotion(proposal.id)
    world.client.redistill("2026-03-01", prompt="v2")
    world.settle()
    world.push(f"A {CANARY} in the queue.", day=5)
    world.container.ingest.refuse(ALICE, f'{{"user_id": "alice", "x": "{CANARY}', "no JSON")
    world.container.ingest.refuse(
        Owner("acme", ""), f'{{"user_id" :\n"alice", "x": "{CANARY}', "no JSON"
    )
    push_on_stream(world, stream, "alice", f"A {CANARY} on the Stream.", "s9")
    push_on_stream(world, stream, "bob", "I have a boat.", "s9")
    for user in ("alice", "bob"):
        keep_in_session(world, user)
    before = tables_with(world, "alice")
    assert before >= {"transcripts", "facts", "memories", "events", "replies", "owners", "ledger"}
    others = told_of(world, "bob"), told_of(world, "carol")
    (shared_before,) = world.container.store.export_memories("acme", "", None, 9)

    receipt = world.client.erase("alice")

    assert "purged" == receipt.state
    assert [] == list(world.client.recall("xylophone home", "alice").memories)
    assert [] == list(world.client.memories("alice"))
    assert set() == find_everywhere(world, stream, CANARY)
    verify(world)
    proven = world.client.erasure(receipt.id)
    assert ("verified", 0) == (proven.state, sum(proven.found.values()))
    assert proven.removed["stream"] == 1
    assert proven.removed["index"] >= 3
    assert proven.removed["session tier"] == 6
    assert [] == list(world.client.episodes("alice"))
    assert (1, 1) == (
        len(world.client.session("bob", "s9").context()),
        len(world.client.episodes("bob")),
    )
    assert set() == tables_with(world, "alice")
    assert set() == find_everywhere(world, stream, '"alice"')
    assert others == (told_of(world, "bob"), told_of(world, "carol"))
    (shared,) = world.container.store.export_memories("acme", "", None, 9)
    assert (3, 3) == (len(shared_before.evidence), shared_before.users)
    assert {"bob", "carol"} == {item.speaker.lower() for item in shared.evidence}


def test_erased_session_leaves_what_would_be_there_without_it(world: World) -> None:
    """Whatever was merged, superseded or corroborated: as if the session had never been."""
    rng = random.Random(7)
    cities = ["Berlin", "Lisbon", "Oslo"]
    hobbies = ["I like green tea.", "I like green tea!", "I play chess.", "I have two dogs."]
    for number in range(5):
        user, twin = f"user-{number}", f"twin-{number}"
        sessions = [
            [
                *rng.sample(hobbies, rng.randint(0, 3)),
                *([f"My home is {rng.choice(cities)}."] if rng.random() < 0.7 else []),
                f"Session {day} of {number}.",
            ]
            for day in range(1, rng.randint(3, 7))
        ]
        erased = rng.randint(1, len(sessions))
        order = list(enumerate(sessions, 1))
        rng.shuffle(order)
        for day, said in order:
            world.push(*said, user=user, day=day, session=f"s{day}")
            if day != erased:
                world.push(*said, user=twin, day=day, session=f"s{day}")
            if rng.random() < 0.5:
                world.work()
        world.work()

        receipt = world.client.erase(user, f"s{erased}")
        verify(world)

        assert told_of(world, twin) == told_of(world, user), (number, erased, order)
        assert "verified" == world.client.erasure(receipt.id).state
        said = [row.statement for row in world.client.recall("Session", user).memories]
        assert not any(f"Session {erased} of" in line for line in said)


def test_nothing_under_way_brings_an_erased_user_back(world: World) -> None:
    """A distilling and a consolidating worker are refused, also when the same is pushed again."""
    receipt = ReceiptId(world.client.enqueue(**talk("s1", f"I keep a {CANARY}.")).id)
    inbox, store, clock = world.container.inbox, world.container.store, world.container.erase.clock
    claim = inbox.claim_transcript(receipt, clock.now(), LEASE)
    assert claim is not None
    store.mark_owner_due(ALICE, clock.now())
    owner_claim = store.claim_owner(ALICE, clock.now(), LEASE)
    assert owner_claim is not None
    paid_for = PaidFor(ALICE, Purpose.DISTILL, (receipt,))
    replies = world.container.distill.distillers.of(ALICE)._replies  # type: ignore[attr-defined]
    hold = replies.ledger.reserve("m", 10, paid_for)

    world.client.erase("alice")
    replies.keep_reply("late", ChatReply(CANARY, "m", 1, 1), paid_for, hold)
    assert None is replies.find_reply("late")
    for _ in range(2):
        with pytest.raises(LeaseLost):
            inbox.commit_distilled(claim, [], [], clock.now())
        with pytest.raises(LeaseLost):
            store.extend_owner_lease(owner_claim, clock.now() + LEASE)
        # Pushed again it is new, and is not what the late workers held.
        again = world.client.enqueue(**talk("s1", f"I keep a {CANARY}."))
        assert (receipt, False) == (again.id, again.is_duplicate)
        assert inbox.claim_transcript(receipt, clock.now(), LEASE)
        store.mark_owner_due(ALICE, clock.now())
        assert store.claim_owner(ALICE, clock.now(), LEASE)
        world.client.erase("alice")
    with pytest.raises(NotFound):
        world.client.status(receipt)


def test_entry_that_a_reader_of_the_stream_holds_is_refused_after_the_erasure(
    world: World, stream: redis.Redis
) -> None:
    """What was pushed before the erasure is not taken in, what is pushed after it is."""
    push_on_stream(world, stream, "alice", f"I keep a {CANARY}.", "s1")
    push_on_stream(world, stream, "bob", "I have a boat.", "s1")
    key = f"{world.container.settings.key_prefix}:transcripts"
    held: Any = stream.xrange(key)
    receipt = world.client.erase("alice")
    assert {"stream": 1} == receipt.removed
    intake = make_intake(world.container)
    intake.prepare()
    intake._ingest_portion(held)
    assert {"bob"} == {row[0] for row in world.query("SELECT user_id FROM transcripts")}

    push_on_stream(world, stream, "alice", "I am back.", "s2")
    while intake.read_once():
        pass

    assert [("s2",)] == world.query("SELECT session_id FROM transcripts WHERE user_id = 'alice'")
    world.work()
    verify(world)
    assert "verified" == world.client.erasure(receipt.id).state
    assert ["I am back."] == [
        row.statement for row in world.client.recall("back", "alice").memories
    ]


def test_erased_user_is_not_cited_by_who_was_sharing_their_words(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read before the erasure, their words are not written after it into what is everyone's."""
    for user in ("alice", "bob", "carol", "dora"):
        world.tell("Staging runs in Frankfurt.", user=user, day=1)
    share = world.container.share
    share.scan("acme")
    (proposal,) = world.client.promotions()
    load = share.sharing.load_cited
    begun: list[Erasure] = []

    def load_and_erase(tenant_id: str, ids: Collection[MemoryId]) -> list[Memory]:
        found = load(tenant_id, ids)
        if not begun:
            begun.append(world.client.erase("alice"))
        return found

    monkeypatch.setattr(share.sharing, "load_cited", load_and_erase)
    with pytest.raises(errors.OwnerBusy):
        share.approve("acme", ProposalId(proposal.id), "op")
    share.approve("acme", ProposalId(proposal.id), "op")
    verify(world)

    (shared,) = world.container.store.export_memories("acme", "", None, 9)
    assert {"bob", "carol", "dora"} == {item.speaker.lower() for item in shared.evidence}
    assert "verified" == world.client.erasure(begun[0].id).state


@pytest.mark.parametrize("session", [None, "s1"], ids=["user", "session"])
@pytest.mark.parametrize("tenant", [{"tenant_id": "acme"}, {}], ids=["named", "default"])
def test_erased_subject_is_in_no_dead_letter_that_could_not_be_read(
    world: World, stream: redis.Redis, session: str | None, tenant: dict[str, str]
) -> None:
    """Also without a tenant, escaped, and broken; what others pushed stays."""
    owner = Owner(tenant.get("tenant_id", world.container.settings.default_tenant), "Zo\u00eb")
    bodies = [
        json.dumps({**tenant, "user_id": user, "session_id": name, "messages": CANARY})
        for user, name in ((owner.user_id, "s1"), ("bob", "s1"))
    ]
    for number, payload in enumerate([*bodies, bodies[0][:-1]]):
        stream.xadd(
            f"{world.container.settings.key_prefix}:transcripts",
            {"transcript": payload.replace(CANARY, f"{CANARY}-{number}")},
        )
    intake = make_intake(world.container)
    intake.prepare()
    intake.read_once()
    if "tenant_id" in tenant:
        # What is no JSON names no tenant: it is the default one's.
        world.query("UPDATE transcripts SET tenant_id = 'acme' RETURNING 1")

    world.container.erase.start(Subject(owner, session), "op")

    left = [f"{CANARY}-{number}" for number in range(3)]
    assert [False, True, False] == [bool(find_everywhere(world, stream, word)) for word in left]


def test_unreadable_dead_letter_that_is_replayed_during_an_erasure_brings_nothing_back(
    world: World, stream: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is as old as its entry of the Stream, however late it was filed."""
    body = {"schema_version": 1, "tenant_id": "acme", "user_id": "alice", "session_id": "s1"}
    said = {"messages": [{"role": "user", "content": CANARY}]}
    stream.xadd(
        f"{world.container.settings.key_prefix}:transcripts", {"transcript": json.dumps(body)}
    )
    intake = make_intake(world.container)
    intake.prepare()
    intake.read_once()
    office = world.container.dead

    def erase_and_load(_: DeadLetter) -> str:
        world.client.erase("alice")
        return json.dumps(body | said)

    monkeypatch.setattr(office.dead, "load_payload", erase_and_load)
    office.replay("acme", DeadFilter())

    assert [] == world.query("SELECT receipt FROM transcripts")


def test_proof_waits_for_what_was_under_way_when_the_shared_memories_are_held(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is everyone's is counted again by the next scan; nothing is proven the sooner for it."""
    for user in ("alice", "bob", "carol"):
        world.tell("Staging runs in Frankfurt.", user=user, day=1)
    world.container.share.scan("acme")

    def raise_busy(*_: object) -> None:
        raise errors.OwnerBusy("somebody decides")

    monkeypatch.setattr(Share, "scan", raise_busy)

    world.client.erase("alice")

    ((state, is_settled),) = world.query(
        "SELECT state, due_at - requested_at >= interval '10 minutes' FROM erasures"
    )
    assert ("purged", True) == (state, is_settled)


def test_user_with_very_many_sessions_is_erased(world: World) -> None:
    """More than one statement takes parameters: 65,535."""
    world.query(
        """
        INSERT INTO transcripts (receipt, tenant_id, user_id, session_id, idempotency_key,
            content_hash, body, time_zone, started_at, ended_at, state, due_at, received_at)
        SELECT gen_random_uuid(), 'acme', 'alice', 's1', number, '', '{"messages": []}', 'UTC',
            now(), now(), 'done', now(), now() - interval '1 hour'
        FROM generate_series(1, 66000) AS number RETURNING NULL
        """
    )

    receipt = world.container.erase.start(Subject(ALICE), "op")
    verify(world)

    assert "verified" == world.client.erasure(receipt.id).state
    assert [] == world.query("SELECT receipt FROM transcripts")


def test_what_is_pushed_after_an_erasure_is_taken_in_when_the_clock_of_redis_is_ahead(
    world: World, stream: redis.Redis
) -> None:
    """The mark is a time of the Stream's, and so is the entry's: ours plays no part."""
    key = f"{world.container.settings.key_prefix}:transcripts"
    ahead = int(world.container.erase.clock.now().timestamp() * 1000) + 60_000
    stream.xadd(key, {"transcript": json.dumps(on_stream("s1"))}, id=f"{ahead}-0")
    world.client.erase("alice")
    stream.xadd(key, {"transcript": json.dumps(on_stream("s2"))}, id=f"{ahead + 1}-0")
    intake = make_intake(world.container)
    intake.prepare()

    intake.read_once()

    assert [("s2",)] == world.query("SELECT session_id FROM transcripts")


def test_erasure_goes_on_by_itself_when_the_index_is_back(world: World) -> None:
    """Invisible it is at once; the points follow, and only then is it proven."""
    world.tell(f"I keep a {CANARY}.", day=1)
    index = world.container.erase.index
    away = pytest.MonkeyPatch()
    away.setattr(type(index), "remove_owner", _raise_away)

    receipt = world.client.erase("alice")
    assert "purging" == receipt.state
    assert "no answer" in str(receipt.last_error)
    assert [] == list(world.client.recall(CANARY, "alice").memories)
    away.undo()
    world.query("UPDATE erasures SET due_at = requested_at RETURNING 1")
    world.container.erase.run()
    assert "purged" == world.client.erasure(receipt.id).state
    verify(world)

    proven = world.client.erasure(receipt.id)
    assert ("verified", 0) == (proven.state, sum(proven.found.values()))
    assert 0 == index.count(ALICE)


def test_erasure_is_not_proven_while_something_is_left(world: World) -> None:
    """A point that a late worker wrote is found, removed, and looked for again."""
    world.tell(f"I keep a {CANARY}.", day=1)
    (row,) = world.container.store.export_memories("acme", "alice", None, 9)
    world.container.project.run()
    late = _point_of(row)
    receipt = world.client.erase("alice")
    world.work()
    world.container.erase.index.apply([late], ())

    verify(world)
    assert "purged" == world.client.erasure(receipt.id).state
    verify(world)

    assert ErasureState.VERIFIED.value == world.client.erasure(receipt.id).state
    assert 0 == world.container.erase.index.count(ALICE)


def test_receipt_of_an_erasure_is_the_tenants_own_and_keeps_no_name(world: World) -> None:
    """Another tenant has no such erasure; when it is proven not even the id of the user is kept."""
    world.tell("My home is Berlin.", day=1)
    receipt = world.client.erase("alice", "nothing-of-that-name")
    assert {} == {name: n for name, n in receipt.removed.items() if n}
    receipt = world.client.erase("alice")
    verify(world)

    assert [receipt.id] == [item.id for item in world.client.erasures()][:1]
    assert Subject(ALICE).key == receipt.subject
    assert [(None, None)] * 2 == world.query("SELECT user_id, session_id FROM erasures")
    with pytest.raises(errors.NotFound):
        world.container.erase.erasures.find("other", receipt.id)  # type: ignore[arg-type]


def on_stream(session: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": "I have a boat."}]
    named = {"tenant_id": "acme", "user_id": "alice", "session_id": session}
    return {"schema_version": 1, **named, "messages": messages}


def talk(session: str, text: str) -> dict[str, Any]:
    return {
        "user_id": "alice",
        "session_id": session,
        "started_at": "2026-03-01T09:00:00Z",
        "messages": [{"role": "user", "content": text}],
    }


def _raise_away(*_: object) -> None:
    raise IndexUnavailable("no answer")


def _point_of(row: Memory) -> Any:  # noqa: ANN401
    from pipelines.ports import IndexPoint

    return IndexPoint(
        row.id,
        row.owner,
        row.scope,
        row.session_id,
        row.version,
        row.vector,
        row.statement,
        row.state,
        row.valid_from,
    )
