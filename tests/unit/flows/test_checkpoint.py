"""Saving, loading and cleaning up, on stores in memory."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from config.checkpoints import CheckpointPolicy
from pipelines.errors import (
    CheckpointConflict,
    DamagedCheckpoint,
    IdempotencyConflict,
    InputError,
    NotFound,
)
from pipelines.flows.checkpoint import Checkpoints, NewCheckpoint
from pipelines.flows.clean_checkpoints import CleanCheckpoints, Cleaned
from pipelines.outcome import Done, Skipped
from pipelines.ports import HotState
from pipelines.stages.checkpoints.canonical import canonical_json
from pipelines.stages.checkpoints.chain import CheckpointId, Thread
from pipelines.testing.checkpoints import InMemoryCheckpoints, InMemoryHotCheckpoints
from pipelines.testing.surroundings import ManualClock
from tests.builders import ALICE, BOB

THREAD = Thread(ALICE, "t")
POLICY = CheckpointPolicy(max_depth=3, batch=4)
LONG = "a state is long beside what changes in it. " * 10


@dataclass
class World:
    """The flows, and what they rest on."""

    policy: CheckpointPolicy = POLICY
    store: InMemoryCheckpoints = field(default_factory=InMemoryCheckpoints)
    hot: InMemoryHotCheckpoints = field(default_factory=InMemoryHotCheckpoints)
    clock: ManualClock = field(default_factory=ManualClock)

    @property
    def flow(self) -> Checkpoints:
        return Checkpoints(self.store, self.hot, self.clock, self.policy)

    @property
    def cleaning(self) -> CleanCheckpoints:
        return CleanCheckpoints(self.store, self.clock, self.policy)

    def save(self, turn: int, thread: Thread = THREAD, **changes: Any) -> CheckpointId:  # noqa: ANN401
        self.clock.advance(timedelta(minutes=1))
        new = NewCheckpoint(thread, {"long": LONG, "turn": turn}, **changes)
        return self.flow.save(new).checkpoint.id

    def fill(self, count: int, thread: Thread = THREAD) -> list[CheckpointId]:
        return [self.save(turn, thread) for turn in range(1, count + 1)]

    def damage(self, *sequences: int) -> None:
        """What is stored is not what was saved; and Redis has forgotten it."""
        self.hot.kept.clear()
        links = self.store.links[THREAD]
        for place, link in enumerate(links):
            if link.checkpoint.sequence in sequences:
                links[place] = replace(link, content=link.content.replace(b"turn", b"burn"))


def state_of(turn: int) -> bytes:
    return canonical_json({"long": LONG, "turn": turn})


def test_newest_state_comes_from_close_at_hand_after_it_was_saved() -> None:
    """The store is asked whether it still is the newest, and reads no chain."""
    world = World()
    ids = world.fill(3)
    loads = world.store.loads

    loaded = world.flow.load(THREAD)

    assert (ids[2], ids[2], state_of(3)) == (loaded.checkpoint.id, loaded.newest, loaded.state)
    assert loads == world.store.loads


@pytest.mark.parametrize("hot", ["lost", "stale", "wrong", "foreign"])
def test_entry_close_at_hand_never_changes_an_answer(hot: str) -> None:
    """Lost, late, damaged or of nobody: the newest one is loaded, and is hot again."""
    world = World()
    ids = world.fill(5)
    kept = world.hot.kept
    entries = {
        "stale": HotState(ids[1], state_of(2), world.clock.now()),
        "wrong": replace(kept[THREAD], state=state_of(4)),
        "foreign": replace(kept[THREAD], id=CheckpointId(uuid.uuid4())),
    }
    kept.clear()
    if hot in entries:
        kept[THREAD] = entries[hot]

    assert state_of(5) == world.flow.load(THREAD).state
    assert HotState(ids[4], state_of(5), kept[THREAD].saved_at) == kept[THREAD]


def test_thread_that_goes_while_it_is_loaded_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the entry close at hand is damaged, and the store is asked twice."""
    world = World()
    world.fill(2)
    world.hot.kept[THREAD] = replace(world.hot.kept[THREAD], state=state_of(9))
    load = world.store.load_newest

    def load_and_forget(*asked: Any) -> Any:  # noqa: ANN401
        found = load(*asked)
        world.store.links.clear()
        return found

    monkeypatch.setattr(world.store, "load_newest", load_and_forget)
    with pytest.raises(NotFound):
        world.flow.load(THREAD)


@pytest.mark.parametrize("hot", ["lost", "stale", "wrong", "alike"])
def test_save_on_what_is_not_the_newest_state_is_right(hot: str) -> None:
    """A delta belongs to one state; where that is not the newest one, all is stored."""
    world = World()
    ids = world.fill(2)
    if hot == "lost":
        world.hot.kept.clear()
    elif hot == "stale":
        world.hot.kept[THREAD] = HotState(ids[0], state_of(1), world.clock.now())
    else:
        known = {"no": 1} if hot == "wrong" else {"long": LONG, "turn": 2, "no": 1}
        world.hot.kept[THREAD] = HotState(ids[1], canonical_json(known), world.clock.now())

    world.save(3)
    world.hot.kept.clear()

    assert state_of(3) == world.flow.load(THREAD).state


def test_every_checkpoint_is_loaded_by_its_id() -> None:
    """Full or a delta, of its own thread alone."""
    world = World()
    ids = world.fill(6)

    assert [state_of(turn) for turn in range(1, 7)] == [
        world.flow.load(THREAD, key).state for key in ids
    ]
    deltas = [item.is_delta for item in world.store.list_newest(THREAD, 9)]
    assert [True, False, True, True, True, False] == deltas
    for thread, key in ((THREAD, CheckpointId(uuid.uuid4())), (Thread(BOB, "t"), ids[0])):
        with pytest.raises(NotFound):
            world.flow.load(thread, key)
    with pytest.raises(NotFound):
        world.flow.load(Thread(BOB, "t"))


def test_save_that_expects_another_parent_is_refused() -> None:
    """It names what there is instead."""
    world = World()
    ids = world.fill(2)

    with pytest.raises(CheckpointConflict) as caught:
        world.save(3, parent=ids[0])

    assert ids[1] == caught.value.newest
    assert state_of(2) == world.flow.load(THREAD).state


def test_save_that_is_repeated_is_one_save_and_does_not_bring_back_an_old_state() -> None:
    """What is close at hand stays the newest."""
    world = World()
    key = CheckpointId(uuid.uuid4())
    world.save(1, id=key)
    world.save(2)

    assert key == world.save(1, id=key)

    assert state_of(2) == world.hot.kept[THREAD].state
    with pytest.raises(IdempotencyConflict):
        world.save(3, id=key)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"state": {"a": [b""]}}, "state"),
        ({"state": "x" * 100}, "state"),
        ({"state": 1, "metadata": {"a": "x" * 100}}, "metadata"),
    ],
    ids=["no-json", "large", "large-metadata"],
)
def test_state_that_cannot_be_kept_is_refused_with_its_field(
    changes: dict[str, Any], place: str
) -> None:
    """And a remedy, but nothing of what stands in it; nothing was saved."""
    world = World(CheckpointPolicy(max_bytes=99, max_metadata_bytes=99))

    with pytest.raises(InputError) as caught:
        world.flow.save(NewCheckpoint(THREAD, **changes))

    assert place == caught.value.field
    assert not world.store.links[THREAD]


@pytest.mark.parametrize(
    ("damaged", "sound"),
    [((5,), 4), ((6,), 5), ((4, 5, 6), 3), ((6, 5, 3), 2), ((5, 1, 2, 3), 0), ((5, 3, 2), 1)],
    ids=str,
)
def test_damaged_checkpoint_is_never_handed_out_and_names_the_newest_sound_one(
    damaged: tuple[int, ...], sound: int
) -> None:
    """Which is given where it will do: of the same chain, or of one before it.

    The first and the fifth are full snapshots; what rests on a damaged one is damaged.
    """
    world = World()
    ids = world.fill(6)
    world.damage(*damaged)
    expected = ids[sound - 1] if sound else None

    with pytest.raises(DamagedCheckpoint) as caught:
        world.flow.load(THREAD)

    assert (ids[5], expected) == (caught.value.damaged, caught.value.sound)
    if expected is None:
        with pytest.raises(DamagedCheckpoint):
            world.flow.load(THREAD, sound=True)
        return
    loaded = world.flow.load(THREAD, sound=True)
    assert (expected, ids[5], state_of(sound)) == (
        loaded.checkpoint.id, loaded.newest, loaded.state,
    )  # fmt: skip
    assert THREAD not in world.hot.kept


def test_thread_goes_on_behind_a_damaged_checkpoint() -> None:
    """What is saved then rests on nothing that is damaged."""
    world = World()
    ids = world.fill(3)
    world.damage(1, 3)

    newest = world.save(4, parent=ids[2])
    world.hot.kept.clear()

    assert (newest, state_of(4)) == (
        world.flow.load(THREAD).checkpoint.id, world.flow.load(THREAD).state,
    )  # fmt: skip


def test_fork_begins_a_thread_that_rests_on_nothing() -> None:
    """The thread that it came from may go."""
    world = World()
    ids = world.fill(3)
    key = CheckpointId(uuid.uuid4())

    saved = world.flow.fork(THREAD, ids[1], "branch", key)
    again = world.flow.fork(THREAD, ids[1], "branch", key)
    world.store.links[THREAD].clear()
    world.hot.kept.clear()
    branch = Thread(ALICE, "branch")
    world.save(9, branch, parent=key)

    shown = saved.checkpoint
    assert (ids[1], "t", 1, False) == (shown.parent, shown.origin, shown.sequence, shown.is_delta)
    assert again.is_duplicate
    assert state_of(2) == world.flow.load(branch, key).state
    assert state_of(9) == world.flow.load(branch).state


def test_fork_to_a_thread_that_has_begun_is_refused() -> None:
    """Nothing is written over; nor is a thread a fork of itself."""
    world = World()
    world.fill(1)
    world.fill(1, Thread(ALICE, "branch"))

    with pytest.raises(CheckpointConflict):
        world.flow.fork(THREAD, None, "branch")
    with pytest.raises(InputError):
        world.flow.fork(THREAD, None, "t")


# ---- cleaning up ---------------------------------------------------------------------------------


def test_cleaning_keeps_the_newest_of_each_thread_and_all_of_their_states() -> None:
    """Whatever they rested on; a second time it finds nothing."""
    world = World()
    ids = {thread: world.fill(count, thread) for thread, count in THREADS.items()}
    world.hot.kept.clear()

    would = world.cleaning.clean(dry_run=True)
    before = {thread: len(links) for thread, links in world.store.links.items()}
    outcome = world.cleaning.run()

    assert before == dict(THREADS)
    for thread, keys in ids.items():
        kept = [item.id for item in reversed(world.store.list_newest(thread, 99))]
        assert keys[-POLICY.keep :] == kept
        for turn, key in enumerate(keys, start=1):
            if key in kept:
                assert state_of(turn) == world.flow.load(thread, key).state
    assert isinstance(outcome, Done)
    gone = sum(max(0, count - POLICY.keep) for count in THREADS.values())
    assert (3, gone) == (outcome.counts["threads"], outcome.counts["checkpoints"])
    assert (3, gone, True) == (would.threads, would.checkpoints, would.is_complete)
    assert Cleaned() == world.cleaning.clean()
    assert isinstance(world.cleaning.run(), Skipped)


THREADS = {THREAD: 23, Thread(ALICE, "few"): 5, Thread(BOB, "t"): 6, Thread(BOB, "u"): 7}


def test_thread_that_nobody_used_for_so_long_goes_and_a_live_one_keeps_its_newest() -> None:
    """Age counts from the save; after a week of silence all is made up for at once."""
    world = World()
    world.fill(3)
    world.fill(9, Thread(BOB, "t"))
    world.clock.advance(POLICY.retention)
    newest = world.save(10, Thread(BOB, "t"))
    world.hot.kept.clear()

    done = world.cleaning.clean()

    assert (2, 12, 0) == (done.threads, done.checkpoints, done.left)
    assert [] == world.store.links[THREAD]
    assert [newest] == [item.id for item in world.store.list_newest(Thread(BOB, "t"), 9)]
    assert state_of(10) == world.flow.load(Thread(BOB, "t")).state


def test_cleaning_leaves_what_a_kept_checkpoint_needs_though_it_is_damaged() -> None:
    """Nothing that could still be read is lost, and it is said."""
    world = World()
    world.fill(10)
    # The sixth is the oldest that is kept; it rests on the fifth, and the tenth on the ninth.
    world.damage(6)

    done = world.cleaning.clean()

    assert (1, 4, 1) == (done.threads, done.checkpoints, done.left)
    assert [10, 9, 8, 7, 6, 5] == [item.sequence for item in world.store.list_newest(THREAD, 99)]
    assert state_of(10) == world.flow.load(THREAD).state


def test_cleaning_ends_with_its_turn_and_says_that_there_is_more() -> None:
    """The next turn does the rest."""
    world = World(replace(POLICY, turn=timedelta(0)))
    world.fill(9)

    assert Cleaned(is_complete=False) == world.cleaning.clean()
