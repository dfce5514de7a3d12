"""Distilling again: a generation is built beside the live memories, compared, and put in place."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import InputError, StoreRefused, StoreUnavailable, VersionConflict
from pipelines.model import Owner
from pipelines.outcome import Done, Outcome
from pipelines.ports import Generation
from pipelines.stages.generation import (
    GenerationId,
    Goal,
    Side,
    Step,
    compare,
    shadow_owner,
    without_sources,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from pipelines.model import Memory
    from pipelines.ports import (
        Clock,
        GenerationProgress,
        GenerationStore,
        GenerationUser,
        MemoryStore,
        Recipe,
        Waker,
    )
    from pipelines.stages.generation import Difference, Move

log = structlog.get_logger(__name__)

PAGE = 1_000
# A user for whom it is too early is looked at again then.
RETRY = timedelta(seconds=1)
HELD_UP = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class UserDifference:
    """What differs for one user, before and after the generation takes its place."""

    user_id: str
    step: Step
    difference: Difference


@dataclass(frozen=True, slots=True)
class Redistill:
    """Starts, compares, switches, backs out and drops; one generation a tenant at a time."""

    generations: GenerationStore
    memories: MemoryStore
    waker: Waker
    clock: Clock
    limit: int = 200
    max_batches: int = 20

    def start(
        self, tenant_id: str, recipe: Recipe, since: datetime, user_id: str | None = None
    ) -> GenerationProgress:
        """Distill sessions again that ended since then; nothing live changes.

        Raises:
            InputError: The tenant has a generation already, or no session to distill again.
        """
        now = self.clock.now()
        key = GenerationId(uuid.uuid4())
        made = Generation(key, tenant_id, user_id, since, recipe, Goal.SHADOW, now)
        try:
            users = self.generations.open_generation(made, now)
        except VersionConflict:
            raise InputError(
                "redistill", "a generation is open already: switch to it, or drop it first"
            ) from None
        if not users:
            raise InputError("since", "no session that was distilled ended since then")
        self.waker.wake_redistill()
        log.info("generation_started", generation=str(key), users=users)
        return self.generations.read_progress(key)

    def read_progress(self, tenant_id: str) -> GenerationProgress:
        """How far the tenant's generation is.

        Raises:
            NotFound: There is none.
        """
        return self.generations.read_progress(self.generations.find_generation(tenant_id).id)

    def switch(self, tenant_id: str) -> GenerationProgress:
        """Let the generation take the place of what is live, each user as soon as it is whole."""
        return self._aim(tenant_id, Goal.LIVE)

    def back_out(self, tenant_id: str) -> GenerationProgress:
        """Let what was live before take its place again; the generation is kept as a shadow."""
        return self._aim(tenant_id, Goal.SHADOW)

    def drop(self, tenant_id: str) -> GenerationProgress:
        """Delete what is not live: the generation, or after a switch what was live before.

        Raises:
            InputError: Users are on their way: dropped now, some would have the old memories and
                some the new, for good.
        """
        users = self.read_progress(tenant_id).users.keys()
        if not (users <= {Step.LISTED, Step.SHADOW} or users <= {Step.LIVE}):
            raise InputError("redistill", "is on its way: drop it when all users have arrived")
        return self._aim(tenant_id, Goal.DROPPED)

    def _aim(self, tenant_id: str, goal: Goal) -> GenerationProgress:
        found = self.generations.aim(tenant_id, goal, self.clock.now())
        self.waker.wake_redistill()
        log.info("generation_aimed", generation=str(found.id), goal=goal.value)
        return self.generations.read_progress(found.id)

    def list_differences(self, tenant_id: str, after: str, limit: int) -> list[UserDifference]:
        """What differs, user by user behind ``after``, in the order of their ids.

        After a switch it is still told from what was live before to what the generation found.

        Raises:
            NotFound: There is no generation.
        """
        generation = self.generations.find_generation(tenant_id)
        users = self.generations.list_users(generation.id, after, limit)
        return [self._compare(generation, user, step) for user, step in users]

    def compare_user(self, tenant_id: str, user_id: str) -> UserDifference:
        """What differs for one user.

        Raises:
            NotFound: There is no generation, or it has no such user.
        """
        generation = self.generations.find_generation(tenant_id)
        step = self.generations.find_step(generation.id, user_id)
        return self._compare(generation, user_id, step)

    def _compare(self, generation: Generation, user_id: str, step: Step) -> UserDifference:
        live = Owner(generation.tenant_id, user_id)
        is_live = step in {Step.LIVE, Step.RETURNING}
        side = Side.PREVIOUS if is_live else Side.NEXT
        # What came in since is taken over before anything is switched: no difference.
        unknown = self.generations.find_unknown(generation, user_id, side)
        now = without_sources(self._load_all(live), unknown)
        other = self._load_all(shadow_owner(live, generation.id, side))
        difference = compare(other, now) if is_live else compare(now, other)
        return UserDifference(user_id, step, difference)

    def _load_all(self, owner: Owner) -> Iterator[Memory]:
        after = None
        while page := self.memories.export_memories(*owner.names, after, PAGE):
            yield from page
            after = page[-1].id

    # ---- bringing users on --------------------------------------------------------------------

    def run(self) -> Outcome:
        """Bring users on until nobody can be moved; who is too early is looked at again soon."""
        made = Counter[str]()
        for _ in range(self.max_batches):
            users = self.generations.find_unsettled(self.clock.now(), self.limit)
            moves = [self._bring_on(user) for user in users]
            made.update(move.value for move in moves if move is not None)
            if not any(moves):
                break
        closed = self.generations.close_dropped()
        if made or closed:
            log.info("generations_moved", closed=closed, **made)
        return Done(dict(made))

    def _bring_on(self, user: GenerationUser) -> Move | None:
        now = self.clock.now()
        try:
            moved = self.generations.move(user, now, now + RETRY)
        except (StoreRefused, StoreUnavailable) as error:
            # One who is locked, or too large for now, holds nobody else up.
            self.generations.postpone(user, now + HELD_UP)
            log.warning("generation_held_up", error=str(error))
            return None
        self.waker.wake_consolidate(moved.due)
        if moved.move is not None:
            self.waker.wake_index()
        return moved.move
