"""Forgetting: somebody asks that a memory be told no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import InputError
from pipelines.model import Scope

if TYPE_CHECKING:
    from pipelines.model import Memory, MemoryId
    from pipelines.ports import Clock, MemoryStore, PinStore, Waker

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Forget:
    """Takes a memory out of use: it is evicted, can be restored for a while, and is then purged.

    What holds does not change by it: what it superseded stays superseded. Said again in a session
    that is taken in afterwards, it is known again.
    """

    store: MemoryStore
    pins: PinStore
    waker: Waker
    clock: Clock

    def run(self, tenant_id: str, key: MemoryId, user_id: str | None = None) -> Memory:
        """Forget it; from now on no recall tells it. Repeating it changes nothing.

        Raises:
            NotFound: This tenant, or the user if one is named, has no such memory.
            InputError: It is everyone's, or its user is under a legal hold.
        """
        memory = self.store.find_memory(tenant_id, key, user_id)
        if memory.scope is Scope.GLOBAL:
            raise InputError(
                "memory", "is everyone's; `memstill promote reject` takes back what was approved"
            )
        self.pins.forget(tenant_id, key, self.clock.now())
        self.waker.wake_index()
        log.info("memory_forgotten", memory=str(key))
        return self.store.find_memory(tenant_id, key, user_id)
