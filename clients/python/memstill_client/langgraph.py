"""Remembers what LangGraph's graphs say: each run's new messages are pushed when it ends.

::

    from memstill_client.langgraph import remember

    graph = remember(builder.compile(checkpointer=saver), user_id="alice")
    graph.invoke({"messages": [("user", "hello")]}, {"configurable": {"thread_id": "t-1"}})

The thread is the session. What a run added to the thread is found by comparing its messages before
and after; a run that adds nothing pushes nothing. Nothing of LangGraph is imported here.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from memstill_client import shared
from memstill_client.aio import AsyncMemstill
from memstill_client.errors import MemstillError, NotConfigured, Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from memstill_client.pushes import TranscriptFields
    from memstill_client.sync import Memstill

log = logging.getLogger(__name__)

ROLES: Final = {
    "human": "user",
    "HumanMessageChunk": "user",
    "ai": "assistant",
    "AIMessageChunk": "assistant",
    "system": "system",
    "SystemMessageChunk": "system",
    "tool": "tool",
    "ToolMessageChunk": "tool",
    "function": "tool",
}
_KNOWN = frozenset({"user", "assistant", "system", "tool"})
_LONGEST_ID: Final = 200


@dataclass(frozen=True, slots=True)
class Session:
    """Whose run it is.

    Attributes:
        thread_id: LangGraph's thread, memstill's session.
    """

    user_id: str
    thread_id: str
    agent_id: str | None = None


def remember(
    graph: Any,
    client: Memstill | AsyncMemstill | None = None,
    *,
    user_id: str | None = None,
    agent_id: str | None = None,
    messages_key: str = "messages",
    raises: bool = False,
) -> RememberingGraph:
    """Wrap a compiled graph so that memstill gets what its runs say.

    Args:
        graph: Compiled with a checkpointer: without one there is no thread to compare with.
        client: An ``AsyncMemstill`` only where ``ainvoke`` and ``astream`` are called; the
            process's shared client if not given.
        user_id: Whose memories; if not given, each run's ``configurable`` has a ``user_id``.
        agent_id: Told beside, if given.
        messages_key: The key of the state that holds the messages.
        raises: Also raise what keeps memstill from taking a run, after the run; otherwise it is
            logged, with ids only, and the run's messages stay in the thread alone.

    Raises:
        NotConfigured: The graph has no checkpointer.
    """
    if not getattr(graph, "checkpointer", None):
        raise NotConfigured("the graph has no checkpointer: compile it with one to remember it")
    return RememberingGraph(
        graph,
        client,
        user_id=user_id,
        agent_id=agent_id,
        messages_key=messages_key,
        raises=raises,
    )


class RememberingGraph:
    """The graph that it wraps, in all respects but that the ends of its runs are remembered."""

    def __init__(
        self,
        graph: Any,
        client: Memstill | AsyncMemstill | None,
        *,
        user_id: str | None,
        agent_id: str | None,
        messages_key: str,
        raises: bool,
    ) -> None:
        self.graph = graph
        self._client = client
        self._user_id = user_id
        self._agent_id = agent_id
        self._key = messages_key
        self._raises = raises

    def __getattr__(self, name: str) -> Any:
        return getattr(self.graph, name)

    def invoke(self, *args: Any, config: Any = None, **options: Any) -> Any:
        """``graph.invoke``."""
        first, config = _split(args, config)
        with self._remembered(config):
            return self.graph.invoke(*first, config=config, **options)

    def stream(self, *args: Any, config: Any = None, **options: Any) -> Iterator[Any]:
        """``graph.stream``; a stream that is left early has ended, too."""
        first, config = _split(args, config)
        with self._remembered(config):
            yield from self.graph.stream(*first, config=config, **options)

    async def ainvoke(self, *args: Any, config: Any = None, **options: Any) -> Any:
        """``graph.ainvoke``."""
        first, config = _split(args, config)
        async with self._aremembered(config):
            return await self.graph.ainvoke(*first, config=config, **options)

    async def astream(
        self,
        *args: Any,
        config: Any = None,
        **options: Any,
    ) -> AsyncIterator[Any]:
        """``graph.astream``; a stream that is left early has ended, too."""
        first, config = _split(args, config)
        async with (
            self._aremembered(config),
            aclosing(self.graph.astream(*first, config=config, **options)) as steps,
        ):
            async for step in steps:
                yield step

    @contextmanager
    def _remembered(self, config: Any) -> Iterator[None]:
        if isinstance(self._client, AsyncMemstill):
            raise TypeError("an AsyncMemstill cannot be waited for here: give a Memstill")
        session_of = self._whose(config)
        began, before = datetime.now(UTC), self._said(self.graph.get_state(config))
        try:
            yield
        except (Exception, GeneratorExit):
            # What the run had said by then is in the thread; its own error is the one to tell.
            with suppress(Exception):
                self._end(session_of, before, began, self.graph.get_state(_newest(config)))
            raise
        with self._told(session_of):
            self._end(session_of, before, began, self.graph.get_state(_newest(config)))

    @asynccontextmanager
    async def _aremembered(self, config: Any) -> AsyncIterator[None]:
        session_of = self._whose(config)
        began, before = datetime.now(UTC), self._said(await self.graph.aget_state(config))
        try:
            yield
        except (Exception, GeneratorExit, asyncio.CancelledError):
            with suppress(Exception):
                state = await self.graph.aget_state(_newest(config))
                await self._aend(session_of, before, began, state)
            raise
        with self._told(session_of):
            state = await self.graph.aget_state(_newest(config))
            await self._aend(session_of, before, began, state)

    def _end(self, session: Session, before: Sequence[Any], began: datetime, state: Any) -> None:
        fields = self._fields(session, before, began, state)
        if fields is None:
            return
        if self._client is None:
            shared.enqueue(**fields)
        else:
            self._client.enqueue(**fields)

    async def _aend(
        self,
        session: Session,
        before: Sequence[Any],
        began: datetime,
        state: Any,
    ) -> None:
        fields = self._fields(session, before, began, state)
        if fields is None:
            return
        if isinstance(self._client, AsyncMemstill):
            await self._client.enqueue(**fields)
        elif self._client is None:
            await shared.aenqueue(**fields)
        else:
            await asyncio.to_thread(self._client.enqueue, **fields)

    def _fields(
        self,
        session: Session,
        before: Sequence[Any],
        began: datetime,
        state: Any,
    ) -> TranscriptFields | None:
        new = new_messages(before, self._said(state))
        return transcript_fields(session, new, began=began, ended=_time(state.created_at) or began)

    def _said(self, state: Any) -> list[Any]:
        values = state.values
        return list(values.get(self._key) or ()) if isinstance(values, dict) else []

    def _whose(self, config: Any) -> Session:
        named = _configurable(getattr(self.graph, "config", None)) | _configurable(config)
        user_id = self._user_id or named.get("user_id")
        if not user_id:
            raise NotConfigured(
                "nobody says whose run this is: give remember() a user_id, or each run one in its "
                "configurable"
            )
        return Session(str(user_id), str(named.get("thread_id", "")), self._agent_id)

    @contextmanager
    def _told(self, session: Session) -> Iterator[None]:
        """The run has ended well: whatever keeps it from being remembered does not undo that."""
        try:
            yield
        except Refused as error:
            if error.type != "idempotency_conflict":
                self._tell(session, error)
        except Exception as error:  # noqa: BLE001 - also the checkpointer's own, of any database
            self._tell(session, error)

    def _tell(self, session: Session, error: Exception) -> None:
        if self._raises:
            raise error
        log.warning(
            "what a run said was not taken by memstill: thread %s, %s%s",
            session.thread_id,
            type(error).__name__,
            # Others may quote what was said.
            f": {error}" if isinstance(error, MemstillError) else "",
        )


def new_messages(before: Sequence[Any], after: Sequence[Any]) -> list[Any]:
    """Those that a run added; by id, and by position where they have none."""
    known = {message_id for item in before if (message_id := _field(item, "id"))}
    return [
        item
        for position, item in enumerate(after)
        if (_field(item, "id") not in known if _field(item, "id") else position >= len(before))
    ]


def transcript_fields(
    session: Session, messages: Sequence[Any], *, began: datetime, ended: datetime
) -> TranscriptFields | None:
    """LangChain's messages as a transcript; None where none of them says anything.

    The idempotency key comes from the thread and the messages' ids, so that handing over the same
    ones again changes nothing.

    Args:
        session: Whose.
        messages: Of LangChain, or objects of the same form.
        began: When what people said first was said.
        ended: When the rest had been said: LangChain's messages have no times.
    """
    opening = next((n for n, item in enumerate(messages) if _role(item) != "user"), len(messages))
    told = [
        _message(item, role, began if position < opening else max(began, ended))
        for position, item in enumerate(messages)
        if (role := _role(item)) is not None
    ]
    if all(not item["content"].strip() for item in told):
        return None
    fields: TranscriptFields = {
        "user_id": session.user_id,
        "session_id": session.thread_id,
        "messages": told,
        "idempotency_key": _key_of(session, told),
        "started_at": began,
    }
    if session.agent_id is not None:
        fields["agent_id"] = session.agent_id
    return fields


def _message(item: Any, role: str, said_at: datetime) -> dict[str, Any]:
    told = {
        "role": role,
        "content": _text(_field(item, "content")),
        "created_at": said_at,
        "id": _short(_field(item, "id")),
        "name": _short(_field(item, "name")),
        "tool_call": _tool_call(_field(item, "tool_calls")),
    }
    return {name: value for name, value in told.items() if value is not None}


def _role(item: Any) -> str | None:
    kind = _field(item, "type")
    if kind in {"chat", "ChatMessageChunk"}:
        kind = _field(item, "role")
    return ROLES.get(kind, kind if kind in _KNOWN else None)


def _text(content: object) -> str:
    """What is text in it: images and the like are left out."""
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    texts = (block if isinstance(block, str) else _block_text(block) for block in blocks)
    return "\n".join(text for text in texts if text)


def _block_text(block: object) -> str:
    if not isinstance(block, dict) or block.get("type") != "text":
        return ""
    return str(block.get("text") or "")


def _tool_call(calls: Any) -> dict[str, Any] | None:
    plain = [
        {name: call[name] for name in ("name", "args", "id") if call.get(name) is not None}
        for call in calls or ()
    ]
    return plain[0] if len(plain) == 1 else {"calls": plain} if plain else None


def _key_of(session: Session, messages: Sequence[Mapping[str, Any]]) -> str:
    named = [item.get("id") or [item["role"], item["content"]] for item in messages]
    form = json.dumps([session.thread_id, named])
    return f"langgraph-{hashlib.sha256(form.encode()).hexdigest()}"


def _split(args: tuple[Any, ...], config: Any) -> tuple[tuple[Any, ...], Any]:
    """The input, and the configuration wherever it stands."""
    return (args[:1], args[1]) if len(args) > 1 else (args, config)


def _newest(config: Any) -> Any:
    """The thread as it is now, also where a run began at an older checkpoint."""
    named = _configurable(config)
    named.pop("checkpoint_id", None)
    return {**(config or {}), "configurable": named}


def _configurable(config: Any) -> dict[str, Any]:
    return dict((config or {}).get("configurable") or {})


def _field(item: Any, name: str) -> Any:
    return item.get(name) if isinstance(item, dict) else getattr(item, name, None)


def _short(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST_ID else None


def _time(written: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(written or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
