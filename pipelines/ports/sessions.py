"""The session tier: what a running agent keeps at hand, for minutes to days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from pipelines.model import Owner, Role


@dataclass(frozen=True, slots=True)
class ContextMessage:
    """One message of a running conversation, secrets redacted.

    Attributes:
        asks_secret: It asks for a secret, so that the next one may say nothing else.
    """

    role: Role
    content: str
    created_at: datetime
    name: str | None = None
    asks_secret: bool = False


@dataclass(frozen=True, slots=True)
class Episode:
    """What happened in a session, as its agent tells it in some sentences, secrets redacted."""

    session_id: str
    content: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Write:
    """What each write carries.

    Attributes:
        began_at: When the request for it began. A write that began before its subject was erased
            is refused, however late it comes.
        once: Its name: done again under the same name it changes nothing.
    """

    began_at: datetime
    once: str


@dataclass(frozen=True, slots=True)
class Asked:
    """The last message of a context asks for a secret: whoever appends has to know it.

    Attributes:
        mark: To be handed back with what was redacted in its knowledge.
    """

    message: ContextMessage
    mark: bytes


@dataclass(frozen=True, slots=True)
class RateCount:
    """Whether a use was within its limit.

    Attributes:
        used: In the window that ends now, this use included if it was allowed.
        retry_after: When the next one is allowed; zero if that is now.
    """

    is_allowed: bool
    used: int
    retry_after: timedelta


@dataclass(frozen=True, slots=True)
class SessionView:
    """What recall needs of a running session, read at once.

    Attributes:
        context: In the order in which it was said.
        episodes: The user's, the newest first.
    """

    context: tuple[ContextMessage, ...]
    episodes: tuple[Episode, ...]


class SessionCache(Protocol):
    """Hot state of sessions. What it holds is gone after its lifetime, and after an erasure.

    Each call is one round trip. Reading extends a lifetime as writing does, but for episodes,
    whose time runs from when they were added. Every write may raise ``ErasedMeanwhile``, every
    call ``SessionsUnavailable``; an agent can go on without all of it.
    """

    def append_context(
        self,
        owner: Owner,
        session_id: str,
        messages: Sequence[ContextMessage],
        write: Write,
        after: Asked | None = None,
    ) -> int | Asked:
        """Append to the conversation; gives how many messages it holds now.

        Where its last message asks for a secret and is not the one of ``after``, nothing is
        stored: what is appended has to be redacted as an answer to it first.
        """
        ...

    def read_context(self, owner: Owner, session_id: str, limit: int) -> list[ContextMessage]:
        """The latest messages, in the order in which they were said."""
        ...

    def add_episode(self, owner: Owner, episode: Episode, write: Write) -> None:
        """Add an episode; the oldest above the bound goes."""
        ...

    def read_episodes(self, owner: Owner, limit: int) -> list[Episode]:
        """The user's episodes, the newest first."""
        ...

    def keep_tool_state(
        self,
        owner: Owner,
        session_id: str,
        tool: str,
        state: Any,  # noqa: ANN401 - JSON
        write: Write,
    ) -> None:
        """Keep what a tool needs again, instead of what it had."""
        ...

    def read_tool_states(
        self, owner: Owner, session_id: str, tools: Sequence[str]
    ) -> dict[str, Any]:
        """What these tools have, by name; those without anything are left out."""
        ...

    def keep_state(
        self,
        owner: Owner,
        session_id: str,
        state: Any,  # noqa: ANN401 - JSON
        write: Write,
    ) -> None:
        """Keep what the session can be resumed from, instead of what there was."""
        ...

    def read_state(self, owner: Owner, session_id: str) -> Mapping[str, Any] | None:
        """``{"state": …}`` as it was kept, or None where nothing is."""
        ...

    def count_use(
        self, owner: Owner, name: str, limit: int, window: timedelta, write: Write
    ) -> RateCount:
        """Count a use, if fewer than ``limit`` were counted in the window that ends now.

        Exact: no window of that length, wherever it begins, holds more. A refused use does not
        count, and one that is repeated under the name of its write counts once.
        """
        ...

    def look(self, owner: Owner, session_id: str, messages: int, episodes: int) -> SessionView:
        """The latest messages of the session and the newest episodes of its user."""
        ...
