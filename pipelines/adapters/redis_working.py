"""``WorkingStore`` on Redis, beside the rest of the session tier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipelines.adapters import session_scripts as scripts
from pipelines.adapters import session_values as values
from pipelines.adapters.session_keys import OwnerKeys, ask, ask_write, instant, milliseconds
from pipelines.ports import Working

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from config.sessions import SessionPolicy, WorkingPolicy
    from pipelines.model import Owner
    from pipelines.ports import Summary, WorkingItem, Write

ITEMS, SUMMARY = "items", "summary"
KEPT: Final = b"kept"


class RedisWorking:
    """Working memories on Redis: a list of items and one summary for each session.

    Items are appended at one end and folded at the other, so that who appends disturbs nobody
    who is waiting for a model; of two who fold the same items the second is told so.

    Args:
        redis: Closed by the caller.
        key_prefix: Of this installation.
    """

    def __init__(
        self, redis: Redis, key_prefix: str, policy: WorkingPolicy, session: SessionPolicy
    ) -> None:
        self._redis = redis
        self._prefix = key_prefix
        self._lifetime = milliseconds(policy.lifetime)
        self._once = milliseconds(session.once)
        self._longest = milliseconds(session.longest)

    def append_items(
        self, owner: Owner, session_id: str, items: Sequence[WorkingItem], write: Write
    ) -> Working:
        keys = OwnerKeys(self._prefix, owner)
        held = self._held(keys, session_id)
        _, told, found = ask_write(
            self._redis,
            scripts.APPEND_ITEMS,
            [*self._guards(keys, session_id), *held, keys.once(held[0], write.once)],
            [*self._stamp(write), self._once, *map(values.write_item, items)],
        )
        return _read(told, found)

    def read_items(self, owner: Owner, session_id: str) -> Working:
        keys = OwnerKeys(self._prefix, owner)
        told, found = ask(
            self._redis,
            scripts.READ_ITEMS,
            [keys.index, *self._held(keys, session_id)],
            [self._lifetime, self._longest],
        )
        return _read(told, found)

    def fold_items(
        self, owner: Owner, session_id: str, seen: Working, summary: Summary, write: Write
    ) -> bool:
        keys = OwnerKeys(self._prefix, owner)
        answer = ask_write(
            self._redis,
            scripts.FOLD,
            [*self._guards(keys, session_id), *self._held(keys, session_id)],
            [
                *self._stamp(write),
                "" if seen.summary is None else seen.summary.id,
                len(seen.items),
                seen.items[0].id,
                values.write_summary(summary),
            ],
        )
        return bool(answer[0] == KEPT)

    def _held(self, keys: OwnerKeys, session_id: str) -> list[str]:
        return [keys.of_session(session_id, part) for part in (ITEMS, SUMMARY)]

    def _guards(self, keys: OwnerKeys, session_id: str) -> list[str]:
        return [keys.index, keys.erased(), keys.erased(session_id)]

    def _stamp(self, write: Write) -> list[object]:
        return [instant(write.began_at), self._longest, self._lifetime]


def _read(told: bytes, found: Sequence[bytes]) -> Working:
    summary = values.read_summary(told) if told else None
    return Working(summary, tuple(map(values.read_item, found)))
