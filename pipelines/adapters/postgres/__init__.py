"""PostgreSQL: the truth. Inbox, memories, outbox, replies, and what is due."""

from pipelines.adapters.postgres.batches import PostgresBatches
from pipelines.adapters.postgres.checkpoints import PostgresCheckpoints
from pipelines.adapters.postgres.database import Database
from pipelines.adapters.postgres.dead import PostgresDeadLetters
from pipelines.adapters.postgres.erasures import PostgresErasures
from pipelines.adapters.postgres.exchange import PostgresExchange
from pipelines.adapters.postgres.fence import check_fence
from pipelines.adapters.postgres.figures import Figures, PostgresFigures, WorkFigures
from pipelines.adapters.postgres.generations import PostgresGenerations
from pipelines.adapters.postgres.inbox import PostgresInbox
from pipelines.adapters.postgres.index_truth import PostgresIndexTruth
from pipelines.adapters.postgres.installation import check_embedder, check_restored
from pipelines.adapters.postgres.jobs import PostgresJobRuns
from pipelines.adapters.postgres.keys import PostgresKeys
from pipelines.adapters.postgres.ledger import PostgresLedger
from pipelines.adapters.postgres.memories import PostgresMemoryStore
from pipelines.adapters.postgres.outbox import PostgresOutbox
from pipelines.adapters.postgres.procedures import PostgresProcedures
from pipelines.adapters.postgres.profiles import PostgresProfiles
from pipelines.adapters.postgres.projection_gate import PostgresRebuilds, PostgresRounds
from pipelines.adapters.postgres.pulse import Backlog, PostgresPulse
from pipelines.adapters.postgres.replies import PostgresReplies
from pipelines.adapters.postgres.schema import check_schema
from pipelines.adapters.postgres.sharing import PostgresSharing
from pipelines.adapters.postgres.traces import find_traces, find_traces_of_memories
from pipelines.adapters.postgres.verdicts import PostgresVerdicts
from pipelines.adapters.postgres.work import PostgresWorkTable

__all__ = [
    "Backlog",
    "Database",
    "Figures",
    "PostgresBatches",
    "PostgresCheckpoints",
    "PostgresDeadLetters",
    "PostgresErasures",
    "PostgresExchange",
    "PostgresFigures",
    "PostgresGenerations",
    "PostgresInbox",
    "PostgresIndexTruth",
    "PostgresJobRuns",
    "PostgresKeys",
    "PostgresLedger",
    "PostgresMemoryStore",
    "PostgresOutbox",
    "PostgresProcedures",
    "PostgresProfiles",
    "PostgresPulse",
    "PostgresRebuilds",
    "PostgresReplies",
    "PostgresRounds",
    "PostgresSharing",
    "PostgresVerdicts",
    "PostgresWorkTable",
    "WorkFigures",
    "check_embedder",
    "check_fence",
    "check_restored",
    "check_schema",
    "find_traces",
    "find_traces_of_memories",
]
