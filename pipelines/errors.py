"""Every error that memstill raises on purpose.

::

    MemstillError
    ├── InputError                  bad input, refused before anything is queued: field and reason
    │   ├── InvalidTranscript       a transcript breaks the wire format
    │   └── IdempotencyConflict     a key was used before for another transcript
    ├── ConfigurationError          refused at start-up, with the remedy
    │   └── EmbeddingMismatch       the store was filled by another embedding model
    ├── NotFound                    no such receipt or memory for this tenant
    ├── AccessRefused               nothing was read or written: who asks may not
    │   ├── KeyRefused              no API key, or one that is unknown, expired or revoked
    │   └── NotAllowed              the key does not reach so far: its scopes, tenant or user
    ├── DependencyUnavailable       a server is down, slow or refusing: try again later
    │   ├── StoreUnavailable        PostgreSQL
    │   │   └── StoreTooSlow        it took longer than it may, and was taken back
    │   ├── NewerFormat             a newer release stored it: one of its workers reads it
    │   ├── QueueUnavailable        Redis
    │   ├── SessionsUnavailable     Redis, where it keeps running sessions: go on without them
    │   ├── IndexUnavailable        Qdrant or pgvector
    │   ├── ArchiveUnavailable      the directory or object store of the archive
    │   │   └── DamagedArchive      one file of it
    │   └── ModelUnavailable        the model endpoint: timeout, 429, 5xx
    ├── StoreRefused                PostgreSQL rejects the values themselves
    ├── IndexRefused                the vector index rejects the points themselves
    ├── ModelRefused                the endpoint rejects the request itself (401, 404, 400)
    │   └── NoBatches               it has no Batch API: call it live
    ├── BadReply                    the model answered, but not what was asked for
    ├── DamagedCheckpoint           what is stored is not what was saved: it is not handed out
    ├── BudgetExceeded              a call would overstep a hard budget of the day: it was not made
    └── WriteConflict               what was read has changed since: read and plan again
        ├── LeaseLost               the fence refused a commit: another worker holds the lease
        ├── OwnerBusy               another worker holds the user right now: try again
        ├── ErasedMeanwhile         whom it belongs to was erased since it began: nothing was kept
        ├── VersionConflict         a memory has another version than the plan was made for
        └── CheckpointConflict      the thread has another newest checkpoint than was expected
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import uuid
    from datetime import datetime


class MemstillError(Exception):
    """Root of the tree above."""


class InputError(MemstillError):
    """Bad input; ``field`` names where, the message says why and what to send instead."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class InvalidTranscript(InputError):
    """A transcript breaks the wire format."""


class IdempotencyConflict(InputError):
    """The idempotency key was used before for a transcript with other content."""


class ConfigurationError(MemstillError):
    """A setting is missing or contradicts what is stored; nothing was started."""


class EmbeddingMismatch(ConfigurationError):
    """The store was filled by another embedding model than the one configured."""


class NotFound(MemstillError):
    """No such receipt or memory for this tenant and user."""


class AccessRefused(MemstillError):
    """Who asks may not; ``field`` names what is in the way, the message says what to do."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class KeyRefused(AccessRefused):
    """No API key was sent, or one that is unknown, expired or revoked."""

    def __init__(self, reason: str) -> None:
        super().__init__("Authorization", reason)


class NotAllowed(AccessRefused):
    """The API key opens less than this."""


class DependencyUnavailable(MemstillError):
    """A server is down, slow or refusing; the same call may succeed later.

    Attributes:
        retry_after_seconds: When it is worth trying again, if that is known.
        is_outage: It says nothing about what was asked: the server is away for everybody, or
            asks everybody to come later. No attempt is used up by it.
    """

    def __init__(
        self,
        message: str = "",
        *,
        retry_after_seconds: float | None = None,
        is_outage: bool = False,
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.is_outage = is_outage


class StoreUnavailable(DependencyUnavailable):
    """PostgreSQL did not answer."""


class StoreTooSlow(StoreUnavailable):
    """PostgreSQL took longer than it may; it took back what it had done of this."""


class NewerFormat(DependencyUnavailable):
    """A newer release stored this in a form that is not known here; nothing was changed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, is_outage=True)


class QueueUnavailable(DependencyUnavailable):
    """Redis did not answer."""


class SessionsUnavailable(DependencyUnavailable):
    """The session tier did not answer; an agent goes on without what it holds."""


class IndexUnavailable(DependencyUnavailable):
    """The vector index did not answer."""


class ArchiveUnavailable(DependencyUnavailable):
    """The archive did not answer, or gave back something else than was put into it."""


class DamagedArchive(ArchiveUnavailable):
    """A file of the archive is not what was put there; the others are."""


class ModelUnavailable(DependencyUnavailable):
    """The model endpoint timed out, was busy or failed."""


class StoreRefused(MemstillError):
    """PostgreSQL rejects the values themselves; storing them again unchanged is useless."""


class IndexRefused(MemstillError):
    """The vector index rejects the points themselves; writing them again unchanged is useless."""


class ModelRefused(MemstillError):
    """The endpoint rejects the request itself; repeating it unchanged is useless.

    ``status`` is the HTTP status, if there was one.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class NoBatches(ModelRefused):
    """The endpoint has no Batch API, or none for this model; its other calls may work."""


class BadReply(MemstillError):
    """The model answered, but not what was asked for; ``problem`` can be told to it.

    The tokens are those of an answer that was paid and then could not even be handed on; zero
    where the endpoint reported none, or where the answer was handed on with its cost.
    """

    def __init__(self, problem: str, *, prompt_tokens: int = 0, completion_tokens: int = 0) -> None:
        super().__init__(problem)
        self.problem = problem
        self.prompt_tokens = prompt_tokens
        self.completion_tokens = completion_tokens


class BudgetExceeded(MemstillError):
    """A call would overstep a hard budget of the day; it was not made, and nothing is lost.

    Attributes:
        resume_at: When it is worth trying again: the next UTC day, or earlier to see whether the
            budget was raised.
        is_tenants: All users of the tenant share the budget; else it is the user's own.
    """

    def __init__(self, message: str, *, resume_at: datetime, is_tenants: bool) -> None:
        super().__init__(message)
        self.resume_at = resume_at
        self.is_tenants = is_tenants


class DamagedCheckpoint(MemstillError):
    """What is stored of a checkpoint does not have the hash of what was saved.

    Attributes:
        damaged: Its id.
        sound: The newest one before it that is whole; None where there is none.
    """

    def __init__(self, damaged: uuid.UUID, sound: uuid.UUID | None) -> None:
        instead = (
            f"the newest sound one before it is {sound}: ask for sound=true to go on from there"
            if sound
            else "none before it is sound: begin the thread anew under another name"
        )
        super().__init__(f"checkpoint {damaged} is damaged and is not handed out; {instead}")
        self.damaged = damaged
        self.sound = sound


class WriteConflict(MemstillError):
    """What was read has changed since; read and plan again."""


class LeaseLost(WriteConflict):
    """Another worker holds the lease now; nothing of this commit was written."""


class OwnerBusy(WriteConflict):
    """Another worker holds the user right now; the same call succeeds in a moment."""


class ErasedMeanwhile(WriteConflict):
    """The user or session was erased after this write had begun; nothing of it was kept."""


class VersionConflict(WriteConflict):
    """A memory changed between read and commit; nothing of this commit was written."""


class CheckpointConflict(WriteConflict):
    """The thread has gone on, or has ended, since its parent was read; nothing was saved.

    Attributes:
        newest: The newest checkpoint of the thread now; None where it has none.
    """

    def __init__(self, message: str, newest: uuid.UUID | None = None) -> None:
        super().__init__(message)
        self.newest = newest
