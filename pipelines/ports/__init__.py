"""What the flows need from the world, as narrow protocols. Contracts stand here, once.

Every method may raise the ``DependencyUnavailable`` of its server; the adapter translates the
driver's errors at this boundary and nowhere else.
"""

from pipelines.ports.inbox import Accepted, FactReport, Inbox, Status, TranscriptClaim
from pipelines.ports.index import Hit, IndexPoint, Outbox, Projection, VectorIndex
from pipelines.ports.memories import MemoryStore, OwnerClaim
from pipelines.ports.models import (
    ChatModel,
    ChatReply,
    ChatRequest,
    Distiller,
    Embedder,
    PaidFor,
    Purpose,
    ReplyStore,
    TokenCounter,
)
from pipelines.ports.work import Clock, DueWork, Waiting, Waker, WorkTable

__all__ = [
    "Accepted",
    "ChatModel",
    "ChatReply",
    "ChatRequest",
    "Clock",
    "Distiller",
    "DueWork",
    "Embedder",
    "FactReport",
    "Hit",
    "Inbox",
    "IndexPoint",
    "MemoryStore",
    "Outbox",
    "OwnerClaim",
    "PaidFor",
    "Projection",
    "Purpose",
    "ReplyStore",
    "Status",
    "TokenCounter",
    "TranscriptClaim",
    "VectorIndex",
    "Waiting",
    "Waker",
    "WorkTable",
]
