"""Checkpoints as rows, and the statements that find their chains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, case, func, literal, or_, select, tuple_

from pipelines.adapters.postgres.tables import checkpoints
from pipelines.formats import CHECKPOINT
from pipelines.model import Owner
from pipelines.ports import ThreadShown
from pipelines.stages.checkpoints.chain import Checkpoint, CheckpointId, Link, Thread

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Select

    from pipelines.ports import CheckpointDraft

ROW = checkpoints.c
# All but the content, which may be large.
SHOWN = (
    *(column for column in ROW if column.name != "content"),
    func.octet_length(ROW.content).label("stored"),
)
_NAMES = (ROW.tenant_id, ROW.user_id, ROW.thread_id)


def is_of(thread: Thread, columns: Any = ROW) -> ColumnElement[bool]:  # noqa: ANN401 - a namespace
    """Whether a row is a thread's."""
    return and_(
        columns.tenant_id == thread.owner.tenant_id,
        columns.user_id == thread.owner.user_id,
        columns.thread_id == thread.id,
    )


def chain_of(thread: Thread, target: Select[Any], known: CheckpointId | None = None) -> Select[Any]:
    """The rows of a chain.

    Args:
        thread: Whose.
        target: Id, sequence and depth of the checkpoint that it ends with.
        known: If it ends with this one, only that row, without content.
    """
    end = target.subquery("target")
    last = ROW.sequence == end.c.sequence
    is_known = literal(value=False) if known is None else end.c.id == known
    content = case((is_known, literal(b"")), else_=ROW.content).label("content")
    return (
        select(*SHOWN, content)
        .join(end, ROW.sequence.between(end.c.sequence - end.c.depth, end.c.sequence))
        .where(is_of(thread), or_(last, ~is_known))
        .order_by(ROW.sequence)
    )


def target_of(thread: Thread, *conditions: ColumnElement[bool]) -> Select[Any]:
    """The newest checkpoint of a thread that fulfils the conditions."""
    return (
        select(ROW.id, ROW.sequence, ROW.depth)
        .where(is_of(thread), *conditions)
        .order_by(ROW.sequence.desc())
        .limit(1)
    )


def is_behind(after: Thread | None) -> ColumnElement[bool]:
    """Whether a thread comes after another in the order of their names."""
    if after is None:
        return literal(value=True)
    names = (after.owner.tenant_id, after.owner.user_id, after.id)
    return tuple_(*_NAMES) > tuple_(*map(literal, names))


def by_thread(*columns: ColumnElement[Any]) -> Select[Any]:
    """Threads in the order of their names, each once."""
    return select(*_NAMES, *columns).group_by(*_NAMES).order_by(*_NAMES)


def make_row(
    draft: CheckpointDraft, parent: CheckpointId | None, sequence: int, depth: int
) -> dict[str, Any]:
    """The row of a draft; ``depth`` is 0 for a full snapshot."""
    thread, origin = draft.thread, draft.origin
    content = draft.delta if depth else draft.state
    return {
        "tenant_id": thread.owner.tenant_id,
        "user_id": thread.owner.user_id,
        "thread_id": thread.id,
        "sequence": sequence,
        "id": draft.id,
        "parent": parent if origin is None else origin.id,
        "origin": None if origin is None else origin.thread.id,
        "node": draft.node,
        "metadata": draft.metadata,
        "sha256": draft.sha256,
        "bytes": len(draft.state),
        "base": draft.base if depth else None,
        "depth": depth,
        "content": content,
        "stored": len(content or b""),
        "schema_version": CHECKPOINT.version,
        "saved_at": draft.begun_at,
    }


def read_checkpoint(row: Mapping[Any, Any]) -> Checkpoint:
    """A row without its content."""
    return Checkpoint(
        id=CheckpointId(row["id"]),
        thread=read_thread(row),
        parent=row["parent"],
        origin=row["origin"],
        sequence=row["sequence"],
        node=row["node"],
        metadata=row["metadata"],
        sha256=row["sha256"],
        size=row["bytes"],
        stored=row["stored"],
        is_delta=row["base"] is not None,
        saved_at=row["saved_at"],
    )


def read_link(row: Mapping[Any, Any]) -> Link:
    """A row with its content.

    Raises:
        NewerFormat: A newer release has written it.
    """
    CHECKPOINT.check(row["schema_version"])
    return Link(read_checkpoint(row), row["base"], bytes(row["content"]))


def read_thread(row: Mapping[Any, Any]) -> Thread:
    """Whose a row is."""
    return Thread(Owner(row["tenant_id"], row["user_id"]), row["thread_id"])


def read_shown(row: Mapping[Any, Any]) -> ThreadShown:
    """A thread with what it takes."""
    saved_at: datetime = row["saved_at"]
    return ThreadShown(
        read_thread(row), CheckpointId(row["id"]), row["sequence"], row["kept"], row["stored"],
        saved_at,
    )  # fmt: skip
