"""What the flows need from the world, as narrow protocols. Contracts stand here, once.

Every method may raise the ``DependencyUnavailable`` of its server; the adapter translates the
driver's errors at this boundary and nowhere else.
"""

from pipelines.ports.batches import (
    BATCHED,
    Batch,
    BatchableDistiller,
    BatchAnswer,
    BatchEndpoint,
    BatchId,
    BatchItem,
    BatchOutcome,
    BatchProgress,
    BatchReport,
    BatchState,
    BatchStore,
    PreparedRequest,
)
from pipelines.ports.generations import (
    Distillers,
    Generation,
    GenerationProgress,
    GenerationStore,
    GenerationUser,
    Moved,
    OpenGenerations,
    Recipe,
)
from pipelines.ports.inbox import Accepted, FactReport, Inbox, Status, TranscriptClaim
from pipelines.ports.index import Hit, IndexPoint, Outbox, Projection, VectorIndex
from pipelines.ports.judge import Judge, VerdictStore
from pipelines.ports.keys import KeyStore, StoredKey
from pipelines.ports.ledger import CostReport, Entry, Hold, Ledger
from pipelines.ports.memories import MemoryEvent, MemoryStore, OwnerClaim, Review
from pipelines.ports.models import (
    ChatModel,
    ChatReply,
    ChatRequest,
    Distiller,
    Embedder,
    PaidFor,
    Purpose,
    ReplyStore,
    Reranker,
    TokenCounter,
)
from pipelines.ports.sharing import Repeated, Sharing
from pipelines.ports.work import Clock, DueWork, Waiting, Waker, WorkTable

__all__ = [
    "BATCHED",
    "Accepted",
    "Batch",
    "BatchAnswer",
    "BatchEndpoint",
    "BatchId",
    "BatchItem",
    "BatchOutcome",
    "BatchProgress",
    "BatchReport",
    "BatchState",
    "BatchStore",
    "BatchableDistiller",
    "ChatModel",
    "ChatReply",
    "ChatRequest",
    "Clock",
    "CostReport",
    "Distiller",
    "Distillers",
    "DueWork",
    "Embedder",
    "Entry",
    "FactReport",
    "Generation",
    "GenerationProgress",
    "GenerationStore",
    "GenerationUser",
    "Hit",
    "Hold",
    "Inbox",
    "IndexPoint",
    "Judge",
    "KeyStore",
    "Ledger",
    "MemoryEvent",
    "MemoryStore",
    "Moved",
    "OpenGenerations",
    "Outbox",
    "OwnerClaim",
    "PaidFor",
    "PreparedRequest",
    "Projection",
    "Purpose",
    "Recipe",
    "Repeated",
    "ReplyStore",
    "Reranker",
    "Review",
    "Sharing",
    "Status",
    "StoredKey",
    "TokenCounter",
    "TranscriptClaim",
    "VectorIndex",
    "VerdictStore",
    "Waiting",
    "Waker",
    "WorkTable",
]
