"""What the server answers about procedures."""

from datetime import datetime
from uuid import UUID

from memstill_client.replies import Reply


class Procedure(Reply):
    """One version of how something is done.

    Attributes:
        user_id: None where it is everyone's.
        since: From when on these steps were known.
        successes: Of this version alone, like ``failures``.
        success_rate: (successes + 1) / (outcomes + 2): one half without any outcome.
        learned_from: The memory that said it; None where an agent wrote it down.
        cites: The memories that told of its outcomes.
    """

    id: UUID
    user_id: str | None
    name: str
    steps: tuple[str, ...]
    version: int
    since: datetime
    successes: int
    failures: int
    success_rate: float
    learned_from: UUID | None = None
    cites: tuple[UUID, ...] = ()


class ProceduresFound(Reply):
    """The newest versions, those that fit best first."""

    procedures: tuple[Procedure, ...]


class ProcedureVersions(Reply):
    """All versions of one, the newest first."""

    versions: tuple[Procedure, ...]
