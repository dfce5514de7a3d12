"""The session tier in this process's memory."""

from __future__ import annotations

import copy
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from config.sessions import SessionPolicy
from pipelines.errors import ErasedMeanwhile, SessionsUnavailable
from pipelines.ports import Asked, ContextMessage, Episode, RateCount, SessionView
from pipelines.testing.surroundings import ManualClock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pipelines.model import Owner
    from pipelines.ports import Subject, Write

# Owner, session or None for what is the user's, what it is, its name.
Key = tuple["Owner", str | None, str, str]


@dataclass(slots=True)
class _Kept:
    value: Any
    first_at: datetime
    expires_at: datetime


@dataclass(slots=True)
class InMemorySessions:
    """``SessionCache`` and ``SubjectCache``; time is what the clock says.

    Attributes:
        is_away: Every call is refused as if the server were gone.
    """

    clock: ManualClock = field(default_factory=ManualClock)
    policy: SessionPolicy = field(default_factory=SessionPolicy)
    is_away: bool = False
    _kept: dict[Key, _Kept] = field(default_factory=dict)
    _done: dict[tuple[Key, str], datetime] = field(default_factory=dict)
    _erased: dict[tuple[Owner, str | None], datetime] = field(default_factory=dict)

    def append_context(
        self,
        owner: Owner,
        session_id: str,
        messages: Sequence[ContextMessage],
        write: Write,
        after: Asked | None = None,
    ) -> int | Asked:
        self.check(owner, session_id, write)
        key = (owner, session_id, "context", "")
        said: deque[ContextMessage] = self.find(key) or deque(maxlen=self.policy.max_messages)
        if said and said[-1].asks_secret and (after is None or after.message != said[-1]):
            return Asked(said[-1], b"")
        if self.is_first(key, write):
            said.extend(messages)
        self.keep(key, said, self.policy.context)
        return len(said)

    def read_context(self, owner: Owner, session_id: str, limit: int) -> list[ContextMessage]:
        said = self.use((owner, session_id, "context", ""), self.policy.context) or ()
        return list(said)[-limit:]

    def add_episode(self, owner: Owner, episode: Episode, write: Write) -> None:
        self.check(owner, episode.session_id, write)
        if not self.is_first((owner, episode.session_id, "episodes", ""), write):
            return
        key, now = (owner, None, "episodes", ""), self.clock.now()
        told = [(now, episode), *self._list_episodes(owner)][: self.policy.max_episodes]
        self.keep(key, told, self.policy.episode)

    def read_episodes(self, owner: Owner, limit: int) -> list[Episode]:
        self._answer()
        return [episode for _, episode in self._list_episodes(owner)][:limit]

    def keep_tool_state(
        self,
        owner: Owner,
        session_id: str,
        tool: str,
        state: Any,  # noqa: ANN401 - JSON
        write: Write,
    ) -> None:
        self.check(owner, session_id, write)
        key = (owner, session_id, "tool", tool)
        self.keep(key, {"state": copy.deepcopy(state)}, self.policy.tool_state)

    def read_tool_states(
        self, owner: Owner, session_id: str, tools: Sequence[str]
    ) -> dict[str, Any]:
        lifetime = self.policy.tool_state
        found = {tool: self.use((owner, session_id, "tool", tool), lifetime) for tool in tools}
        return {tool: copy.deepcopy(kept["state"]) for tool, kept in found.items() if kept}

    def keep_state(
        self,
        owner: Owner,
        session_id: str,
        state: Any,  # noqa: ANN401 - JSON
        write: Write,
    ) -> None:
        self.check(owner, session_id, write)
        key = (owner, session_id, "state", "")
        self.keep(key, {"state": copy.deepcopy(state)}, self.policy.state)

    def read_state(self, owner: Owner, session_id: str) -> Mapping[str, Any] | None:
        found = self.use((owner, session_id, "state", ""), self.policy.state)
        return None if found is None else dict(copy.deepcopy(found))

    def count_use(
        self, owner: Owner, name: str, limit: int, window: timedelta, write: Write
    ) -> RateCount:
        self.check(owner, None, write)
        key, now = (owner, None, "rate", f"{window}:{name}"), self.clock.now()
        uses = [item for item in self.find(key) or [] if item[0] > now - window]
        is_allowed = write.once in {once for _, once in uses}
        if not is_allowed and len(uses) < limit:
            uses.append((now, write.once))
            is_allowed = True
            self.keep(key, uses, window)
        waits = len(uses) >= limit
        wait = uses[len(uses) - limit][0] + window - now if waits else timedelta()
        return RateCount(is_allowed, len(uses), wait)

    def look(self, owner: Owner, session_id: str, messages: int, episodes: int) -> SessionView:
        said = self.read_context(owner, session_id, messages)
        return SessionView(tuple(said), tuple(self.read_episodes(owner, episodes)))

    # ---- erasing --------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return "session tier"

    def remove(self, subject: Subject, until: datetime) -> int:
        self._answer()
        whom, mark = (subject.owner, subject.session_id), until + self.policy.erase_slack
        if whom not in self._erased or self._erased[whom] < mark:
            self._erased[whom] = max(mark, self.clock.now())
        before = self._list_before(subject)
        mine = [key for key in before if not isinstance(key, Episode)]
        for key in mine:
            del self._kept[key]
        episodes = self._kept.get((subject.owner, None, "episodes", ""))
        if episodes is not None:
            episodes.value = [item for item in episodes.value if item[1] not in before]
        return len(before)

    def count(self, subject: Subject, until: datetime) -> int:
        del until
        self._answer()
        return len(self._list_before(subject))

    def _list_before(self, subject: Subject) -> list[Key | Episode]:
        owner, session = subject.owner, subject.session_id
        limit = self._erased.get((owner, session))
        keys = [
            key
            for key, kept in list(self._kept.items())
            if key[0] == owner
            and session in {None, key[1]}
            and (limit is None or kept.first_at <= limit)
            and self.find(key) is not None
        ]
        episodes = [
            episode
            for at, episode in self._list_episodes(owner)
            if episode.session_id == session and (limit is None or at <= limit)
        ]
        return [*keys, *episodes]

    # ---- values and their time ------------------------------------------------------------------

    def _answer(self) -> None:
        if self.is_away:
            raise SessionsUnavailable("the session tier is away")

    def check(self, owner: Owner, session_id: str | None, write: Write) -> None:
        """Refuse a write that began before its subject was erased."""
        self._answer()
        for whom in ((owner, None), (owner, session_id)):
            if whom in self._erased and write.began_at <= self._erased[whom]:
                raise ErasedMeanwhile("was erased after this had begun; nothing of it was kept")

    def is_first(self, key: Key, write: Write) -> bool:
        """Whether nothing was written there under this name yet."""
        now, name = self.clock.now(), (key, write.once)
        is_first = name not in self._done or self._done[name] <= now
        if is_first:
            self._done[name] = now + self.policy.once
        return is_first

    def find(self, key: Key) -> Any:  # noqa: ANN401 - whatever was kept
        """What is there; None where that is nothing."""
        kept = self._kept.get(key)
        if kept is not None and kept.expires_at <= self.clock.now():
            del self._kept[key]
            return None
        return None if kept is None else kept.value

    def use(self, key: Key, lifetime: timedelta) -> Any:  # noqa: ANN401
        """What is there, which lives on from now."""
        self._answer()
        found = self.find(key)
        if found is not None:
            self._kept[key].expires_at = self.clock.now() + lifetime
        return found

    def keep(self, key: Key, value: object, lifetime: timedelta) -> None:
        """Keep something from now on."""
        now, kept = self.clock.now(), self._kept.get(key)
        first_at = now if kept is None else kept.first_at
        self._kept[key] = _Kept(value, first_at, now + lifetime)

    def _list_episodes(self, owner: Owner) -> list[tuple[datetime, Episode]]:
        oldest = self.clock.now() - self.policy.episode
        told = self.find((owner, None, "episodes", "")) or []
        return [item for item in told if item[0] > oldest]
