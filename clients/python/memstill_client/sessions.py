"""A running session: its conversation, episodes, state of tools, and what it is resumed from.

All of it is kept in the server's Redis for minutes to days and may be gone: an agent asks, and
goes on without what is not there. Every method raises ``Unavailable`` if nobody answers and
``Refused`` if the arguments are not accepted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memstill_client.errors import NotFound
from memstill_client.session_calls import SessionCalls, episodes_call, use_call

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memstill_client.endpoints import Endpoints
    from memstill_client.session_calls import (
        ContextMessage,
        Episode,
        MessageFields,
        Use,
        WorkingMemory,
    )
    from memstill_client.transports import AsyncTransport, Transport


class Session:
    """One session of one user, made by ``Memstill.session``."""

    def __init__(self, calls: SessionCalls, http: Transport) -> None:
        self._calls = calls
        self._http = http

    def append(self, *messages: MessageFields) -> int:
        """Append to the conversation, which is kept for two hours from its last use.

        Args:
            messages: Each with ``role`` and ``content``, if known ``name`` and ``created_at``.

        Returns:
            How many messages it holds now; the oldest go when there are too many.
        """
        return self._http.ask(self._calls.append(messages)).messages

    def context(self, limit: int | None = None) -> tuple[ContextMessage, ...]:
        """The latest messages, in the order in which they were said, without secrets."""
        return self._http.ask(self._calls.context(limit)).messages

    def add_episode(self, content: str) -> str:
        """Tell in some sentences what happened; kept for 24 hours, for all of the user's sessions.

        Returns:
            The episode as it was stored, without secrets.
        """
        return self._http.ask(self._calls.add_episode(content)).content

    def remember(self, *items: str) -> WorkingMemory:
        """Append to the working memory, kept for two hours from its last use.

        Above twenty items or its budget the older ones are summarised, and the call waits for
        the model that does so; the newest five stay word for word.
        """
        return self._http.ask(self._calls.remember(items))

    def working(self) -> WorkingMemory:
        """What the agent holds in mind."""
        return self._http.ask(self._calls.working())

    def set_tool_state(self, tool: str, state: object) -> None:
        """Keep JSON that a tool needs again, exactly as it is, for 30 minutes from its last use."""
        self._http.ask(self._calls.set_tool_state(tool, state))

    def tool_state(self, tool: str) -> Any:  # noqa: ANN401 - JSON
        """What the tool has; None where that is nothing."""
        return self.tool_states([tool]).get(tool)

    def tool_states(self, tools: Iterable[str]) -> dict[str, Any]:
        """What these tools have, by name, in one call; those without anything are left out."""
        return self._http.ask(self._calls.tool_states(tools)).states

    def save_state(self, state: object) -> None:
        """Keep JSON that the session can be resumed from, for 72 hours from its last use."""
        self._http.ask(self._calls.save_state(state))

    def load_state(self) -> Any:  # noqa: ANN401 - JSON
        """What the session can be resumed from, exactly as it was saved; None where nothing is."""
        try:
            return self._http.ask(self._calls.load_state()).state
        except NotFound:
            return None


class AsyncSession:
    """``Session``, to be awaited."""

    def __init__(self, calls: SessionCalls, http: AsyncTransport) -> None:
        self._calls = calls
        self._http = http

    async def append(self, *messages: MessageFields) -> int:
        """See ``Session.append``."""
        return (await self._http.ask(self._calls.append(messages))).messages

    async def context(self, limit: int | None = None) -> tuple[ContextMessage, ...]:
        """See ``Session.context``."""
        return (await self._http.ask(self._calls.context(limit))).messages

    async def add_episode(self, content: str) -> str:
        """See ``Session.add_episode``."""
        return (await self._http.ask(self._calls.add_episode(content))).content

    async def remember(self, *items: str) -> WorkingMemory:
        """See ``Session.remember``."""
        return await self._http.ask(self._calls.remember(items))

    async def working(self) -> WorkingMemory:
        """See ``Session.working``."""
        return await self._http.ask(self._calls.working())

    async def set_tool_state(self, tool: str, state: object) -> None:
        """See ``Session.set_tool_state``."""
        await self._http.ask(self._calls.set_tool_state(tool, state))

    async def tool_state(self, tool: str) -> Any:  # noqa: ANN401 - JSON
        """See ``Session.tool_state``."""
        return (await self.tool_states([tool])).get(tool)

    async def tool_states(self, tools: Iterable[str]) -> dict[str, Any]:
        """See ``Session.tool_states``."""
        return (await self._http.ask(self._calls.tool_states(tools))).states

    async def save_state(self, state: object) -> None:
        """See ``Session.save_state``."""
        await self._http.ask(self._calls.save_state(state))

    async def load_state(self) -> Any:  # noqa: ANN401 - JSON
        """See ``Session.load_state``."""
        try:
            return (await self._http.ask(self._calls.load_state())).state
        except NotFound:
            return None


class RunningSessions:
    """What a ``Memstill`` knows of running sessions."""

    _endpoints: Endpoints
    _http: Transport

    def session(self, user_id: str, session_id: str) -> Session:
        """A running session; nothing is asked of the server until it is used."""
        return Session(SessionCalls(self._endpoints, user_id, session_id), self._http)

    def episodes(self, user_id: str, limit: int | None = None) -> tuple[Episode, ...]:
        """The user's episodes of the last 24 hours in all sessions, the newest first."""
        return self._http.ask(episodes_call(user_id, limit, self._endpoints)).episodes

    def count_use(self, user_id: str, name: str, limit: int, window_seconds: float) -> Use:
        """Count a use, if fewer than ``limit`` were counted in the last ``window_seconds``."""
        call = use_call(user_id, name, limit, window_seconds, self._endpoints)
        return self._http.ask(call)


class AsyncRunningSessions:
    """What an ``AsyncMemstill`` knows of running sessions."""

    _endpoints: Endpoints
    _http: AsyncTransport

    def session(self, user_id: str, session_id: str) -> AsyncSession:
        """See ``Memstill.session``; it is not awaited."""
        return AsyncSession(SessionCalls(self._endpoints, user_id, session_id), self._http)

    async def episodes(self, user_id: str, limit: int | None = None) -> tuple[Episode, ...]:
        """See ``Memstill.episodes``."""
        return (await self._http.ask(episodes_call(user_id, limit, self._endpoints))).episodes

    async def count_use(self, user_id: str, name: str, limit: int, window_seconds: float) -> Use:
        """See ``Memstill.count_use``."""
        call = use_call(user_id, name, limit, window_seconds, self._endpoints)
        return await self._http.ask(call)
