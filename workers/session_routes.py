"""Routes about running sessions: conversation, episodes, state, rates, working memory."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query
from pydantic import BaseModel, ConfigDict, Field

from memstill_client.times import utc_time
from memstill_client.wire import Id, RoleName, Text, Time
from pipelines.errors import InputError, NotFound
from pipelines.model import Owner, Role
from pipelines.ports import ContextMessage
from workers.callers import Caller, Reader, Writer
from workers.idempotency import RequestKey, one_key
from workers.metrics.catalogue import Recovery, note_recovery

if TYPE_CHECKING:
    from datetime import datetime

    from pipelines.flows.sessions import Sessions
    from pipelines.flows.working import WorkingMemory
    from pipelines.ports import Episode, Working
    from workers.container import Container

Limit = Annotated[int | None, Query(ge=1)]
# A session's id may hold slashes.
SESSION = "/v1/sessions/{session_id:path}"


class Body(BaseModel):
    """What every body names: whose session it is."""

    model_config = ConfigDict(extra="forbid")

    user_id: Id


class WriteBody(Body):
    """What is not simply replaced: repeated under one name it is done once."""

    once: Id | None = None


class MessageIn(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(extra="forbid")

    role: RoleName
    content: Text
    name: Id | None = None
    created_at: Time | None = None


class ContextBody(WriteBody):
    """What ``POST …/context`` takes."""

    messages: list[MessageIn] = Field(min_length=1)


class EpisodeBody(WriteBody):
    """What ``POST …/episodes`` takes."""

    content: Text


class WorkingBody(WriteBody):
    """What ``POST …/working`` takes."""

    items: list[Text] = Field(min_length=1)


class StateBody(Body):
    """What ``PUT …/state`` takes: any JSON."""

    state: Any


class ToolBody(StateBody):
    """What ``PUT …/tools`` takes."""

    tool: Id


class UseBody(WriteBody):
    """What ``POST /v1/rates:count`` takes."""

    name: Id
    limit: int = Field(ge=1)
    window_seconds: float = Field(gt=0, le=86_400)


def add_session_routes(api: FastAPI, container: Container) -> None:
    """Add them to the application."""
    tier = container.sessions
    _add_context(api, tier.sessions, container.policies.intake.max_future)
    _add_episodes(api, tier.sessions)
    _add_states(api, tier.sessions)
    _add_rates(api, tier.sessions)
    _add_working(api, tier.working)


def once_of(body: WriteBody, key: str | None) -> str | None:
    """Under which name a write is done once: the one in the body, or the header's."""
    return one_key(key, body.once, "once")


def owner_of(caller: Caller, user_id: str) -> Owner:
    """Whose session it is.

    Raises:
        NotAllowed: The key acts for another user.
    """
    caller.narrow(user_id)
    return Owner(caller.tenant_id, user_id)


def _add_context(api: FastAPI, sessions: Sessions, future: timedelta) -> None:
    @api.post(f"{SESSION}/context")
    def append(
        session_id: Id, body: ContextBody, caller: Writer, key: RequestKey = None
    ) -> dict[str, Any]:
        now = sessions.clock.now()
        messages = [
            ContextMessage(
                Role(item.role), item.content, _time(item, place, now, future), item.name
            )
            for place, item in enumerate(body.messages)
        ]
        whose = owner_of(caller, body.user_id)
        return {"messages": sessions.append(whose, session_id, messages, once_of(body, key))}

    @api.get(f"{SESSION}/context")
    def context(session_id: Id, user_id: Id, caller: Reader, limit: Limit = None) -> dict[str, Any]:
        found = sessions.context(owner_of(caller, user_id), session_id, limit)
        return {"messages": [message_view(message) for message in found]}


def _time(item: MessageIn, place: int, now: datetime, future: timedelta) -> datetime:
    problem, time = utc_time(item.created_at, now + future)
    if problem:
        raise InputError(f"messages.{place}.created_at", problem)
    return time or now


def _add_episodes(api: FastAPI, sessions: Sessions) -> None:
    @api.post(f"{SESSION}/episodes")
    def add(
        session_id: Id, body: EpisodeBody, caller: Writer, key: RequestKey = None
    ) -> dict[str, Any]:
        whose = owner_of(caller, body.user_id)
        kept = sessions.add_episode(whose, session_id, body.content, once_of(body, key))
        return {"content": kept.content}

    @api.get("/v1/episodes")
    def episodes(user_id: Id, caller: Reader, limit: Limit = None) -> dict[str, Any]:
        found = sessions.episodes(owner_of(caller, user_id), limit)
        return {"episodes": [episode_view(episode) for episode in found]}


def _add_states(api: FastAPI, sessions: Sessions) -> None:
    policy = sessions.policy

    @api.put(f"{SESSION}/tools")
    def keep_tool(session_id: Id, body: ToolBody, caller: Writer) -> dict[str, Any]:
        whose = owner_of(caller, body.user_id)
        sessions.keep_tool_state(whose, session_id, body.tool, body.state)
        return {"lifetime_seconds": policy.tool_state.total_seconds()}

    @api.get(f"{SESSION}/tools")
    def tools(
        session_id: Id, user_id: Id, tool: Annotated[list[Id], Query(min_length=1)], caller: Reader
    ) -> dict[str, Any]:
        return {"states": sessions.tool_states(owner_of(caller, user_id), session_id, tool)}

    @api.put(f"{SESSION}/state")
    def keep(session_id: Id, body: StateBody, caller: Writer) -> dict[str, Any]:
        sessions.keep_state(owner_of(caller, body.user_id), session_id, body.state)
        return {"lifetime_seconds": policy.state.total_seconds()}

    @api.get(f"{SESSION}/state")
    def state(session_id: Id, user_id: Id, caller: Reader) -> dict[str, Any]:
        found = sessions.state(owner_of(caller, user_id), session_id)
        if found is None:
            raise NotFound("nothing is kept of this session")
        note_recovery(Recovery.SESSION_STATE)
        return dict(found)


def _add_rates(api: FastAPI, sessions: Sessions) -> None:
    @api.post("/v1/rates:count")
    def count(body: UseBody, caller: Writer, key: RequestKey = None) -> dict[str, Any]:
        found = sessions.count_use(
            owner_of(caller, body.user_id),
            body.name,
            body.limit,
            timedelta(seconds=body.window_seconds),
            once_of(body, key),
        )
        return {
            "allowed": found.is_allowed,
            "used": found.used,
            "retry_after_seconds": found.retry_after.total_seconds(),
        }


def _add_working(api: FastAPI, working: WorkingMemory) -> None:
    @api.post(f"{SESSION}/working")
    def append(
        session_id: Id, body: WorkingBody, caller: Writer, key: RequestKey = None
    ) -> dict[str, Any]:
        whose = owner_of(caller, body.user_id)
        found = working.append(whose, session_id, body.items, once_of(body, key))
        return working_view(found, working.policy.budget_tokens)

    @api.get(f"{SESSION}/working")
    def read(session_id: Id, user_id: Id, caller: Reader) -> dict[str, Any]:
        found = working.read(owner_of(caller, user_id), session_id)
        return working_view(found, working.policy.budget_tokens)


def working_view(working: Working, budget_tokens: int) -> dict[str, Any]:
    """A working memory as it is answered: the summary comes before the items."""
    summary = working.summary
    return {
        "summary": None
        if summary is None
        else {
            "content": summary.content,
            "tokens": summary.tokens,
            "folded": summary.folded,
            "summarised_by": summary.summarised_by,
            "created_at": summary.created_at.isoformat(),
        },
        "items": [
            {
                "content": item.content,
                "tokens": item.tokens,
                "created_at": item.created_at.isoformat(),
            }
            for item in working.items
        ],
        "tokens": working.tokens,
        "budget_tokens": budget_tokens,
    }


def message_view(message: ContextMessage) -> dict[str, Any]:
    """A message as it is answered."""
    return {
        "role": message.role.value,
        "content": message.content,
        "name": message.name,
        "created_at": message.created_at.isoformat(),
    }


def episode_view(episode: Episode) -> dict[str, Any]:
    """An episode as it is answered."""
    return {
        "session_id": episode.session_id,
        "content": episode.content,
        "created_at": episode.created_at.isoformat(),
    }
