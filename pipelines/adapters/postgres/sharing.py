"""What users of one tenant say alike, and the proposals to make it everyone's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, distinct, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.memories import load_evidence
from pipelines.adapters.postgres.rows import read_memory
from pipelines.adapters.postgres.tables import evidence, memories, owners, proposals
from pipelines.errors import NotFound
from pipelines.model import EVERYONE, SHADOW, Kind, MemoryId, MemoryState, Owner, Role, Scope
from pipelines.ports import Repeated
from pipelines.stages.dedup import statement_key
from pipelines.stages.sharing.share import Proposal, ProposalId, ProposalState, Supporter

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Row, Select

    from config.policy import GlobalPolicy
    from pipelines.adapters.postgres.database import Database
    from pipelines.model import Memory

_key = func.md5(memories.c.statement_key)


class PostgresSharing:
    """``Sharing`` on PostgreSQL: a tenant's memories are walked in the order of their keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def next_tenant(self, after: str) -> str | None:
        statement = (
            select(owners.c.tenant_id)
            .where(owners.c.tenant_id > after, ~owners.c.tenant_id.contains(SHADOW))
            .order_by(owners.c.tenant_id)
            .limit(1)
        )
        with self._database.transaction() as connection:
            return connection.execute(statement).scalar_one_or_none()

    # ---- supporters ---------------------------------------------------------------------------

    def find_repeated(self, tenant_id: str, policy: GlobalPolicy, after: str) -> Repeated:
        with self._database.transaction(tenant_id) as connection:
            last = connection.execute(
                select_last_key(tenant_id, after, policy.batch)
            ).scalar_one_or_none()
            keys = connection.execute(select_repeated_keys(tenant_id, policy, after, last))
            found = _load_supporters(connection, tenant_id, keys.scalars().all())
        return Repeated(found, last)

    def find_supporters(self, tenant_id: str, statements: Collection[str]) -> list[Supporter]:
        keys = sorted({statement_key(statement) for statement in statements})
        with self._database.transaction(tenant_id) as connection:
            return list(_load_supporters(connection, tenant_id, [func.md5(key) for key in keys]))

    def load_cited(self, tenant_id: str, ids: Collection[MemoryId]) -> list[Memory]:
        statement = (
            select(memories)
            .where(
                memories.c.tenant_id == tenant_id,
                memories.c.user_id != EVERYONE,
                memories.c.id.in_(ids),
            )
            .order_by(memories.c.id)
        )
        with self._database.transaction(tenant_id) as connection:
            rows = connection.execute(statement).mappings().all()
            cited = load_evidence(connection, [row["id"] for row in rows])
        return [read_memory(row, cited.get(row["id"], [])) for row in rows]

    # ---- proposals ----------------------------------------------------------------------------

    def add_proposals(self, new: Sequence[Proposal]) -> list[ProposalId]:
        if not new:
            return []
        rows = sorted((_row(item) for item in new), key=lambda row: str(row["id"]))
        statement = upsert(proposals)
        proposed_anew = statement.on_conflict_do_update(
            index_elements=[proposals.c.id],
            set_={
                name: statement.excluded[name]
                for name in ("users", "memory_ids", "state", "proposed_at")
            }
            | {"decided_at": None, "decided_by": None},
            where=proposals.c.state == ProposalState.WITHDRAWN.value,
        ).returning(proposals.c.id)
        with self._database.transaction(new[0].tenant_id) as connection:
            return [ProposalId(key) for key in connection.execute(proposed_anew, rows).scalars()]

    def update_proposal(self, proposal: Proposal, expected: ProposalState) -> bool:
        row = _row(proposal)
        statement = (
            update(proposals)
            .where(
                proposals.c.id == row.pop("id"),
                proposals.c.tenant_id == row.pop("tenant_id"),
                proposals.c.state == expected.value,
            )
            .values(row)
        )
        with self._database.transaction(proposal.tenant_id) as connection:
            return connection.execute(statement).rowcount == 1

    def find_proposal(self, tenant_id: str, key: ProposalId) -> Proposal:
        statement = select(proposals).where(
            proposals.c.tenant_id == tenant_id, proposals.c.id == key
        )
        with self._database.transaction(tenant_id) as connection:
            row = connection.execute(statement).mappings().one_or_none()
        if row is None:
            raise NotFound(f"no promotion has the id {key}")
        return _read(row)

    def list_proposals(
        self,
        tenant_id: str,
        states: Collection[ProposalState],
        after: ProposalId | None,
        limit: int,
    ) -> list[Proposal]:
        conditions = [
            proposals.c.tenant_id == tenant_id,
            proposals.c.state.in_([state.value for state in states]),
        ]
        if after is not None:
            conditions.append(proposals.c.id > after)
        statement = select(proposals).where(*conditions).order_by(proposals.c.id).limit(limit)
        with self._database.transaction(tenant_id) as connection:
            return [_read(row) for row in connection.execute(statement).mappings()]


# ---- queries, public for the tests of their plans ------------------------------------------------


def select_last_key(tenant_id: str, after: str, batch: int) -> Select[str]:
    """The key of the ``batch``-th memory after a key: a part ends between two keys."""
    return (
        select(_key).where(_is_shareable(tenant_id), _key > after).order_by(_key).offset(batch - 1)
    ).limit(1)


def select_repeated_keys(
    tenant_id: str, policy: GlobalPolicy, after: str, last: str | None
) -> Select[str]:
    """The keys of one part that enough users have."""
    conditions: list[ColumnElement[bool]] = [
        _is_shareable(tenant_id),
        _key > after,
        memories.c.kind.in_(sorted(policy.kinds)),
        memories.c.importance >= policy.min_importance,
    ]
    if last is not None:
        conditions.append(_key <= last)
    is_enough = func.count(distinct(memories.c.user_id)) >= policy.min_users
    return select(_key).where(*conditions).group_by(_key).having(is_enough).order_by(_key)


def select_supporters(tenant_id: str, keys: Sequence[Any]) -> Select[Any]:
    """The memories with these keys, each with the names of the users who say it."""
    speakers = (
        select(func.array_agg(distinct(evidence.c.speaker)))
        .where(evidence.c.memory_id == memories.c.id, evidence.c.role == Role.USER.value)
        .scalar_subquery()
    )
    return select(
        memories.c.id,
        memories.c.user_id,
        memories.c.statement,
        memories.c.subject,
        memories.c.kind,
        memories.c.importance,
        speakers.label("speakers"),
    ).where(_is_shareable(tenant_id), _key.in_(keys))


def _is_shareable(tenant_id: str) -> ColumnElement[bool]:
    return and_(
        memories.c.tenant_id == tenant_id,
        # As the index has it: a parameter would not be known to match.
        memories.c.state == literal_column(f"'{MemoryState.ACTIVE}'"),
        memories.c.scope == literal_column(f"'{Scope.USER}'"),
    )


def _load_supporters(
    connection: Connection, tenant_id: str, keys: Sequence[Any]
) -> tuple[Supporter, ...]:
    if not keys:
        return ()
    rows = connection.execute(select_supporters(tenant_id, keys))
    return tuple(_read_supporter(tenant_id, row) for row in rows)


def _read_supporter(tenant_id: str, row: Row[Any]) -> Supporter:
    return Supporter(
        memory_id=MemoryId(row.id),
        owner=Owner(tenant_id, row.user_id),
        statement=row.statement,
        subject=row.subject,
        kind=Kind(row.kind),
        importance=row.importance,
        speakers=frozenset(row.speakers or ()),
    )


def _row(proposal: Proposal) -> dict[str, Any]:
    return {
        "id": proposal.id,
        "tenant_id": proposal.tenant_id,
        "statement": proposal.statement,
        "subject": proposal.subject,
        "kind": proposal.kind.value,
        "users": proposal.users,
        "memory_ids": list(proposal.memory_ids),
        "state": proposal.state.value,
        "proposed_at": proposal.proposed_at,
        "decided_at": proposal.decided_at,
        "decided_by": proposal.decided_by,
        "memory_id": proposal.memory_id,
    }


def _read(row: Mapping[Any, Any]) -> Proposal:
    memory_id = row["memory_id"]
    return Proposal(
        id=ProposalId(row["id"]),
        tenant_id=row["tenant_id"],
        statement=row["statement"],
        subject=row["subject"],
        kind=Kind(row["kind"]),
        users=row["users"],
        memory_ids=tuple(map(MemoryId, row["memory_ids"])),
        state=ProposalState(row["state"]),
        proposed_at=row["proposed_at"],
        decided_at=row["decided_at"],
        decided_by=row["decided_by"],
        memory_id=None if memory_id is None else MemoryId(memory_id),
    )
