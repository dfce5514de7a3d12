"""Every error that the client raises on purpose.

::

    MemstillError
    ├── InvalidTranscript   (ValueError) breaks the wire format: nothing was sent
    ├── NotConfigured       no address is known, or it cannot be used
    ├── Unavailable         no answer: the same call may succeed later, and repeating it is safe
    │   └── Busy            too much waits in the Stream: nothing was taken in
    ├── NotFound            this tenant has no such receipt (yet)
    ├── NotFinished         (TimeoutError) waited long enough, the transcript is still on its road
    └── Refused             the server answered no; repeating the call unchanged is useless
        ├── CheckpointConflict  the thread has another newest checkpoint than was expected
        └── DamagedCheckpoint   what is stored is not what was saved

No message ever carries what a conversation said, or a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from memstill_client.replies import Status


class MemstillError(Exception):
    """Root of the tree above."""


class InvalidTranscript(MemstillError, ValueError):
    """A transcript breaks the wire format.

    Attributes:
        field: Where, for example ``messages[3].role``; ``transcript`` for the whole.
        reason: What is wrong and what to send instead.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class NotConfigured(MemstillError):
    """The client does not know whom to call; the message says how to tell it."""


class Unavailable(MemstillError):
    """Nobody answered, or the server is busy or failing.

    Attributes:
        retry_after_seconds: What the server asked for, if it did.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Busy(Unavailable):
    """More waits in the Stream than may; nothing was taken in, so repeat the call later."""


class NotFound(MemstillError):
    """This tenant has no such receipt; one pushed over the Stream appears after moments."""


class NotFinished(MemstillError, TimeoutError):
    """The transcript was still on its road when the waiting time was over.

    Attributes:
        status: Where it stood last.
    """

    def __init__(self, status: Status) -> None:
        super().__init__(
            f"transcript {status.receipt} is still {status.state}; it goes on without being "
            "waited for, ask again with status()"
        )
        self.status = status


class Refused(MemstillError):
    """The server understood the call and will not do it.

    Attributes:
        type: The server's word for it, for example ``idempotency_conflict``.
        field: What it is about, for example ``idempotency_key``.
    """

    def __init__(self, kind: str, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason} ({kind})")
        self.type = kind
        self.field = field
        self.reason = reason


class CheckpointConflict(Refused):
    """The thread has gone on, has ended, or was erased; nothing was saved.

    Attributes:
        newest: Its newest checkpoint; None where it has none.
    """

    def __init__(self, kind: str, field: str, reason: str, newest: UUID | None) -> None:
        super().__init__(kind, field, reason)
        self.newest = newest


class DamagedCheckpoint(Refused):
    """What is stored of a checkpoint is not what was saved, and is not handed out.

    Attributes:
        sound: The newest one before it that is whole, which ``load(..., sound=True)`` gives; None
            where there is none.
    """

    def __init__(self, kind: str, field: str, reason: str, sound: UUID | None) -> None:
        super().__init__(kind, field, reason)
        self.sound = sound
