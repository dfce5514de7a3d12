"""Wake-ups over Redis, as kombu carries them, with one client where kombu makes many.

kombu makes a client of redis-py for every message that it takes and for every one that it
acknowledges, and a client costs more than the two commands it is made for: a tenth of what a
worker spends on a session.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import redis


class Channel(redis.Channel):
    """Its client, which is safe from many threads, lives as long as its pool of connections."""

    _held: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: ANN401 - kombu has no types
        if asynchronous:  # for those that wait for messages, each on a connection of its own
            return super()._create_client(asynchronous=True)  # type: ignore[no-untyped-call]
        if self._held is None or self._held.connection_pool is not self.pool:
            self._held = super()._create_client()  # type: ignore[no-untyped-call]
        return self._held


class Transport(redis.Transport):
    """To be had as ``redis`` and ``rediss``."""

    Channel = Channel
