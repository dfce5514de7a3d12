"""What is asked of and answered about running sessions."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

from memstill_client.calls import Call
from memstill_client.replies import Reply

if TYPE_CHECKING:
    from memstill_client.endpoints import Endpoints

R = TypeVar("R", bound=Reply)
# A message as it is handed over: role and content, and name and created_at if known.
MessageFields = Mapping[str, Any]


class ContextMessage(Reply):
    """One message of a running conversation, secrets redacted."""

    role: str
    content: str
    name: str | None = None
    created_at: datetime


class Episode(Reply):
    """What happened in a session, secrets redacted."""

    session_id: str
    content: str
    created_at: datetime


class EpisodeKept(Reply):
    """An episode as it was stored."""

    content: str


class Use(Reply):
    """Whether a use is within its limit.

    Attributes:
        used: In the window that ends now.
        retry_after_seconds: When the next one is allowed; 0 if that is now.
    """

    allowed: bool
    used: int
    retry_after_seconds: float


class WorkingSummary(Reply):
    """What stands in the place of items that were folded away.

    Attributes:
        folded: How many those were.
        summarised_by: Model and prompt, or ``extractive/1``.
    """

    content: str
    tokens: int
    folded: int
    summarised_by: str
    created_at: datetime


class WorkingItem(Reply):
    """One thing that the agent holds in mind."""

    content: str
    tokens: int
    created_at: datetime


class WorkingMemory(Reply):
    """What the agent holds in mind: the summary, and the items after it, the oldest first."""

    summary: WorkingSummary | None = None
    items: tuple[WorkingItem, ...]
    tokens: int
    budget_tokens: int

    @property
    def text(self) -> str:
        """All of it as text for a prompt, a line for the summary and for each item."""
        summary = [] if self.summary is None else [self.summary.content]
        return "\n".join([*summary, *(item.content for item in self.items)])


class ContextCount(Reply):
    """How many messages a conversation holds."""

    messages: int


class ContextReply(Reply):
    """The latest messages."""

    messages: tuple[ContextMessage, ...]


class EpisodesReply(Reply):
    """The newest episodes."""

    episodes: tuple[Episode, ...]


class StatesReply(Reply):
    """States of tools by name."""

    states: dict[str, Any]


class StateReply(Reply):
    """State of a session."""

    state: Any


class Kept(Reply):
    """It is kept for so long."""

    lifetime_seconds: float


class SessionCalls:
    """The calls about one session of one user."""

    def __init__(self, endpoints: Endpoints, user_id: str, session_id: str) -> None:
        self._endpoints = endpoints
        self._user_id = user_id
        # A session called ".." would else lead elsewhere.
        name = quote(session_id, safe="").replace(".", "%2E")
        self._path = f"/v1/sessions/{name}"

    def append(self, messages: Iterable[MessageFields]) -> Call[ContextCount]:
        """Append to the conversation."""
        said = [_spell(message) for message in messages]
        return self._write("POST", "context", {"messages": said, "once": _name()}, ContextCount)

    def context(self, limit: int | None) -> Call[ContextReply]:
        """Ask for the latest messages."""
        return self._read("context", {"limit": limit}, ContextReply)

    def add_episode(self, content: str) -> Call[EpisodeKept]:
        """Add an episode."""
        return self._write("POST", "episodes", {"content": content, "once": _name()}, EpisodeKept)

    def remember(self, items: Iterable[str]) -> Call[WorkingMemory]:
        """Append to the working memory."""
        said = {"items": list(items), "once": _name()}
        return self._write("POST", "working", said, WorkingMemory)

    def working(self) -> Call[WorkingMemory]:
        """Ask for the working memory."""
        return self._read("working", {}, WorkingMemory)

    def set_tool_state(self, tool: str, state: object) -> Call[Kept]:
        """Keep the state of a tool."""
        return self._write("PUT", "tools", {"tool": tool, "state": state}, Kept)

    def tool_states(self, tools: Iterable[str]) -> Call[StatesReply]:
        """Ask for the states of tools."""
        return self._read("tools", {"tool": list(tools)}, StatesReply)

    def save_state(self, state: object) -> Call[Kept]:
        """Keep what the session is resumed from."""
        return self._write("PUT", "state", {"state": state}, Kept)

    def load_state(self) -> Call[StateReply]:
        """Ask for what the session is resumed from."""
        return self._read("state", {}, StateReply)

    def _write(self, method: str, about: str, said: Mapping[str, Any], reply: type[R]) -> Call[R]:
        path, body = f"{self._path}/{about}", {"user_id": self._user_id, **said}
        return body_call(method, path, body, reply, self._endpoints)

    def _read(self, about: str, asked: Mapping[str, Any], reply: type[R]) -> Call[R]:
        asked = {"user_id": self._user_id, **asked}
        return query_call(f"{self._path}/{about}", asked, reply, self._endpoints)


def episodes_call(user_id: str, limit: int | None, endpoints: Endpoints) -> Call[EpisodesReply]:
    """Ask for a user's newest episodes."""
    asked = {"user_id": user_id, "limit": limit}
    return query_call("/v1/episodes", asked, EpisodesReply, endpoints)


def use_call(
    user_id: str, name: str, limit: int, window_seconds: float, endpoints: Endpoints
) -> Call[Use]:
    """Count a use of something."""
    body = {
        "user_id": user_id,
        "name": name,
        "limit": limit,
        "window_seconds": window_seconds,
        "once": _name(),
    }
    return body_call("POST", "/v1/rates:count", body, Use, endpoints)


def body_call(
    method: str, path: str, body: Mapping[str, Any], reply: type[R], endpoints: Endpoints
) -> Call[R]:
    """A call with a body."""
    content = json.dumps(body).encode()
    return Call(method, path, reply, content, tenant_id=endpoints.tenant_id)


def query_call(
    path: str, asked: Mapping[str, Any], reply: type[R], endpoints: Endpoints
) -> Call[R]:
    """A call with a query; what is None is left out."""
    given = {name: value for name, value in asked.items() if value is not None}
    query = urlencode(given, doseq=True)
    return Call("GET", f"{path}?{query}", reply, tenant_id=endpoints.tenant_id)


def _name() -> str:
    """A write that is tried again under its name is done once."""
    return uuid.uuid4().hex


def _spell(message: MessageFields) -> dict[str, Any]:
    at = message.get("created_at")
    return {**message, **({"created_at": at.isoformat()} if isinstance(at, datetime) else {})}
