"""Connections, pools and cursors as they are made, but for how they wait and what they read."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.waiting import Wait
from sqlalchemy.pool import QueuePool

from pipelines.adapters.floor import floor

if TYPE_CHECKING:
    from typing import Self

    from psycopg.abc import Params, PQGen, QueryNoTemplate
    from sqlalchemy.pool import ConnectionPoolEntry

_Answer = TypeVar("_Answer")

# So often whoever waits looks whether it is interrupted, as everywhere in psycopg.
_WAKE_SECONDS = 0.1
# A database that is near has answered by then; another thread would have done little.
_AT_ONCE_MS = 1
_SIGNS = {
    Wait.R: select.POLLIN,
    Wait.W: select.POLLOUT,
    Wait.RW: select.POLLIN | select.POLLOUT,
}


class RoomyConnection(psycopg.Connection[Any]):
    """Leaves the floor to others where the server's answer is not there at once."""

    def wait(
        self, gen: PQGen[_Answer], interval: float = _WAKE_SECONDS, timeout: float | None = None
    ) -> _Answer:
        if not floor.is_mine:
            return super().wait(gen, interval, timeout)
        leaving = _leaving_floor(gen, self.pgconn.socket)
        try:
            return super().wait(leaving, interval, timeout)
        finally:
            # Whatever ended the wait, who comes out of it has the floor again.
            leaving.close()


def _leaving_floor(gen: PQGen[_Answer], socket: int) -> PQGen[_Answer]:
    signs = select.poll()
    try:
        wanted = next(gen)
        while True:
            signs.register(socket, _SIGNS[wanted])
            if signs.poll(_AT_ONCE_MS):
                ready = yield wanted
            else:
                with floor.left():
                    # Now and then it is asked whether it is interrupted, with nothing to read.
                    while not (ready := (yield wanted)):
                        pass
            wanted = gen.send(ready)
    except StopIteration as end:
        answer: _Answer = end.value
        return answer


class RoomyPool(QueuePool):
    """Leaves the floor where no connection is at rest: another is opened or waited for."""

    def _do_get(self) -> ConnectionPoolEntry:
        if self.checkedin():
            return super()._do_get()
        with floor.left():
            return super()._do_get()


class BinaryCursor(psycopg.Cursor[Any]):
    """Has the server send numbers, times and embeddings as they are, and not written out."""

    def execute(  # type: ignore[override] # nobody here has a template
        self,
        query: QueryNoTemplate,
        params: Params | None = None,
        *,
        prepare: bool | None = None,
        binary: bool | None = None,
    ) -> Self:
        # Without parameters there may be several commands, of which nothing can come but text.
        wanted = True if params and binary is None else binary
        return super().execute(query, params, prepare=prepare, binary=wanted)
