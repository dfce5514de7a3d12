"""The rows of the table: what they hold, and how they are written and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.adapters.collection import payload_of
from pipelines.adapters.lexical import document_vector
from pipelines.adapters.pgvector_format import BinaryVector, own_terms, owner_number

if TYPE_CHECKING:
    from pipelines.model import MemoryId
    from pipelines.ports import IndexPoint

CREATE = """
CREATE TABLE {table} (
    memory_id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    owner_number bigint NOT NULL,
    scope text NOT NULL,
    session_id text NOT NULL,
    version integer NOT NULL,
    state text NOT NULL,
    valid_from bigint NOT NULL,
    valid_to bigint NOT NULL,
    embedding vector({size}) NOT NULL,
    owned_terms bigint[] NOT NULL,
    weights real[] NOT NULL
)
-- A vector stays in its row while that fits into a page. Out of it, each that is compared is
-- fetched in pieces, and no plan knows what that takes.
WITH (toast_tuple_target = 8160);
CREATE INDEX ON {table} (tenant_id, user_id);
-- A list of what is not sorted in yet would be read through by each search.
CREATE INDEX ON {table} USING gin (owned_terms) WITH (fastupdate = off)
"""

UPSERT = """
INSERT INTO {table} AS stored
VALUES (:memory_id, :tenant_id, :user_id, :owner_number, :scope, :session_id, :version,
        :state, :valid_from, :valid_to,
        CAST(:vector AS vector), CAST(:owned_terms AS bigint[]), CAST(:weights AS real[]))
ON CONFLICT (memory_id) DO UPDATE SET
    tenant_id = excluded.tenant_id, user_id = excluded.user_id,
    owner_number = excluded.owner_number,
    scope = excluded.scope, session_id = excluded.session_id, version = excluded.version,
    state = excluded.state, valid_from = excluded.valid_from, valid_to = excluded.valid_to,
    embedding = excluded.embedding, owned_terms = excluded.owned_terms,
    weights = excluded.weights
WHERE stored.version <= excluded.version
"""
REMOVE = """
DELETE FROM {table}
WHERE memory_id = :memory_id AND version <= coalesce(CAST(:version AS integer), version)
"""
REMOVE_OWNER = "DELETE FROM {table} WHERE tenant_id = :tenant_id AND user_id = :user_id"


def to_row(point: IndexPoint) -> dict[str, object]:
    """A point as its row."""
    words = document_vector(point.text)
    return {
        **payload_of(point),
        "memory_id": point.memory_id,
        "owner_number": owner_number(point.owner),
        "vector": BinaryVector(point.vector),
        "owned_terms": own_terms(point.owner, words.indices),
        "weights": list(words.values),
    }


def write_order(point: IndexPoint) -> tuple[MemoryId, int]:
    """One order for all writers."""
    return (point.memory_id, point.version)
