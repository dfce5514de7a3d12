"""Generations and the steps of their users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, exists, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.generation_moves import make_move
from pipelines.adapters.postgres.tables import facts, generation_users, generations, transcripts
from pipelines.errors import NotFound, VersionConflict
from pipelines.model import FactOutcome, Owner, TranscriptState
from pipelines.ports import (
    Generation,
    GenerationProgress,
    GenerationUser,
    Moved,
    Recipe,
)
from pipelines.stages.generation import (
    COPIED_STATES,
    MOVES,
    GenerationId,
    Goal,
    Side,
    Step,
    shadow_owner,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

    from pipelines.adapters.postgres.database import Database

_NONE = "no generation is open: start one with `memstill redistill --since DATE`"
_DROPPED = "the generation was dropped"


class PostgresGenerations:
    """``GenerationStore`` on PostgreSQL: the row of a user is locked while it is moved."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open_generation(self, generation: Generation, now: datetime) -> int:
        row = upsert(generations).values(_generation_row(generation)).on_conflict_do_nothing()
        with self._database.transaction() as connection:
            users = _find_users(connection, generation)
            if not users:
                return 0
            if connection.execute(row.returning(generations.c.id)).one_or_none() is None:
                raise VersionConflict("the tenant has a generation already")
            connection.execute(
                insert(generation_users),
                [
                    {
                        "generation": generation.id,
                        "user_id": user,
                        "step": Step.LISTED.value,
                        "due_at": now,
                    }
                    for user in users
                ],
            )
        return len(users)

    def find_generation(self, tenant_id: str) -> Generation:
        with self._database.transaction() as connection:
            return _find(connection, generations.c.tenant_id == tenant_id, _NONE)

    def load_recipe(self, key: GenerationId) -> Recipe:
        with self._database.transaction() as connection:
            return _find(connection, generations.c.id == key, _DROPPED).recipe

    def aim(self, tenant_id: str, goal: Goal, now: datetime) -> Generation:
        is_open = and_(
            generations.c.tenant_id == tenant_id, generations.c.goal != Goal.DROPPED.value
        )
        statement = update(generations).where(is_open).values(goal=goal.value)
        with self._database.transaction() as connection:
            if connection.execute(statement).rowcount != 1:
                raise NotFound(_NONE)
            found = _find(connection, generations.c.tenant_id == tenant_id, _NONE)
            connection.execute(
                update(generation_users)
                .where(generation_users.c.generation == found.id)
                .values(due_at=now)
            )
        return found

    def read_progress(self, key: GenerationId) -> GenerationProgress:
        with self._database.transaction() as connection:
            found = _find(connection, generations.c.id == key, _DROPPED)
            return GenerationProgress(
                found,
                _count_users(connection, key),
                _count_sessions(connection, _next_tenant(found)),
                _count_pending(connection, _next_tenant(found)),
            )

    def list_users(self, key: GenerationId, after: str, limit: int) -> list[tuple[str, Step]]:
        statement = (
            select(generation_users.c.user_id, generation_users.c.step)
            .where(generation_users.c.generation == key, generation_users.c.user_id > after)
            .order_by(generation_users.c.user_id)
            .limit(limit)
        )
        with self._database.transaction() as connection:
            return [(row.user_id, Step(row.step)) for row in connection.execute(statement)]

    def find_step(self, key: GenerationId, user_id: str) -> Step:
        statement = select(generation_users.c.step).where(
            generation_users.c.generation == key, generation_users.c.user_id == user_id
        )
        with self._database.transaction() as connection:
            step = connection.execute(statement).scalar_one_or_none()
        if step is None:
            raise NotFound(f"the generation has no user {user_id}")
        return Step(step)

    def find_unsettled(self, now: datetime, limit: int) -> list[GenerationUser]:
        statement = (
            select(generation_users.c.user_id.label("member"), generation_users.c.step, generations)
            .join(generations, generations.c.id == generation_users.c.generation)
            .where(_is_unsettled(), generation_users.c.due_at <= now)
            .order_by(generation_users.c.due_at)
            .limit(limit)
        )
        with self._database.transaction() as connection:
            rows = connection.execute(statement).mappings().all()
        return [
            GenerationUser(_read_generation(row), row["member"], Step(row["step"])) for row in rows
        ]

    def move(self, user: GenerationUser, now: datetime, retry_at: datetime) -> Moved:
        move, step = MOVES[user.generation.goal, user.step]
        with self._database.transaction() as connection:
            if not _lock(connection, user):
                return Moved()
            moved = make_move(connection, user, move, now)
            values = {"due_at": retry_at} if moved.move is None else {"step": step, "due_at": now}
            connection.execute(update(generation_users).where(_is_row(user)).values(values))
        return moved

    def close_dropped(self) -> int:
        has_users = exists().where(generation_users.c.generation == generations.c.id)
        statement = delete(generations).where(generations.c.goal == Goal.DROPPED.value, ~has_users)
        with self._database.transaction() as connection:
            return connection.execute(statement).rowcount


def has_unsettled(connection: Connection, now: datetime) -> bool:
    """Whether any user of any tenant is due for a move, or a dropped generation is left over."""
    due = (
        select(generations.c.id)
        .join(generation_users, generations.c.id == generation_users.c.generation, isouter=True)
        .where(
            or_(
                and_(_is_unsettled(), generation_users.c.due_at <= now),
                generations.c.goal == Goal.DROPPED.value,
            )
        )
    )
    return bool(connection.execute(select(exists(due))).scalar_one())


def _find_users(connection: Connection, generation: Generation) -> Sequence[str]:
    condition = [
        transcripts.c.tenant_id == generation.tenant_id,
        transcripts.c.ended_at >= generation.since,
        transcripts.c.state.in_(COPIED_STATES),
    ]
    if generation.user_id is not None:
        condition.append(transcripts.c.user_id == generation.user_id)
    statement = select(transcripts.c.user_id).where(*condition).distinct()
    return connection.execute(statement).scalars().all()


def _lock(connection: Connection, user: GenerationUser) -> bool:
    """Hold the user's row if it still stands where the move begins."""
    statement = (
        select(generation_users.c.step)
        .where(_is_row(user), generation_users.c.step == user.step.value)
        .with_for_update(skip_locked=True)
    )
    return connection.execute(statement).one_or_none() is not None


def _is_row(user: GenerationUser) -> ColumnElement[bool]:
    return and_(
        generation_users.c.generation == user.generation.id,
        generation_users.c.user_id == user.user_id,
    )


def _is_unsettled() -> ColumnElement[bool]:
    return or_(
        *(
            and_(generations.c.goal == goal.value, generation_users.c.step == step.value)
            for goal, step in MOVES
        )
    )


def _find(connection: Connection, condition: ColumnElement[bool], missing: str) -> Generation:
    row = connection.execute(select(generations).where(condition)).mappings().one_or_none()
    if row is None:
        raise NotFound(missing)
    return _read_generation(row)


def _count_users(connection: Connection, key: GenerationId) -> dict[Step, int]:
    statement = (
        select(generation_users.c.step, func.count())
        .where(generation_users.c.generation == key)
        .group_by(generation_users.c.step)
    )
    return {Step(row[0]): int(row[1]) for row in connection.execute(statement)}


def _next_tenant(found: Generation) -> str:
    return shadow_owner(Owner.everyone(found.tenant_id), found.id, Side.NEXT).tenant_id


def _count_pending(connection: Connection, tenant_id: str) -> int:
    statement = select(func.count()).where(
        facts.c.tenant_id == tenant_id, facts.c.outcome == FactOutcome.PENDING.value
    )
    return int(connection.execute(statement).scalar_one())


def _count_sessions(connection: Connection, tenant_id: str) -> dict[TranscriptState, int]:
    statement = (
        select(transcripts.c.state, func.count())
        .where(transcripts.c.tenant_id == tenant_id, transcripts.c.copy_of.is_not(None))
        .group_by(transcripts.c.state)
    )
    return {TranscriptState(row[0]): int(row[1]) for row in connection.execute(statement)}


def _generation_row(generation: Generation) -> dict[str, Any]:
    recipe = generation.recipe
    return {
        "id": generation.id,
        "tenant_id": generation.tenant_id,
        "user_id": generation.user_id,
        "since": generation.since,
        "distiller": recipe.distiller,
        "model": recipe.model,
        "prompt_name": recipe.prompt_name,
        "prompt": recipe.prompt,
        "goal": generation.goal.value,
        "created_at": generation.created_at,
    }


def _read_generation(row: Mapping[Any, Any]) -> Generation:
    return Generation(
        id=GenerationId(row["id"]),
        tenant_id=row["tenant_id"],
        user_id=row["user_id"],
        since=row["since"],
        recipe=Recipe(row["distiller"], row["model"], row["prompt_name"], row["prompt"]),
        goal=Goal(row["goal"]),
        created_at=row["created_at"],
    )
