"""Generations and the steps of their users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    UUID,
    and_,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.generation_moves import find_unknown, make_move
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
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

    from pipelines.adapters.postgres.database import Database
    from pipelines.model import ReceiptId

_NONE = "no generation is open: start one with `memstill redistill --since DATE`"
_DROPPED = "the generation was dropped"


class PostgresGenerations:
    """``GenerationStore`` on PostgreSQL: the row of a user is locked while it is moved."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open_generation(self, generation: Generation, now: datetime) -> int:
        row = upsert(generations).values(_generation_row(generation)).on_conflict_do_nothing()
        with self._database.transaction() as connection:
            if connection.execute(row.returning(generations.c.id)).one_or_none() is None:
                raise VersionConflict("the tenant has a generation already")
            users = _list_users(connection, generation, now)
            if not users:
                connection.execute(delete(generations).where(generations.c.id == generation.id))
            return users

    def find_generation(self, tenant_id: str) -> Generation:
        with self._database.transaction(tenant_id) as connection:
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
                .where(
                    generation_users.c.generation == found.id,
                    generation_users.c.step.in_([step.value for step in Step]),
                    generation_users.c.due_at > now,
                )
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
        parts = [
            select(
                generation_users.c.user_id.label("member"),
                generation_users.c.step,
                generation_users.c.due_at,
                generations,
            )
            .join(generations, generations.c.id == generation_users.c.generation)
            .where(
                generations.c.goal == goal.value,
                generation_users.c.step.in_(_unsettled_steps(goal)),
                generation_users.c.due_at <= now,
            )
            .order_by(generation_users.c.due_at)
            .limit(limit)
            for goal in Goal
        ]
        statement = union_all(*parts).order_by("due_at").limit(limit)
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

    def postpone(self, user: GenerationUser, due_at: datetime) -> None:
        statement = update(generation_users).where(_is_row(user)).values(due_at=due_at)
        with self._database.transaction() as connection:
            connection.execute(statement)

    def find_unknown(self, generation: Generation, user_id: str, side: Side) -> set[ReceiptId]:
        with self._database.transaction() as connection:
            return find_unknown(connection, generation, user_id, side)

    def close_dropped(self) -> int:
        has_users = exists().where(generation_users.c.generation == generations.c.id)
        statement = delete(generations).where(generations.c.goal == Goal.DROPPED.value, ~has_users)
        with self._database.transaction() as connection:
            return connection.execute(statement).rowcount


def has_unsettled(connection: Connection, now: datetime) -> bool:
    """Whether any user of any tenant is due for a move, or a dropped generation is left over."""
    waits = [
        and_(
            generations.c.goal == goal.value,
            exists().where(
                generation_users.c.generation == generations.c.id,
                generation_users.c.step == step.value,
                generation_users.c.due_at <= now,
            ),
        )
        for goal, step in MOVES
        if goal is not Goal.DROPPED
    ]
    due = exists(
        select(generations.c.id).where(or_(*waits, generations.c.goal == Goal.DROPPED.value))
    )
    return bool(connection.execute(select(due)).scalar_one())


def _list_users(connection: Connection, generation: Generation, now: datetime) -> int:
    members = (
        select(
            literal(generation.id, UUID),
            transcripts.c.user_id,
            literal(Step.LISTED.value),
            literal(now),
        )
        .where(
            transcripts.c.tenant_id == generation.tenant_id,
            transcripts.c.ended_at >= generation.since,
            transcripts.c.state.in_(COPIED_STATES),
            true() if generation.user_id is None else transcripts.c.user_id == generation.user_id,
        )
        .distinct()
    )
    columns = ["generation", "user_id", "step", "due_at"]
    statement = generation_users.insert().from_select(columns, members)
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount


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


def _unsettled_steps(goal: Goal) -> list[str]:
    return [step.value for wanted, step in MOVES if wanted is goal]


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
