"""Checkpoints of running agents."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Connection,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, UUID, aggregate_order_by

from pipelines.adapters.postgres.checkpoint_rows import (
    CHAIN_BEFORE,
    CHAIN_OF_ID,
    CHAIN_OF_NEWEST,
    ROW,
    SHOWN,
    by_thread,
    is_behind,
    is_of,
    make_row,
    read_checkpoint,
    read_link,
    read_shown,
    read_thread,
)
from pipelines.adapters.postgres.legal_holds import is_free
from pipelines.adapters.postgres.tables import checkpoints, erasures
from pipelines.errors import CheckpointConflict, IdempotencyConflict
from pipelines.model import SHADOW
from pipelines.ports import Saved, Subject, Surplus
from pipelines.stages.checkpoints.chain import NEWEST, CheckpointId

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import TextClause

    from pipelines.adapters.postgres.database import Database
    from pipelines.ports import CheckpointDraft, ThreadShown
    from pipelines.stages.checkpoints.chain import Checkpoint, Link, Thread

# Who erases holds the first of these alone (tombstones.py) while it deletes.
_LOCK = text(
    "SELECT pg_try_advisory_xact_lock_shared(hashtextextended(:owner, 11)) AS is_there,"
    " pg_advisory_xact_lock(hashtextextended(:thread, 12))"
)
_NEWEST_ID = func.array_agg(aggregate_order_by(ROW.id, ROW.sequence.desc()), type_=ARRAY(UUID))[1]
# Clocks differ, and an erasure takes a moment from its request to its commit.
_STILL_UNDER_WAY = timedelta(seconds=5)
ID_REUSED = "was used before for another checkpoint of this thread; send an id of its own"
ERASED = "what belongs to this user or thread was erased a moment ago; nothing was saved"


class PostgresCheckpoints:
    """``CheckpointStore`` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, draft: CheckpointDraft, max_depth: int) -> Saved:
        thread = draft.thread
        with self._database.transaction(thread.owner.tenant_id) as connection:
            if not _lock(connection, thread) or _is_erased(connection, draft):
                raise CheckpointConflict(ERASED)
            newest = None
            for row in _find(connection, draft):
                if row["id"] == draft.id:
                    return _same(draft, row)
                newest = row
            _check_parent(draft, newest)
            row = _next_row(draft, newest, max_depth)
            shown = {name: value for name, value in row.items() if name != "stored"}
            connection.execute(insert(checkpoints), shown)
        return Saved(read_checkpoint(row))

    def load_newest(self, thread: Thread, known: CheckpointId | None) -> Sequence[Link]:
        return self._load(thread, CHAIN_OF_NEWEST, known=known)

    def load_chain(self, thread: Thread, key: CheckpointId) -> Sequence[Link]:
        return self._load(thread, CHAIN_OF_ID, id=key)

    def load_before(self, thread: Thread, sequence: int) -> Sequence[Link]:
        return self._load(thread, CHAIN_BEFORE, before=sequence)

    def list_newest(
        self, thread: Thread, limit: int, before: int | None = None
    ) -> Sequence[Checkpoint]:
        statement = select(*SHOWN).where(is_of(thread)).order_by(ROW.sequence.desc()).limit(limit)
        if before is not None:
            statement = statement.where(ROW.sequence < before)
        with self._database.transaction(thread.owner.tenant_id) as connection:
            return [read_checkpoint(row) for row in connection.execute(statement).mappings()]

    def list_threads(
        self, tenant_id: str, user_id: str | None, after: Thread | None, limit: int
    ) -> Sequence[ThreadShown]:
        statement = (
            by_thread(
                func.max(ROW.sequence).label("sequence"),
                _NEWEST_ID.label("id"),
                func.count().label("kept"),
                func.sum(func.octet_length(ROW.content)).label("stored"),
                func.max(ROW.saved_at).label("saved_at"),
            )
            .where(ROW.tenant_id == tenant_id, is_behind(after))
            .limit(limit)
        )
        if user_id is not None:
            statement = statement.where(ROW.user_id == user_id)
        with self._database.transaction(tenant_id) as connection:
            return [read_shown(row) for row in connection.execute(statement).mappings()]

    def find_surplus(
        self, after: Thread | None, keep: int, cutoff: datetime, limit: int
    ) -> Sequence[Thread]:
        statement = (
            by_thread()
            .where(is_behind(after), is_free(checkpoints))
            .having(or_(func.count() > keep, func.min(ROW.saved_at) < cutoff))
            .limit(limit)
        )
        with self._database.transaction() as connection:
            return [read_thread(row) for row in connection.execute(statement).mappings()]

    def count_surplus(self, thread: Thread, below: int) -> Surplus:
        stored = func.coalesce(func.sum(func.octet_length(ROW.content)), 0)
        statement = select(
            func.coalesce(func.min(ROW.sequence), below), func.count(), stored
        ).where(is_of(thread), ROW.sequence < below)
        with self._database.transaction(thread.owner.tenant_id) as connection:
            first, rows, taken = connection.execute(statement).one()
        return Surplus(first, rows, int(taken))

    def trim(self, thread: Thread, below: int, state: bytes | None) -> int:
        with self._database.transaction(thread.owner.tenant_id) as connection:
            if not _lock(connection, thread) or not _rebase(connection, thread, below, state):
                return 0
            surplus = is_of(thread), ROW.sequence < below
            return connection.execute(delete(checkpoints).where(*surplus)).rowcount

    def _load(
        self, thread: Thread, chain: TextClause, known: CheckpointId | None = None, **bound: object
    ) -> Sequence[Link]:
        owner = thread.owner
        whose = {"tenant": owner.tenant_id, "user": owner.user_id, "thread": thread.id}
        with self._database.transaction(owner.tenant_id) as connection:
            rows = connection.execute(chain, {**whose, "known": known, **bound}).mappings()
            return [read_link(row) for row in rows]


def _lock(connection: Connection, thread: Thread) -> bool:
    """Whether the thread is this transaction's; nobody erases its user meanwhile."""
    owner = SHADOW.join(thread.owner.names)
    names = {"owner": owner, "thread": SHADOW.join((owner, thread.id))}
    is_there: bool = connection.execute(_LOCK, names).one().is_there
    return is_there


def _is_erased(connection: Connection, draft: CheckpointDraft) -> bool:
    thread = draft.thread
    keys = [Subject(thread.owner).key, Subject(thread.owner, thread.id).key]
    mark = exists().where(
        erasures.c.subject_key.in_(keys),
        erasures.c.requested_at > draft.begun_at - _STILL_UNDER_WAY,
    )
    return bool(connection.execute(select(mark)).scalar_one())


def _find(connection: Connection, draft: CheckpointDraft) -> Sequence[Mapping[Any, Any]]:
    """The newest checkpoint of the thread, and the one of the draft's id, which comes first."""
    last = select(func.max(ROW.sequence)).where(is_of(draft.thread)).scalar_subquery()
    statement = (
        select(*SHOWN)
        .where(is_of(draft.thread), or_(ROW.sequence == last, ROW.id == draft.id))
        .order_by(ROW.sequence)
    )
    return connection.execute(statement).mappings().all()


def _same(draft: CheckpointDraft, row: Mapping[Any, Any]) -> Saved:
    origin = None if draft.origin is None else draft.origin.thread.id
    told = (draft.sha256, draft.node, draft.metadata, origin)
    if told != (row["sha256"], row["node"], row["metadata"], row["origin"]):
        raise IdempotencyConflict("id", ID_REUSED)
    return Saved(read_checkpoint(row), is_duplicate=True)


def _check_parent(draft: CheckpointDraft, newest: Mapping[Any, Any] | None) -> None:
    found = None if newest is None else newest["id"]
    if draft.parent in {NEWEST, found}:
        return
    stands = "the thread has no checkpoint" if found is None else f"its newest one is {found}"
    raise CheckpointConflict(f"another one was expected as the parent: {stands}", found)


def _next_row(
    draft: CheckpointDraft, newest: Mapping[Any, Any] | None, max_depth: int
) -> dict[str, Any]:
    if newest is None:
        return make_row(draft, None, 1, 0)
    base = (draft.base, draft.base_sha256)
    is_right = draft.delta is not None and base == (newest["id"], newest["sha256"])
    depth = newest["depth"] + 1 if is_right and newest["depth"] < max_depth else 0
    return make_row(draft, CheckpointId(newest["id"]), newest["sequence"] + 1, depth)


def _rebase(connection: Connection, thread: Thread, below: int, state: bytes | None) -> bool:
    """Let all from a sequence on rest on a full snapshot of it; whether they do."""
    found = connection.execute(
        select(ROW.depth, ROW.bytes).where(is_of(thread), ROW.sequence == below)
    ).one_or_none()
    if found is None:
        # Somebody else may have removed it as a whole, and another one have begun it anew.
        newest = select(func.max(ROW.sequence)).where(is_of(thread))
        return bool(connection.execute(newest).scalar_one() == below - 1)
    if found.depth == 0:
        return True
    if state is None:
        return False
    resting = is_of(thread), ROW.sequence > below, ROW.sequence - ROW.depth < below
    connection.execute(update(checkpoints).where(*resting).values(depth=ROW.sequence - below))
    connection.execute(
        update(checkpoints)
        .where(is_of(thread), ROW.sequence == below)
        .values(content=state, base=None, depth=0)
    )
    return True
