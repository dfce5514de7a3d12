"""What holds for every vector index, wherever it keeps its points."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipelines.errors import EmbeddingMismatch, IndexUnavailable
from pipelines.model import MemoryId, MemoryState, Owner, Scope, Vector
from pipelines.ports import IndexedPoint, Removal
from pipelines.testing.index import InMemoryIndex
from tests.builders import day
from tests.contract.points import (
    ALICE,
    BOB,
    OTHER_ALICE,
    SIZE,
    along,
    found,
    gone,
    make_point,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pipelines.ports import Hit, RebuildableIndex, VectorIndex
    from tests.contract.conftest import Place


def test_search_finds_by_meaning_when_no_word_is_shared(index: VectorIndex) -> None:
    """A memory near in meaning comes first even without a common word, and has no word score."""
    near, far = make_point("Alice owns a terrier", along(1)), make_point("It rained", along(4))
    index.apply([near, far], [])
    hits = index.search(ALICE, None, along(1, 0.1), "dogs?", 5)
    assert [near.memory_id, far.memory_id] == found(hits)
    assert hits[0].cosine == pytest.approx(0.995, abs=1e-3)
    assert hits[0].lexical is None


def test_search_finds_by_word_when_the_meaning_is_far(index: VectorIndex) -> None:
    """A rare word brings in a memory that the dense leg left out, with its cosine filled in."""
    crowd = [make_point("She likes tea", along(1, 0.01 * number)) for number in range(5)]
    named = make_point("Her passport is XK-4417", along(4))
    index.apply([*crowd, named], [])
    hits = index.search(ALICE, None, along(1), "passports", 5)
    (hit,) = [hit for hit in hits if hit.memory_id == named.memory_id]
    assert 6 == len(hits)
    assert hit.cosine == pytest.approx(0.0, abs=1e-6)
    assert hit.lexical is not None
    assert hit.lexical > 0
    assert hits[-1] == hit


def test_search_weighs_a_rare_word_above_a_common_one(index: VectorIndex) -> None:
    """Of two equally long statements the one with the owner's rarer word scores higher."""
    rare = make_point("the kayak trip")
    common = [make_point(f"the garden trip number{number}") for number in range(6)]
    index.apply([rare, *common], [])
    hits = index.search(ALICE, None, along(0), "kayak garden", 10)
    scores = {hit.memory_id: hit.lexical or 0.0 for hit in hits}
    assert scores[rare.memory_id] > max(scores[point.memory_id] for point in common)


def test_search_scores_words_by_the_owner_alone_when_others_use_them(index: VectorIndex) -> None:
    """Other users' statements change neither an owner's hits nor one of the scores."""
    mine = [make_point("kayak tour"), make_point("garden tour"), make_point("long walk")]
    index.apply(mine, [])
    before = index.search(ALICE, None, along(0), "kayak tour", 5)
    crowd = [
        make_point("kayak again", owner=owner) for owner in (BOB, OTHER_ALICE) for _ in range(20)
    ]
    index.apply(crowd, [])
    assert before == index.search(ALICE, None, along(0), "kayak tour", 5)


@pytest.mark.parametrize("stranger", [BOB, OTHER_ALICE])
def test_search_never_returns_a_foreign_memory_when_it_is_identical(
    index: VectorIndex, stranger: Owner
) -> None:
    """Neither another user's nor another tenant's memory is found, however similar."""
    foreign = make_point("the vault code", along(2), owner=stranger)
    index.apply([foreign], [])
    assert [] == index.search(ALICE, None, along(2), "the vault code", 10)
    assert [] == index.search(ALICE, "s1", along(2), "the vault code", 10)
    assert [[]] == index.neighbours(ALICE, [along(2)], 10)
    assert 0 == index.count(ALICE)
    assert [foreign.memory_id] == found(index.search(stranger, None, along(2), "vault", 10))


def test_search_returns_session_memories_when_their_session_is_given(index: VectorIndex) -> None:
    """A memory of session scope is seen from its own session only, one of user scope always."""
    wide = make_point("a wide one", session_id="s1")
    narrow = make_point("a narrow one", scope=Scope.SESSION, session_id="s1")
    index.apply([wide, narrow], [])

    def seen_from(session_id: str | None) -> set[MemoryId]:
        return set(found(index.search(ALICE, session_id, along(0), "one", 10)))

    assert {wide.memory_id} == seen_from(None)
    assert {wide.memory_id} == seen_from("s2")
    assert {wide.memory_id, narrow.memory_id} == seen_from("s1")


def test_search_returns_what_is_everyones_when_everyone_is_asked(index: VectorIndex) -> None:
    """A tenant's shared memories are found under their own owner, and under no user."""
    shared = make_point("green tea", owner=Owner.everyone("acme"), scope=Scope.GLOBAL)
    own = make_point("green tea")
    index.apply([shared, own], [])

    found_shared = index.search(Owner.everyone("acme"), None, along(0), "green tea", 5)

    assert [shared.memory_id] == found(found_shared)
    assert [own.memory_id] == found(index.search(ALICE, None, along(0), "green tea", 5))
    assert [] == index.search(Owner.everyone("globex"), None, along(0), "green tea", 5)


def test_search_takes_the_limit_from_each_leg(index: VectorIndex) -> None:
    """At most ``limit`` come by meaning and ``limit`` by words, the nearest of each."""
    by_meaning = [make_point("tea", along(1, 0.1 * number)) for number in range(4)]
    by_word = [make_point("kayak " * (4 - number), along(5)) for number in range(4)]
    index.apply([*by_meaning, *by_word], [])
    hits = index.search(ALICE, None, along(1), "kayak", 2)
    expected = {point.memory_id for point in (*by_meaning[:2], *by_word[:2])}
    assert expected == set(found(hits))


@pytest.mark.parametrize(
    "text", ["", "   ", "?!…", "the of and", "🙂🙃", "день рождения", "東京", "a\u0000b", "'" * 99]
)
def test_search_answers_when_the_text_has_odd_characters(index: VectorIndex, text: str) -> None:
    """Whatever is asked, the dense leg answers; such a text can also be indexed."""
    point = make_point(text, along(3))
    index.apply([point], [])
    assert [point.memory_id] == found(index.search(ALICE, None, along(3), text, 5))


@pytest.mark.parametrize(
    ("stated", "asked"),
    [
        ("Сегодня день рождения", "рождения"),
        ("彼女は東京に住んでいる", "東京"),
        ("Sie wohnt in KÖLN", "köln"),
        ("Mia\u2019s allergic to PEANUTS", "peanut allergy"),
    ],
)
def test_search_finds_by_word_when_the_script_is_not_plain_ascii(
    index: VectorIndex, stated: str, asked: str
) -> None:
    """Words are compared without case, in any script, and English ones by their stem."""
    index.apply([make_point(stated, along(3))], [])
    (hit,) = index.search(ALICE, None, along(0), asked, 5)
    assert hit.lexical is not None


def test_search_leaves_out_what_was_superseded_unless_its_time_is_asked_for(
    index: VectorIndex,
) -> None:
    """Today's truth by default; with a time, what held then, from its first second to its last."""
    past = make_point(
        "lives in Porto",
        state=MemoryState.SUPERSEDED,
        valid_from=day(0),
        valid_to=day(10),
        scope=Scope.SESSION,
    )
    now = make_point("lives in Turin", along(0, 0.2), valid_from=day(10))
    index.apply([past, now, make_point("lives in Rome", owner=BOB)], [])

    def seen(as_of: datetime | None, session_id: str | None = "s1") -> list[MemoryId]:
        return found(index.search(ALICE, session_id, along(0), "lives", 5, as_of=as_of))

    assert [now.memory_id] == seen(None)
    assert [past.memory_id] == seen(day(0))
    assert [past.memory_id] == seen(day(10) - timedelta(seconds=1))
    assert [now.memory_id] == seen(day(10))
    assert [now.memory_id] == seen(day(9_000))
    assert [] == seen(day(0) - timedelta(seconds=1))
    assert [] == seen(day(5), session_id=None)


def test_neighbours_leaves_out_what_was_superseded(index: VectorIndex) -> None:
    """A new fact is compared with what holds."""
    past = make_point("a", along(1), state=MemoryState.SUPERSEDED, valid_to=day(3))
    now = make_point("b", along(1, 0.5))
    index.apply([past, now], [])

    assert [[now.memory_id]] == index.neighbours(ALICE, [along(1)], 5)
    assert 2 == index.count(ALICE)


def test_apply_moves_a_memory_into_the_past_when_it_is_superseded(index: VectorIndex) -> None:
    """The newer version of a point takes it out of today's answers and ends its interval."""
    point = make_point("lives in Porto")
    closed = replace(point, version=2, state=MemoryState.SUPERSEDED, valid_to=day(4))
    index.apply([point], [])
    index.apply([closed], [])
    index.apply([point], [])

    def seen(as_of: datetime | None) -> list[MemoryId]:
        return found(index.search(ALICE, None, along(0), "Porto", 5, as_of=as_of))

    assert [] == seen(None)
    assert [point.memory_id] == seen(day(3))
    assert [] == seen(day(4))


def test_index_is_empty_until_anybody_has_a_point(index: VectorIndex) -> None:
    """Whoever starts on a new index is told to fill it."""
    assert index.is_empty()
    point = make_point("tea", owner=BOB)
    index.apply([point], [])
    assert not index.is_empty()
    index.apply([], [gone(point)])
    assert index.is_empty()


def test_every_call_answers_when_the_index_is_empty(index: VectorIndex) -> None:
    """Nothing stored is nothing found, and nothing to do is done."""
    index.apply([], [])
    index.apply([], [Removal(MemoryId(uuid.uuid4()), version) for version in (None, 3)])
    assert [] == index.search(ALICE, "s1", along(0), "anything", 5)
    assert [] == index.neighbours(ALICE, [], 5)
    assert [[], []] == index.neighbours(ALICE, [along(0), along(1)], 5)
    assert 0 == index.count(ALICE)


def test_apply_changes_nothing_when_the_version_is_older(index: VectorIndex) -> None:
    """A late, older projection neither moves the vector nor brings back words or scope."""
    new = make_point("kayak", along(1), version=3)
    old = make_point("garden", along(5), version=2, memory_id=new.memory_id, scope=Scope.SESSION)
    index.apply([new], [])
    index.apply([old, make_point("another", along(6))], [])
    hit = index.search(ALICE, None, along(1), "kayak garden", 1)[0]
    assert (new.memory_id, 2) == (hit.memory_id, index.count(ALICE))
    assert hit.cosine == pytest.approx(1.0, abs=1e-5)
    expected = InMemoryIndex()
    expected.apply([new, make_point("another", along(6))], [])
    (same,) = expected.search(ALICE, None, along(1), "kayak", 1)
    assert hit.lexical == pytest.approx(same.lexical, rel=1e-4)


def test_apply_replaces_everything_when_the_version_is_newer(index: VectorIndex) -> None:
    """A newer projection replaces vector, words and scope."""
    old = make_point("garden", along(5), scope=Scope.SESSION)
    new = make_point("kayak", along(1), version=2, memory_id=old.memory_id)
    index.apply([old], [])
    index.apply([new], [])
    (hit,) = index.search(ALICE, None, along(1), "kayak", 5)
    assert hit.cosine == pytest.approx(1.0, abs=1e-5)
    assert hit.lexical is not None
    (without_word,) = index.search(ALICE, None, along(1), "garden", 5)
    assert without_word.lexical is None


def test_apply_keeps_the_newest_when_a_batch_holds_several_versions(index: VectorIndex) -> None:
    """The order inside a batch does not matter."""
    old = make_point("garden", along(5))
    new = make_point("kayak", along(1), version=7, memory_id=old.memory_id)
    index.apply([new, old], [])
    assert [[old.memory_id]] == index.neighbours(ALICE, [along(1)], 1)
    (hit,) = index.search(ALICE, None, along(1), "kayak", 5)
    assert hit.cosine == pytest.approx(1.0, abs=1e-5)


def test_apply_is_harmless_when_it_is_repeated(index: VectorIndex) -> None:
    """The same batch twice leaves the same answers and one point each."""
    points = [make_point(f"tea number {number}", along(number)) for number in range(4)]
    removed = make_point("gone")
    index.apply([*points, removed], [gone(removed)])
    before = index.search(ALICE, None, along(1), "tea", 10)
    index.apply(points, [gone(removed)])
    assert before == index.search(ALICE, None, along(1), "tea", 10)
    assert 4 == index.count(ALICE)


def test_apply_makes_removed_memories_unfindable(index: VectorIndex) -> None:
    """What was removed is found by neither leg and not counted; the others stay."""
    stays, goes = make_point("kayak stays", along(1)), make_point("kayak goes", along(2))
    index.apply([stays, goes], [])
    index.apply([], [gone(goes)])
    assert [stays.memory_id] == found(index.search(ALICE, "s1", along(2), "kayak goes", 10))
    assert [[stays.memory_id]] == index.neighbours(ALICE, [along(2)], 10)
    assert 1 == index.count(ALICE)


def test_apply_keeps_the_newer_point_when_a_removal_comes_late(index: VectorIndex) -> None:
    """A removal that was decided before the point was written again removes nothing."""
    point = make_point("kayak")
    newer = replace(point, version=4)
    index.apply([newer], [])
    index.apply([], [Removal(point.memory_id, 3)])
    assert 1 == index.count(ALICE)
    index.apply([], [Removal(point.memory_id, 4)])
    assert 0 == index.count(ALICE)


def test_apply_removes_any_version_when_the_memory_has_no_row(index: VectorIndex) -> None:
    """What PostgreSQL knows nothing of goes, however new it looks; its neighbours stay."""
    orphan, stays = make_point("kayak", version=9), make_point("tea")
    index.apply([orphan, stays], [])
    index.apply([], [Removal(orphan.memory_id, None), Removal(stays.memory_id, 0)])
    assert [stays.memory_id] == found(index.search(ALICE, None, along(0), "kayak tea", 5))


def test_remove_owner_removes_all_of_one_user_and_nothing_else(index: VectorIndex) -> None:
    """Points of any version, state and session go; other users and tenants keep theirs."""
    past = make_point("b", state=MemoryState.SUPERSEDED, valid_to=day(1), version=7)
    mine = [make_point("a", session_id="s9", scope=Scope.SESSION), past]
    others = [make_point("c", owner=owner) for owner in (BOB, OTHER_ALICE)]
    index.apply([*mine, *others], [])
    index.remove_owner(ALICE)
    index.remove_owner(ALICE)
    assert [0, 1, 1] == [index.count(owner) for owner in (ALICE, BOB, OTHER_ALICE)]


def test_scan_gives_every_point_once_in_the_order_of_ids(index: VectorIndex) -> None:
    """Whoever owns it, in whatever state: page by page until a short one, with what it is."""
    points = [
        make_point(
            f"tea {number}",
            owner=(ALICE, BOB, OTHER_ALICE)[number % 3],
            version=number + 1,
            scope=Scope.SESSION if number % 2 else Scope.USER,
            state=MemoryState.SUPERSEDED if number % 4 == 0 else MemoryState.ACTIVE,
            valid_to=day(1) if number % 4 == 0 else None,
        )
        for number in range(11)
    ]
    index.apply(points, [])
    points.sort(key=lambda point: point.memory_id)
    expected = [
        IndexedPoint(each.memory_id, each.owner, each.scope, each.version, each.state)
        for each in points
    ]

    pages: list[list[IndexedPoint]] = [index.scan(None, 4)]
    while len(pages[-1]) == 4:
        pages.append(index.scan(pages[-1][-1].memory_id, 4))

    assert [expected[:4], expected[4:8], expected[8:]] == pages
    assert expected[3:5] == index.scan(_just_before(expected[3].memory_id), 2)
    assert [] == index.scan(expected[-1].memory_id, 5)
    assert [] == index.scan(MemoryId(uuid.UUID(int=2**128 - 1)), 5)


def _just_before(key: MemoryId) -> MemoryId:
    return MemoryId(uuid.UUID(int=key.int - 1))


def test_neighbours_answers_each_vector_in_order_when_several_are_asked(index: VectorIndex) -> None:
    """Every vector gets its own nearest memories, best first, of any scope and session."""
    points = [
        make_point("a", along(1)),
        make_point("b", along(2), scope=Scope.SESSION, session_id="s9"),
        make_point("c", along(2, 0.9)),
        make_point("d", along(2), owner=BOB),
    ]
    index.apply(points, [])
    a, b, c, _ = (point.memory_id for point in points)
    assert [[a], [b], [c]] == index.neighbours(ALICE, [along(1), along(2), along(2, 1.0)], 1)
    assert [[b, c]] == index.neighbours(ALICE, [along(2)], 2)


def test_neighbours_leaves_out_what_is_farther_than_asked_for(index: VectorIndex) -> None:
    """However few are left."""
    near, far = make_point("a", along(2, 0.6)), make_point("b", along(2, 2.0))
    index.apply([near, far], [])

    def found(min_cosine: float) -> list[MemoryId]:
        return index.neighbours(ALICE, [along(2)], 5, min_cosine=min_cosine)[0]

    assert [near.memory_id, far.memory_id] == found(0.4)
    assert [near.memory_id] == found(0.7)
    assert [] == found(0.9)


def test_search_answers_as_the_exact_index_does_when_the_corpus_is_mixed(
    index: VectorIndex,
) -> None:
    """Hits and both scores are those of an exact scan with BM25 over the owner's words."""
    random = np.random.default_rng(7)
    words = ["kayak", "garden", "tea", "violin", "running", "Lisbon", "the", "sister"]
    points = [
        make_point(
            " ".join(random.choice(words, size=int(random.integers(1, 9)))) + " note",
            _unit(random.standard_normal(SIZE)),
            owner=owner,
            scope=Scope.SESSION if number % 5 == 0 else Scope.USER,
            session_id=f"s{number % 3}",
            state=MemoryState.SUPERSEDED if number % 7 == 0 else MemoryState.ACTIVE,
            valid_to=day(number) if number % 7 == 0 else None,
        )
        for owner in (ALICE, BOB)
        for number in range(60)
    ]
    exact = InMemoryIndex()
    for each in (exact, index):
        each.apply(points, [])
    for query in ("kayak in Lisbon", "runs violins", "tea tea garden", "the", "zebra"):
        vector = _unit(random.standard_normal(SIZE))
        for session_id in (None, "s0"):
            expected = exact.search(ALICE, session_id, vector, query, 60)
            assert_same(expected, index.search(ALICE, session_id, vector, query, 60))
            expected = exact.search(ALICE, session_id, vector, query, 60, as_of=day(20))
            assert_same(expected, index.search(ALICE, session_id, vector, query, 60, as_of=day(20)))
        assert exact.neighbours(ALICE, [vector], 7) == index.neighbours(ALICE, [vector], 7)


def _unit(raw: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Vector:
    return (raw / np.linalg.norm(raw)).astype(np.float32)


def assert_same(expected: Sequence[Hit], actual: Sequence[Hit]) -> None:
    """The same hits with the same scores, up to rounding."""
    assert found(expected) == found(actual)
    for one, other in zip(expected, actual, strict=True):
        assert other.cosine == pytest.approx(one.cosine, abs=1e-5)
        assert (one.lexical is None) == (other.lexical is None)
        assert (other.lexical or 0.0) == pytest.approx(one.lexical or 0.0, rel=1e-4)


def test_calls_are_safe_when_eight_threads_write_and_read(index: VectorIndex) -> None:
    """Nothing written is lost and no call fails while eight threads use one index."""

    def work(thread: int) -> int:
        owner = Owner("acme", f"user{thread % 4}")
        for round_ in range(6):
            points = [
                make_point(f"tea {thread} {round_}", along(n % SIZE, 0.1 * round_), owner=owner)
                for n in range(5)
            ]
            index.apply(points, [gone(points[0])])
            assert found(index.search(owner, None, along(round_ % SIZE), "tea", 5))
            assert index.neighbours(owner, [along(0), along(1)], 3)
        return thread

    with ThreadPoolExecutor(8) as pool:
        assert list(range(8)) == list(pool.map(work, range(8)))
    assert [48] * 4 == [index.count(Owner("acme", f"user{number}")) for number in range(4)]


def test_prepare_keeps_what_is_there_when_the_index_is_opened_again(lasting: Place) -> None:
    """A second start finds what the first one wrote."""
    first = lasting.open()
    first.prepare()
    first.prepare()
    point = make_point("kayak", along(1))
    first.apply([point], [])
    second = lasting.open()
    second.prepare()
    assert [point.memory_id] == found(second.search(ALICE, None, along(1), "kayak", 5))


@pytest.mark.parametrize(("model", "size"), [("other", SIZE), ("Some/Model v2", SIZE * 2)])
def test_prepare_refuses_another_embedding_model_when_the_place_is_filled(
    lasting: Place, model: str, size: int
) -> None:
    """Another model or size is refused by name, with both collections and the remedy."""
    first = lasting.open()
    first.prepare()
    with pytest.raises(EmbeddingMismatch) as refusal:
        lasting.open(model, size).prepare()
    assert "some-model-v2-8" in str(refusal.value)
    assert f"-{size}'" in str(refusal.value)
    assert "set the embedding model back" in str(refusal.value)
    again = lasting.open()
    again.prepare()


# ---- built anew -------------------------------------------------------------------------------


def test_successor_answers_nobody_until_the_switch(index: RebuildableIndex) -> None:
    """What is built beside the index is seen after the switch, and then it alone."""
    before, after = make_point("before", along(1)), make_point("after", along(1))
    index.apply([before], [])
    assert index.make_successor("aaaa1111")
    assert not index.make_successor("aaaa1111")
    index.successor("aaaa1111").apply([after], [])
    assert [before.memory_id] == found(index.search(ALICE, None, along(1), "", 5))
    assert [after.memory_id] == [
        item.memory_id for item in index.successor("aaaa1111").scan(None, 9)
    ]

    index.switch("aaaa1111")

    assert [after.memory_id] == found(index.search(ALICE, None, along(1), "", 5))
    assert [[after.memory_id]] == index.neighbours(ALICE, [along(1)], 5)
    index.apply([before], [gone(after)])
    assert [before.memory_id] == [item.memory_id for item in index.scan(None, 9)]


def test_successor_takes_the_place_of_one_that_did_before(index: RebuildableIndex) -> None:
    """An index can be built anew any number of times, and leaves nothing behind."""
    points = [make_point(f"tea {number}") for number in range(3)]
    for number, point in enumerate(points):
        index.make_successor(f"aaaa000{number}")
        index.successor(f"aaaa000{number}").apply([point], [])
        index.switch(f"aaaa000{number}")
        index.drop_leftovers(None)
    assert [points[-1].memory_id] == [item.memory_id for item in index.scan(None, 9)]
    assert 0 == index.drop_leftovers(None)


def test_successor_is_unavailable_when_it_was_not_made(index: RebuildableIndex) -> None:
    """Nobody writes into what is not there, and nothing comes into being by writing."""
    stranger = index.successor("bbbb2222")
    with pytest.raises(IndexUnavailable):
        stranger.apply([make_point("tea")], [])
    with pytest.raises(IndexUnavailable):
        stranger.scan(None, 5)
    assert index.make_successor("bbbb2222")


def test_drop_leftovers_keeps_what_answers_and_what_is_being_built(index: RebuildableIndex) -> None:
    """What a rebuild that died left is deleted; the live index and the present one are not."""
    live, built = make_point("live"), make_point("built")
    index.apply([live], [])
    for token in ("cccc0001", "cccc0002", "cccc0003"):
        index.make_successor(token)
    index.successor("cccc0002").apply([built], [])

    assert 2 == index.drop_leftovers("cccc0002")

    assert 1 == index.count(ALICE)
    assert [built.memory_id] == [
        item.memory_id for item in index.successor("cccc0002").scan(None, 5)
    ]
    assert 1 == index.drop_leftovers(None)
    assert 1 == index.count(ALICE)


def test_switched_index_is_found_when_it_is_opened_again(lasting: Place) -> None:
    """A later start finds the one that took the place, under the same embedding model."""
    first = lasting.open()
    first.prepare()
    first.apply([make_point("before")], [])
    first.make_successor("dddd1111")
    after = make_point("after")
    first.successor("dddd1111").apply([after], [])
    assert not first.is_switched("dddd1111")
    first.switch("dddd1111")
    first.drop_leftovers(None)

    second = lasting.open()
    second.prepare()

    assert [after.memory_id] == [item.memory_id for item in second.scan(None, 5)]
    with pytest.raises(EmbeddingMismatch):
        lasting.open("other", SIZE).prepare()


def test_successor_is_found_when_the_index_is_opened_again(lasting: Place) -> None:
    """A rebuild goes on where a process that was killed has left it."""
    first = lasting.open()
    first.prepare()
    first.make_successor("eeee1111")
    point = make_point("tea")
    first.successor("eeee1111").apply([point], [])

    second = lasting.open()
    second.prepare()

    assert not second.make_successor("eeee1111")
    assert [point.memory_id] == [
        item.memory_id for item in second.successor("eeee1111").scan(None, 5)
    ]
    assert second.is_empty()


def test_searches_find_everything_while_the_index_is_switched(index: RebuildableIndex) -> None:
    """No call fails and no memory is missed by those who search meanwhile."""
    points = [make_point(f"tea {number}", along(number % SIZE)) for number in range(40)]
    index.apply(points, [])
    stop = threading.Event()

    def search() -> int:
        count = 0
        while not stop.is_set():
            assert 40 == len(index.search(ALICE, None, along(0), "tea", 40))
            count += 1
        return count

    with ThreadPoolExecutor(4) as pool:
        searching = [pool.submit(search) for _ in range(4)]
        for number in range(2):
            token = f"ffff000{number}"
            index.make_successor(token)
            index.successor(token).apply(points, [])
            index.switch(token)
            index.drop_leftovers(None)
        stop.set()
        assert all(future.result() for future in searching)
