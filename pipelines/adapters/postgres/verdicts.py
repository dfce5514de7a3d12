"""Verdicts of the judge, and of people who overrule it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.tables import verdicts
from pipelines.stages.merging.relate import PERSON, Relation

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from pipelines.adapters.postgres.database import Database
    from pipelines.model import Owner


class PostgresVerdicts:
    """``VerdictStore`` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find_verdicts(self, owner: Owner, keys: Collection[str]) -> dict[str, Relation]:
        statement = select(verdicts.c.pair_key, verdicts.c.relation).where(
            verdicts.c.tenant_id == owner.tenant_id,
            verdicts.c.user_id == owner.user_id,
            verdicts.c.pair_key.in_(keys),
        )
        with self._database.transaction(owner.tenant_id) as connection:
            return {key: Relation(name) for key, name in connection.execute(statement)}

    def keep_verdicts(
        self, owner: Owner, found: Mapping[str, Relation], judged_by: str, now: datetime
    ) -> None:
        rows = [
            {
                "tenant_id": owner.tenant_id,
                "user_id": owner.user_id,
                "pair_key": key,
                "relation": relation.value,
                "judged_by": judged_by,
                "created_at": now,
            }
            for key, relation in sorted(found.items())
        ]
        if not rows:
            return
        statement = upsert(verdicts)
        new = statement.excluded
        with self._database.transaction(owner.tenant_id) as connection:
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=[verdicts.c.tenant_id, verdicts.c.user_id, verdicts.c.pair_key],
                    set_={
                        "relation": new.relation,
                        "judged_by": new.judged_by,
                        "created_at": new.created_at,
                    },
                    where=new.judged_by == PERSON,
                ),
                rows,
            )
