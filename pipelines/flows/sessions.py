"""The session tier for agents: checked, redacted, kept.

What is text (conversation, episodes) is redacted before it is stored, as transcripts are. State
is kept exactly as it was given: it is no text for a model, and its integrity is the point.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson

from memstill_client.json_values import NotPlain, plain_json, plain_text
from pipelines.errors import InputError, OwnerBusy
from pipelines.ports import Asked, ContextMessage, Episode, Write
from pipelines.stages.redaction.clean import Said, asks_secret, clean_said, find_secret_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from config.policy import PersonalDataPolicy
    from config.sessions import SessionPolicy
    from pipelines.model import Owner
    from pipelines.ports import Clock, RateCount, SessionCache, SessionView

# Somebody else appends a question for a secret between two of these.
TRIES = 5


@dataclass(frozen=True, slots=True)
class Sessions:
    """Keeps what running sessions hand over, and gives it back.

    Each method may raise ``SessionsUnavailable``, each that writes ``ErasedMeanwhile``, each
    ``InputError``. ``once`` names a write: repeated under its name it is done once.
    """

    cache: SessionCache
    clock: Clock
    personal_data: PersonalDataPolicy
    policy: SessionPolicy

    def append(
        self,
        owner: Owner,
        session_id: str,
        messages: Sequence[ContextMessage],
        once: str | None = None,
    ) -> int:
        """Append to the conversation; gives how many messages it holds now.

        Raises:
            OwnerBusy: Others append all the time what has to be read first.
        """
        write = self.begin(owner, session_id, once)
        self._check_messages(messages)
        asked: Asked | None = None
        for _ in range(TRIES):
            cleaned = self._clean(owner, messages, asked)
            answer = self.cache.append_context(owner, session_id, cleaned, write, asked)
            if not isinstance(answer, Asked):
                return answer
            asked = answer
        raise OwnerBusy("the conversation changes too fast; try again")

    def context(
        self, owner: Owner, session_id: str, limit: int | None = None
    ) -> list[ContextMessage]:
        """The latest messages, in the order in which they were said."""
        most = self.policy.max_messages
        return self.cache.read_context(owner, session_id, _within("limit", limit, most))

    def add_episode(
        self, owner: Owner, session_id: str, content: str, once: str | None = None
    ) -> Episode:
        """Add what happened to the user's episodes; gives it as it was stored."""
        write = self.begin(owner, session_id, once)
        self.check_text("content", content)
        (said,) = clean_said([Said(content)], owner.tenant_id, self.personal_data)
        episode = Episode(session_id, said.content, write.began_at)
        self.cache.add_episode(owner, episode, write)
        return episode

    def episodes(self, owner: Owner, limit: int | None = None) -> list[Episode]:
        """The user's episodes, the newest first."""
        return self.cache.read_episodes(owner, _within("limit", limit, self.policy.max_episodes))

    def keep_tool_state(
        self,
        owner: Owner,
        session_id: str,
        tool: str,
        state: Any,  # noqa: ANN401 - JSON
    ) -> None:
        """Keep what a tool needs again."""
        write = self.begin(owner, session_id, tool=tool)
        plain = _plain("state", state, self.policy.max_tool_state_bytes)
        self.cache.keep_tool_state(owner, session_id, tool, plain, write)

    def tool_states(self, owner: Owner, session_id: str, tools: Sequence[str]) -> dict[str, Any]:
        """What these tools have, by name; those without anything are left out."""
        most = self.policy.max_tools_at_once
        if not 1 <= len(tools) <= most:
            raise InputError("tool", f"names {len(tools)} tools; name 1 to {most} at once")
        return self.cache.read_tool_states(owner, session_id, list(dict.fromkeys(tools)))

    def keep_state(
        self,
        owner: Owner,
        session_id: str,
        state: Any,  # noqa: ANN401 - JSON
    ) -> None:
        """Keep what the session can be resumed from."""
        write = self.begin(owner, session_id)
        plain = _plain("state", state, self.policy.max_state_bytes)
        self.cache.keep_state(owner, session_id, plain, write)

    def state(self, owner: Owner, session_id: str) -> Mapping[str, Any] | None:
        """``{"state": …}`` as it was kept, or None where nothing is."""
        return self.cache.read_state(owner, session_id)

    def count_use(
        self,
        owner: Owner,
        name: str,
        limit: int,
        window: timedelta,
        once: str | None = None,
    ) -> RateCount:
        """Count a use of something, if its limit has room for it."""
        write = self.begin(owner, once=once, name=name)
        _within("limit", limit, self.policy.max_rate)
        if not timedelta(milliseconds=1) <= window <= self.policy.max_rate_window:
            most = round(self.policy.max_rate_window.total_seconds())
            raise InputError("window_seconds", f"must be from 0.001 to {most}")
        return self.cache.count_use(owner, name, limit, window, write)

    def look(self, owner: Owner, session_id: str, messages: int, episodes: int) -> SessionView:
        """The latest messages and the newest episodes, in one round trip: what recall needs."""
        return self.cache.look(owner, session_id, messages, episodes)

    # ---- what is checked ------------------------------------------------------------------------

    def begin(
        self,
        owner: Owner,
        session_id: str | None = None,
        once: str | None = None,
        **names: str,
    ) -> Write:
        """A write that begins now, under names that may be stored.

        Raises:
            InputError: One of them holds a secret.
        """
        secret = find_secret_id(
            tenant_id=owner.tenant_id, user_id=owner.user_id, session_id=session_id, **names
        )
        if secret is not None:
            raise InputError(secret, "holds a key or a password; send an id that opens nothing")
        return Write(self.clock.now(), once or uuid.uuid4().hex)

    def check_text(self, field: str, text: str) -> None:
        """See to it that a text says something, is text and is not too long.

        Raises:
            InputError: It is not.
        """
        if not text.strip():
            raise InputError(field, "is blank; say something or leave it out")
        try:
            size = len(plain_text(text).encode())
        except NotPlain as error:
            raise InputError(field, str(error)) from None
        most = self.policy.max_message_bytes
        if size > most:
            raise InputError(field, f"has {size:,} bytes; {most:,} are allowed: shorten it")

    def _check_messages(self, messages: Sequence[ContextMessage]) -> None:
        most = self.policy.max_messages_at_once
        if not 1 <= len(messages) <= most:
            raise InputError("messages", f"has {len(messages)} messages; send 1 to {most} at once")
        for place, message in enumerate(messages):
            self.check_text(f"messages[{place}].content", message.content)

    def _clean(
        self, owner: Owner, messages: Sequence[ContextMessage], asked: Asked | None
    ) -> list[ContextMessage]:
        said = [Said(message.content, message.name) for message in messages]
        before = None if asked is None else asked.message.content
        cleaned = clean_said(said, owner.tenant_id, self.personal_data, before)
        return [
            ContextMessage(
                message.role, it.content, message.created_at, it.name, asks_secret(message.content)
            )
            for message, it in zip(messages, cleaned, strict=True)
        ]


def _within(field: str, asked: int | None, most: int) -> int:
    if asked is None:
        return most
    if not 1 <= asked <= most:
        raise InputError(field, f"must be from 1 to {most:,}")
    return asked


def _plain(field: str, state: Any, max_bytes: int) -> Any:  # noqa: ANN401 - JSON
    """State as every store keeps it, unchanged.

    Raises:
        InputError: It is no JSON, or too large.
    """
    try:
        plain = plain_json(state)
    except NotPlain as error:
        raise InputError(field, str(error)) from None
    size = len(orjson.dumps(plain))
    if size > max_bytes:
        raise InputError(
            field,
            f"has {size:,} bytes as JSON; {max_bytes:,} are allowed: keep what is large elsewhere "
            "and its name here",
        )
    return plain
