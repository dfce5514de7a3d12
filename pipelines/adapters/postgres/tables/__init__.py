"""The tables of the truth, as SQLAlchemy sees them; migrations create them."""

from pipelines.adapters.postgres.tables.access import api_keys
from pipelines.adapters.postgres.tables.archiving import event_snapshots, old_receipts
from pipelines.adapters.postgres.tables.checkpoints import checkpoints
from pipelines.adapters.postgres.tables.common import metadata
from pipelines.adapters.postgres.tables.erasure import erasures
from pipelines.adapters.postgres.tables.holding import legal_holds
from pipelines.adapters.postgres.tables.memory import (
    events,
    evidence,
    facts,
    memories,
    memory_uses,
    proposals,
    reviews,
    verdicts,
)
from pipelines.adapters.postgres.tables.procedures import (
    procedure_outcomes,
    procedure_readings,
    procedures,
)
from pipelines.adapters.postgres.tables.profiles import profile_entries, user_profiles
from pipelines.adapters.postgres.tables.schedule import job_runs
from pipelines.adapters.postgres.tables.spending import (
    batch_items,
    batches,
    budget_warnings,
    holds,
    ledger,
    ledger_days,
    replies,
)
from pipelines.adapters.postgres.tables.upkeep import (
    generation_users,
    generations,
    installation,
    tenant_rates,
)
from pipelines.adapters.postgres.tables.work import outbox, owners, transcripts

__all__ = [
    "api_keys",
    "batch_items",
    "batches",
    "budget_warnings",
    "checkpoints",
    "erasures",
    "event_snapshots",
    "events",
    "evidence",
    "facts",
    "generation_users",
    "generations",
    "holds",
    "installation",
    "job_runs",
    "ledger",
    "ledger_days",
    "legal_holds",
    "memories",
    "memory_uses",
    "metadata",
    "old_receipts",
    "outbox",
    "owners",
    "procedure_outcomes",
    "procedure_readings",
    "procedures",
    "profile_entries",
    "proposals",
    "replies",
    "reviews",
    "tenant_rates",
    "transcripts",
    "user_profiles",
    "verdicts",
]
