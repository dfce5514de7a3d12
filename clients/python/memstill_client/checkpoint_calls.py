"""HTTP calls about checkpoints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, urlencode
from uuid import UUID, uuid4

from memstill_client.calls import Call
from memstill_client.checkpoint_replies import (
    CheckpointPage,
    CleanedCheckpoints,
    LoadedCheckpoint,
    SavedCheckpoint,
    ThreadPage,
)
from memstill_client.errors import Refused
from memstill_client.json_values import MAX_DEPTH, NotPlain, plain_json, plain_text
from memstill_client.replies import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memstill_client.checkpoint_replies import CheckpointThread
    from memstill_client.endpoints import Endpoints

R = TypeVar("R", bound=Reply)

NEWEST: Final = "newest"
# An id, or ``NEWEST``.
Parent = UUID | str | None
PATH: Final = "/v1/checkpoints"
PAGE: Final = 200


def save_call(
    user_id: str,
    thread_id: str,
    state: object,
    endpoints: Endpoints,
    *,
    node: str | None,
    metadata: Mapping[str, object] | None,
    parent: Parent,
    checkpoint_id: UUID | None,
) -> Call[SavedCheckpoint]:
    """Save a state; repeating this very call saves it once.

    Raises:
        Refused: The state is no JSON; nothing was sent.
    """
    body = {
        "user_id": user_id,
        "thread_id": thread_id,
        "state": keepable("state", state),
        "node": node,
        "metadata": keepable("metadata", dict(metadata or {})),
        "parent": None if parent is None else str(parent),
        "id": str(checkpoint_id or uuid4()),
    }
    return _post(PATH, body, SavedCheckpoint, endpoints)


def load_call(
    user_id: str,
    thread_id: str,
    checkpoint_id: UUID | str | None,
    endpoints: Endpoints,
    *,
    sound: bool,
) -> Call[LoadedCheckpoint]:
    """Ask for a checkpoint, the newest if none is named."""
    place = ":latest" if checkpoint_id is None else f"/{quote(str(checkpoint_id), safe='')}"
    asked = {"user_id": user_id, "thread_id": thread_id}
    query = urlencode(asked | ({"sound": "true"} if sound else {}))
    return Call("GET", f"{PATH}{place}?{query}", LoadedCheckpoint, tenant_id=endpoints.tenant_id)


def history_call(
    user_id: str, thread_id: str, before: int | None, endpoints: Endpoints
) -> Call[CheckpointPage]:
    """Ask for a page of a thread."""
    asked: dict[str, object] = {"user_id": user_id, "thread_id": thread_id, "limit": PAGE}
    query = urlencode(asked if before is None else asked | {"before": before})
    return Call("GET", f"{PATH}?{query}", CheckpointPage, tenant_id=endpoints.tenant_id)


def threads_call(
    user_id: str | None, after: CheckpointThread | None, endpoints: Endpoints
) -> Call[ThreadPage]:
    """Ask for a page of threads."""
    asked: dict[str, object] = {"limit": PAGE}
    if user_id is not None:
        asked["user_id"] = user_id
    if after is not None:
        asked |= {"after_user_id": after.user_id, "after_thread_id": after.thread_id}
    path = f"{PATH}:threads?{urlencode(asked)}"
    return Call("GET", path, ThreadPage, tenant_id=endpoints.tenant_id)


def fork_call(
    user_id: str,
    thread_id: str,
    to_thread_id: str,
    checkpoint_id: UUID | str | None,
    endpoints: Endpoints,
) -> Call[SavedCheckpoint]:
    """Begin a thread with the state of another one; repeating this very call begins one."""
    body = {
        "user_id": user_id,
        "thread_id": thread_id,
        "to_thread_id": to_thread_id,
        "checkpoint": None if checkpoint_id is None else str(checkpoint_id),
        "id": str(uuid4()),
    }
    return _post(f"{PATH}:fork", body, SavedCheckpoint, endpoints)


def clean_call(endpoints: Endpoints, *, dry_run: bool) -> Call[CleanedCheckpoints]:
    """Have what has had its time removed, of all tenants, for one turn."""
    return _post(f"{PATH}:clean", {"dry_run": dry_run}, CleanedCheckpoints, endpoints)


def keepable(field: str, value: object) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """The value as it will be given back.

    Raises:
        Refused: It is no JSON.
    """
    try:
        return _copy(value, 0)
    except NotPlain as error:
        raise Refused("invalid_request", field, str(error)) from None


def _copy(value: object, depth: int) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """As ``plain_json``; but a state, which is no text for anybody, may hold NUL."""
    if depth > MAX_DEPTH:
        raise NotPlain(f"is nested deeper than {MAX_DEPTH} levels; flatten it")
    if isinstance(value, str):
        plain_text(value.replace("\0", ""))
        return value
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise NotPlain("has a key that is not a string; JSON knows no other")
        return {_copy(key, depth): _copy(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(item, depth + 1) for item in value]
    return plain_json(value)


def _post(path: str, body: object, reply: type[R], endpoints: Endpoints) -> Call[R]:
    content = json.dumps(body).encode()
    return Call("POST", path, reply, content, tenant_id=endpoints.tenant_id)
