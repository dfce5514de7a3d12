"""``SessionCache`` and ``SubjectCache`` on Redis."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pipelines.adapters import session_scripts as scripts
from pipelines.adapters import session_values as values
from pipelines.adapters.session_keys import (
    OwnerKeys,
    ask,
    ask_write,
    encode,
    instant,
    milliseconds,
    translated,
)
from pipelines.ports import Asked, ContextMessage, Episode, RateCount, SessionView

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from config.sessions import SessionPolicy
    from pipelines.model import Owner
    from pipelines.ports import Subject, Write

CONTEXT, STATE, TOOL = "context", "state", "tool"
ASKED = b"asked"


class RedisSessions:
    """The session tier on Redis 6.2 or newer.

    Args:
        redis: Closed by the caller.
        key_prefix: Of this installation.
    """

    def __init__(self, redis: Redis, key_prefix: str, policy: SessionPolicy) -> None:
        self._redis = redis
        self._prefix = key_prefix
        self._policy = policy
        self._longest = milliseconds(policy.longest)

    # ---- conversation ---------------------------------------------------------------------------

    def append_context(
        self,
        owner: Owner,
        session_id: str,
        messages: Sequence[ContextMessage],
        write: Write,
        after: Asked | None = None,
    ) -> int | Asked:
        keys, policy = self._keys_of(owner), self._policy
        context = keys.of_session(session_id, CONTEXT)
        answer = ask_write(
            self._redis,
            scripts.APPEND,
            [*self._guards(keys, session_id), context, keys.once(context, write.once)],
            [
                *self._stamp(write),
                milliseconds(policy.context),
                milliseconds(policy.once),
                policy.max_messages,
                b"" if after is None else after.mark,
                *map(values.write_message, messages),
            ],
        )
        if answer[0] == ASKED:
            return Asked(values.read_message(answer[1]), answer[1])
        return int(answer[1])

    def read_context(self, owner: Owner, session_id: str, limit: int) -> list[ContextMessage]:
        keys = self._keys_of(owner)
        return _messages(ask(self._redis, *self._context_question(keys, session_id, limit)))

    # ---- episodes -------------------------------------------------------------------------------

    def add_episode(self, owner: Owner, episode: Episode, write: Write) -> None:
        keys, policy = self._keys_of(owner), self._policy
        once = keys.once(keys.of_session(episode.session_id), write.once)
        told = _opening(episode.session_id) + values.write_episode(episode, write.once)
        ask_write(
            self._redis,
            scripts.ADD_EPISODE,
            [*self._guards(keys, episode.session_id), keys.episodes, once],
            [
                *self._stamp(write),
                milliseconds(policy.episode),
                milliseconds(policy.once),
                policy.max_episodes,
                told,
            ],
        )

    def read_episodes(self, owner: Owner, limit: int) -> list[Episode]:
        return _episodes(ask(self._redis, *self._episodes_question(self._keys_of(owner), limit)))

    # ---- state ----------------------------------------------------------------------------------

    def keep_tool_state(
        self,
        owner: Owner,
        session_id: str,
        tool: str,
        state: Any,  # noqa: ANN401 - JSON
        write: Write,
    ) -> None:
        key = self._keys_of(owner).of_session(session_id, TOOL, tool)
        self._keep(owner, session_id, key, write, lifetime=self._policy.tool_state, state=state)

    def read_tool_states(
        self, owner: Owner, session_id: str, tools: Sequence[str]
    ) -> dict[str, Any]:
        keys = self._keys_of(owner)
        wanted = [keys.of_session(session_id, TOOL, tool) for tool in tools]
        found = self._read(keys, wanted, self._policy.tool_state)
        return {
            tool: values.read_state(raw)["state"]
            for tool, raw in zip(tools, found, strict=True)
            if raw is not None
        }

    def keep_state(
        self,
        owner: Owner,
        session_id: str,
        state: Any,  # noqa: ANN401 - JSON
        write: Write,
    ) -> None:
        key = self._keys_of(owner).of_session(session_id, STATE)
        self._keep(owner, session_id, key, write, lifetime=self._policy.state, state=state)

    def read_state(self, owner: Owner, session_id: str) -> Mapping[str, Any] | None:
        keys = self._keys_of(owner)
        wanted = [keys.of_session(session_id, STATE)]
        (raw,) = self._read(keys, wanted, self._policy.state)
        return None if raw is None else values.read_state(raw)

    # ---- rate -----------------------------------------------------------------------------------

    def count_use(
        self, owner: Owner, name: str, limit: int, window: timedelta, write: Write
    ) -> RateCount:
        keys = self._keys_of(owner)
        _, is_allowed, used, wait = ask_write(
            self._redis,
            scripts.COUNT_USE,
            [*self._guards(keys), keys.rate(name, window)],
            [*self._stamp(write), milliseconds(window), limit, write.once],
        )
        return RateCount(bool(is_allowed), int(used), timedelta(milliseconds=int(wait)))

    # ---- recall ---------------------------------------------------------------------------------

    def look(self, owner: Owner, session_id: str, messages: int, episodes: int) -> SessionView:
        keys = self._keys_of(owner)
        with translated(), self._redis.pipeline(transaction=False) as pipeline:
            ask(pipeline, *self._context_question(keys, session_id, messages))
            ask(pipeline, *self._episodes_question(keys, episodes))
            said, happened = pipeline.execute()
        return SessionView(tuple(_messages(said)), tuple(_episodes(happened)))

    # ---- erasing --------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return "session tier"

    def remove(self, subject: Subject, until: datetime) -> int:
        mark = instant(until + self._policy.erase_slack)
        return int(ask(self._redis, scripts.REMOVE, *self._subject_question(subject, mark)))

    def count(self, subject: Subject, until: datetime) -> int:
        # It knows itself when the subject was erased last.
        del until
        return int(ask(self._redis, scripts.COUNT, *self._subject_question(subject, 0)))

    # ---- how it is asked ------------------------------------------------------------------------

    def _keys_of(self, owner: Owner) -> OwnerKeys:
        return OwnerKeys(self._prefix, owner)

    def _guards(self, keys: OwnerKeys, session_id: str | None = None) -> list[str]:
        """The index, and what says that the user or the session was erased."""
        return [keys.index, keys.erased(), keys.erased(session_id)]

    def _stamp(self, write: Write) -> list[object]:
        return [instant(write.began_at), self._longest]

    def _keep(
        self,
        owner: Owner,
        session_id: str,
        key: str,
        write: Write,
        *,
        lifetime: timedelta,
        state: Any,  # noqa: ANN401 - JSON
    ) -> None:
        guards = self._guards(self._keys_of(owner), session_id)
        arguments = [*self._stamp(write), milliseconds(lifetime), values.write_state(state)]
        ask_write(self._redis, scripts.KEEP, [*guards, key], arguments)

    def _read(
        self, keys: OwnerKeys, wanted: Sequence[str], lifetime: timedelta
    ) -> Sequence[bytes | None]:
        arguments = [milliseconds(lifetime), self._longest]
        found: Sequence[bytes | None] = ask(
            self._redis, scripts.READ, [keys.index, *wanted], arguments
        )
        return found

    def _context_question(
        self, keys: OwnerKeys, session_id: str, limit: int
    ) -> tuple[str, list[str], list[object]]:
        arguments: list[object] = [milliseconds(self._policy.context), self._longest, limit]
        return scripts.READ_LIST, [keys.index, keys.of_session(session_id, CONTEXT)], arguments

    def _episodes_question(
        self, keys: OwnerKeys, limit: int
    ) -> tuple[str, list[str], list[object]]:
        arguments: list[object] = [milliseconds(self._policy.episode), limit]
        return scripts.READ_EPISODES, [keys.index, keys.episodes], arguments

    def _subject_question(self, subject: Subject, mark: int) -> tuple[list[str], list[object]]:
        keys, session = self._keys_of(subject.owner), subject.session_id
        begin = b"" if session is None else keys.of_session(session).encode()
        opening = b"" if session is None else _opening(session)
        names = [keys.index, keys.erased(session), keys.episodes]
        return names, [mark, self._longest, begin, opening]


def open_redis(url: str, policy: SessionPolicy) -> Redis:
    """Connections for the session tier, which an agent waits for; the caller closes them.

    A connection that the server has closed meanwhile is opened anew once: every write has a
    name, so that one which was done and not answered is not done again.
    """
    return Redis.from_url(
        url,
        socket_connect_timeout=policy.connect_seconds,
        socket_timeout=policy.answer_seconds,
        retry=Retry(NoBackoff(), 1),
    )


def _opening(session_id: str) -> bytes:
    """How the episodes of a session begin: an erasure finds them without reading the rest."""
    return encode(session_id).encode() + b"\n"


def _messages(found: Sequence[bytes]) -> list[ContextMessage]:
    return [values.read_message(raw) for raw in found]


def _episodes(found: Sequence[bytes]) -> list[Episode]:
    return [values.read_episode(raw.partition(b"\n")[2]) for raw in found]
