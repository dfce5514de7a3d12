"""Row-level security: the second fence between tenants."""

from alembic import op

from pipelines.adapters.postgres.fence import create_role_statement, fence_statements

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_OWNED = (
    "api_keys",
    "batch_items",
    "budget_warnings",
    "erasures",
    "events",
    "facts",
    "generations",
    "holds",
    "ledger",
    "ledger_days",
    "memories",
    "outbox",
    "owners",
    "proposals",
    "replies",
    "reviews",
    "tenant_rates",
    "transcripts",
    "verdicts",
)
# A value that is looked up, not EXISTS, for which all memories of the tenant would be read.
_MEMORY_IS_OWN = (
    "(SELECT tenant_id FROM memories WHERE memories.id = evidence.memory_id)"
    " = current_setting('memstill.tenant', true)"
)


def upgrade() -> None:
    op.execute(create_role_statement())
    for table in _OWNED:
        _fence(table)
    # Both hang on rows that name their tenant.
    _fence("evidence", _MEMORY_IS_OWN)
    _fence("batches", "EXISTS (SELECT FROM batch_items WHERE batch_items.batch = batches.id)")


def _fence(table: str, *condition: str) -> None:
    for statement in fence_statements(table, *condition):
        op.execute(statement)
