"""Generations: what was distilled again, beside the live memories or in their place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pipelines.model import TranscriptState
from pipelines.stages.generation import Goal, Step

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pipelines.model import Owner, ReceiptId
    from pipelines.ports.models import Distiller
    from pipelines.stages.generation import GenerationId, Move, Side


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a generation distills.

    Attributes:
        distiller: ``offline`` or ``model``.
        model: The model's name at the endpoint; None offline, as are the others.
        prompt_name: The version that the prompt goes by: ``v1``.
        prompt: Its text.
    """

    distiller: str
    model: str | None = None
    prompt_name: str | None = None
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class Generation:
    """One tenant's sessions, distilled again.

    Attributes:
        since: Sessions that ended from then on are distilled again; the facts of earlier ones
            are taken over.
        user_id: The only user it is for; None where it is for all.
    """

    id: GenerationId
    tenant_id: str
    user_id: str | None
    since: datetime
    recipe: Recipe
    goal: Goal
    created_at: datetime


@dataclass(frozen=True, slots=True)
class GenerationProgress:
    """How far a generation is.

    Attributes:
        users: How many users stand at each step.
        sessions: How many of the sessions to distill again stand in each state.
        pending_facts: How many facts of the generation are not consolidated yet.
    """

    generation: Generation
    users: Mapping[Step, int]
    sessions: Mapping[TranscriptState, int]
    pending_facts: int

    @property
    def is_settled(self) -> bool:
        """Whether every user is where the goal wants them, and nothing of it still waits."""
        at_rest = {Goal.SHADOW: Step.SHADOW, Goal.LIVE: Step.LIVE}.get(self.generation.goal)
        is_over = self.sessions.keys() <= {TranscriptState.DONE, TranscriptState.DEAD}
        return self.users.keys() <= {at_rest} and is_over and not self.pending_facts


@dataclass(frozen=True, slots=True)
class GenerationUser:
    """A user of a generation who is not where the goal wants them."""

    generation: Generation
    user_id: str
    step: Step


@dataclass(frozen=True, slots=True)
class Moved:
    """What came of bringing a user on.

    Attributes:
        move: What was done; None where it is too early, or where somebody else did it.
        due: Owners who have facts to consolidate now.
    """

    move: Move | None = None
    due: tuple[Owner, ...] = ()


class OpenGenerations(Protocol):
    """Which generations there are."""

    def find_generation(self, tenant_id: str) -> Generation:
        """The tenant's generation.

        Raises:
            NotFound: It has none.
        """
        ...


class GenerationStore(OpenGenerations, Protocol):
    """Generations, and the steps of their users."""

    def open_generation(self, generation: Generation, now: datetime) -> int:
        """Write a generation down with all users who have sessions in it, none copied yet.

        Returns:
            How many users; if there is none, nothing was written.

        Raises:
            VersionConflict: The tenant has a generation already.
        """
        ...

    def load_recipe(self, key: GenerationId) -> Recipe:
        """How a generation distills.

        Raises:
            NotFound: It was dropped.
        """
        ...

    def aim(self, tenant_id: str, goal: Goal, now: datetime) -> Generation:
        """Want something else of the tenant's generation; its users are due at once.

        Raises:
            NotFound: It has none, or its goal is to be dropped.
        """
        ...

    def read_progress(self, key: GenerationId) -> GenerationProgress:
        """How far it is.

        Raises:
            NotFound: It was dropped.
        """
        ...

    def list_users(self, key: GenerationId, after: str, limit: int) -> list[tuple[str, Step]]:
        """Users behind ``after`` in the order of their ids, with where they stand."""
        ...

    def find_step(self, key: GenerationId, user_id: str) -> Step:
        """Where a user stands.

        Raises:
            NotFound: The generation has no such user.
        """
        ...

    def find_unsettled(self, now: datetime, limit: int) -> list[GenerationUser]:
        """Users of any tenant who are due for a move, the longest waiting first."""
        ...

    def move(self, user: GenerationUser, now: datetime, retry_at: datetime) -> Moved:
        """Bring a user one step on, in one transaction; a user that it is too early for waits.

        It is too early while sessions or facts of the side that shall become live still wait, or
        while the index has not taken them in. What came in meanwhile on the live side is taken
        over first. Leases on what is moved are void: whoever holds one commits nothing.
        """
        ...

    def postpone(self, user: GenerationUser, due_at: datetime) -> None:
        """Look at a user again at ``due_at``, who could not be moved now."""
        ...

    def find_unknown(self, generation: Generation, user_id: str, side: Side) -> set[ReceiptId]:
        """The transcripts whose live facts a side of the generation knows nothing of yet."""
        ...

    def close_dropped(self) -> int:
        """Forget the generations that all users were dropped from; returns how many."""
        ...


class Distillers(Protocol):
    """Who distills for whom."""

    def of(self, owner: Owner) -> Distiller:
        """The distiller of a live user, or that of a generation.

        Raises:
            NotFound: The generation was dropped.
        """
        ...
