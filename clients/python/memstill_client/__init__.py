"""What an agent calls: enqueue after a conversation, recall before the next.

::

    import memstill_client

    memstill_client.enqueue(user_id="alice", session_id="s-42", messages=[...])
    prompt += memstill_client.recall("where does she live?", "alice").block

These use one client, made at the first call from the environment. For another address, several
tenants or many calls in asynchronous code make a ``Memstill`` or an ``AsyncMemstill``.
"""

from memstill_client.aio import AsyncMemstill
from memstill_client.checkpoint_replies import (
    Checkpoint,
    CheckpointThread,
    CleanedCheckpoints,
    LoadedCheckpoint,
    SavedCheckpoint,
)
from memstill_client.dead_replies import DeadLetter, DeadLetterDetail, DeadRun
from memstill_client.erasures import Erasure
from memstill_client.errors import (
    Busy,
    CheckpointConflict,
    DamagedCheckpoint,
    InvalidTranscript,
    MemstillError,
    NotConfigured,
    NotFinished,
    NotFound,
    Refused,
    Unavailable,
)
from memstill_client.lifecycle import Forgotten
from memstill_client.procedure_replies import Procedure
from memstill_client.recalls import Recall, RecalledMemory
from memstill_client.replies import (
    ApiCaller,
    Cost,
    FactReport,
    Generation,
    Promotion,
    PromotionScan,
    Receipt,
    Status,
    UserDifference,
)
from memstill_client.session_calls import ContextMessage, Episode, Use, WorkingMemory
from memstill_client.sessions import AsyncSession, Session
from memstill_client.shared import aenqueue, arecall, close, enqueue, recall
from memstill_client.sync import Memstill
from memstill_client.tasks import AsyncResumableTask, ResumableTask, Step
from memstill_client.wire import MessageV1, TranscriptV1, parse_transcript

__all__ = [
    "ApiCaller",
    "AsyncMemstill",
    "AsyncResumableTask",
    "AsyncSession",
    "Busy",
    "Checkpoint",
    "CheckpointConflict",
    "CheckpointThread",
    "CleanedCheckpoints",
    "ContextMessage",
    "Cost",
    "DamagedCheckpoint",
    "DeadLetter",
    "DeadLetterDetail",
    "DeadRun",
    "Episode",
    "Erasure",
    "FactReport",
    "Forgotten",
    "Generation",
    "InvalidTranscript",
    "LoadedCheckpoint",
    "Memstill",
    "MemstillError",
    "MessageV1",
    "NotConfigured",
    "NotFinished",
    "NotFound",
    "Procedure",
    "Promotion",
    "PromotionScan",
    "Recall",
    "RecalledMemory",
    "Receipt",
    "Refused",
    "ResumableTask",
    "SavedCheckpoint",
    "Session",
    "Status",
    "Step",
    "TranscriptV1",
    "Unavailable",
    "Use",
    "UserDifference",
    "WorkingMemory",
    "aenqueue",
    "arecall",
    "close",
    "enqueue",
    "parse_transcript",
    "recall",
]
