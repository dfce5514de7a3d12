"""Checkpoints as rows, and the statements that find their chains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, func, literal, select, text, tuple_

from pipelines.adapters.postgres.tables import checkpoints
from pipelines.formats import CHECKPOINT
from pipelines.model import Owner
from pipelines.ports import ThreadShown
from pipelines.stages.checkpoints.chain import Checkpoint, CheckpointId, Link, Thread

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Select, TextClause

    from pipelines.ports import CheckpointDraft

ROW = checkpoints.c
# All but the content, which may be large.
SHOWN = (
    *(column for column in ROW if column.name != "content"),
    func.octet_length(ROW.content).label("stored"),
)
_SHOWN_NAMES = ", ".join(column.name for column in ROW if column.name != "content")
_NAMES = (ROW.tenant_id, ROW.user_id, ROW.thread_id)


def is_of(thread: Thread) -> ColumnElement[bool]:
    """Whether a row is a thread's."""
    return and_(
        ROW.tenant_id == thread.owner.tenant_id,
        ROW.user_id == thread.owner.user_id,
        ROW.thread_id == thread.id,
    )


def _chain(condition: str) -> TextClause:
    """The rows of the chain that ends with the newest checkpoint that fulfils a condition.

    If that is the known one, only its row, without content. The bounds are found first, so that
    nothing else of the thread is read, however long it is.
    """
    whose = "tenant_id = :tenant AND user_id = :user AND thread_id = :thread"
    return text(
        f"""
        WITH target AS MATERIALIZED (
            SELECT sequence, coalesce(id = CAST(:known AS uuid), false) AS is_known, depth
            FROM agent_checkpoints WHERE {whose} AND {condition} ORDER BY sequence DESC LIMIT 1
        )
        SELECT {_SHOWN_NAMES}, octet_length(content) AS stored,
            CASE WHEN (SELECT is_known FROM target) THEN '' ELSE content END AS content
        FROM agent_checkpoints
        WHERE {whose}
            AND sequence >= (
                SELECT CASE WHEN is_known THEN sequence ELSE sequence - depth END FROM target
            )
            AND sequence <= (SELECT sequence FROM target)
        ORDER BY sequence
        """  # noqa: S608 - of names in this module alone
    )


CHAIN_OF_NEWEST = _chain("true")
CHAIN_OF_ID = _chain("id = CAST(:id AS uuid)")
CHAIN_BEFORE = _chain("sequence < :before")


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
