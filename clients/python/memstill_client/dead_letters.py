"""Dead letters: what failed for good, looked at, replayed, dropped."""

from __future__ import annotations

import json
from datetime import date
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypedDict
from urllib.parse import quote, urlencode

from memstill_client.calls import Call
from memstill_client.dead_replies import DeadLetterDetail, DeadPage, DeadPart, DeadRun

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
    from typing import Unpack
    from uuid import UUID

    from memstill_client.dead_replies import DeadLetter
    from memstill_client.endpoints import Endpoints
    from memstill_client.replies import Receipt
    from memstill_client.transports import AsyncTransport, Transport

PAGE: Final = 500
MAX_RECEIPTS: Final = 1_000


class DeadFields(TypedDict, total=False):
    """Which dead letters are meant: those that fit all that is named.

    ``reason`` and ``error`` are contained in what the letter says. A date is its first moment in
    ``since`` and its last in ``until``, in UTC. ``is_shadow`` asks for the sessions that the open
    generation could not distill again.
    """

    reason: str | None
    error: str | None
    user_id: str | None
    session_id: str | None
    since: date | str | None
    until: date | str | None
    is_shadow: bool


class DeadLetters:
    """Looks at dead letters and decides on them."""

    _endpoints: Endpoints
    _http: Transport

    def dead_letters(self, **wanted: Unpack[DeadFields]) -> Iterator[DeadLetter]:
        """The tenant's dead letters, the newest first."""
        after: str | None = None
        while True:
            page = self._http.ask(_list_call(wanted, after, self._endpoints))
            yield from page.dead
            after = page.next
            if after is None:
                return

    def dead_letter(self, receipt: Receipt | UUID | str) -> DeadLetterDetail:
        """One of them, with what the model answered for it.

        Raises:
            NotFound: It is no dead letter of this tenant.
        """
        return self._http.ask(_show_call(receipt, self._endpoints))

    def replay_dead(
        self,
        receipts: Iterable[Receipt | UUID | str] | None = None,
        *,
        fresh: bool = False,
        dry_run: bool = False,
        **wanted: Unpack[DeadFields],
    ) -> DeadRun:
        """Have dead letters tried again, from the first attempt on.

        What the model answered before is used again; where it was no use, the model is asked
        once more. Receipts that are no dead letters stay as they are.

        Args:
            receipts: Those; all that fit if left out.
            fresh: Forget what was answered before.
            dry_run: Change nothing, and say what would be.
            wanted: Which ones, where no receipts are named.
        """
        return self._order("replay", receipts, {"fresh": fresh, "dry_run": dry_run}, wanted)

    def drop_dead(
        self,
        receipts: Iterable[Receipt | UUID | str] | None = None,
        *,
        dry_run: bool = False,
        **wanted: Unpack[DeadFields],
    ) -> DeadRun:
        """Delete dead letters for good, with what the model answered for them."""
        return self._order("drop", receipts, {"dry_run": dry_run}, wanted)

    def _order(
        self,
        order: str,
        receipts: Iterable[Receipt | UUID | str] | None,
        options: Mapping[str, bool],
        wanted: DeadFields,
    ) -> DeadRun:
        run = DeadRun()
        for asked in _portions(receipts, options, wanted):
            part = self._http.ask(_order_call(order, asked, None, self._endpoints))
            run = run.plus(part)
            while part.next is not None:
                part = self._http.ask(_order_call(order, asked, part, self._endpoints))
                run = run.plus(part)
        return run


class AsyncDeadLetters:
    """``DeadLetters``, to be awaited."""

    _endpoints: Endpoints
    _http: AsyncTransport

    async def dead_letters(self, **wanted: Unpack[DeadFields]) -> AsyncIterator[DeadLetter]:
        """See ``Memstill.dead_letters``."""
        after: str | None = None
        while True:
            page = await self._http.ask(_list_call(wanted, after, self._endpoints))
            for letter in page.dead:
                yield letter
            after = page.next
            if after is None:
                return

    async def dead_letter(self, receipt: Receipt | UUID | str) -> DeadLetterDetail:
        """See ``Memstill.dead_letter``."""
        return await self._http.ask(_show_call(receipt, self._endpoints))

    async def replay_dead(
        self,
        receipts: Iterable[Receipt | UUID | str] | None = None,
        *,
        fresh: bool = False,
        dry_run: bool = False,
        **wanted: Unpack[DeadFields],
    ) -> DeadRun:
        """See ``Memstill.replay_dead``."""
        return await self._order("replay", receipts, {"fresh": fresh, "dry_run": dry_run}, wanted)

    async def drop_dead(
        self,
        receipts: Iterable[Receipt | UUID | str] | None = None,
        *,
        dry_run: bool = False,
        **wanted: Unpack[DeadFields],
    ) -> DeadRun:
        """See ``Memstill.drop_dead``."""
        return await self._order("drop", receipts, {"dry_run": dry_run}, wanted)

    async def _order(
        self,
        order: str,
        receipts: Iterable[Receipt | UUID | str] | None,
        options: Mapping[str, bool],
        wanted: DeadFields,
    ) -> DeadRun:
        run = DeadRun()
        for asked in _portions(receipts, options, wanted):
            part = await self._http.ask(_order_call(order, asked, None, self._endpoints))
            run = run.plus(part)
            while part.next is not None:
                part = await self._http.ask(_order_call(order, asked, part, self._endpoints))
                run = run.plus(part)
        return run


def _list_call(wanted: DeadFields, after: str | None, endpoints: Endpoints) -> Call[DeadPage]:
    asked = {**_spelled(wanted), **({} if after is None else {"after": after}), "limit": PAGE}
    query = urlencode({name: str(value) for name, value in asked.items()})
    return Call("GET", f"/v1/dead?{query}", DeadPage, tenant_id=endpoints.tenant_id)


def _show_call(receipt: Receipt | UUID | str, endpoints: Endpoints) -> Call[DeadLetterDetail]:
    path = f"/v1/dead/{quote(str(receipt), safe='')}"
    return Call("GET", path, DeadLetterDetail, tenant_id=endpoints.tenant_id)


def _order_call(
    order: str, asked: Mapping[str, Any], before: DeadPart | None, endpoints: Endpoints
) -> Call[DeadPart]:
    """The first part of an order, or the one behind ``before``."""
    rest = {} if before is None else {"after": before.next, "until": before.until.isoformat()}
    content = json.dumps({**asked, **rest}).encode()
    return Call("POST", f"/v1/dead:{order}", DeadPart, content, tenant_id=endpoints.tenant_id)


def _portions(
    receipts: Iterable[Receipt | UUID | str] | None,
    options: Mapping[str, bool],
    wanted: DeadFields,
) -> Iterator[dict[str, Any]]:
    if receipts is None:
        yield {"all": True, **options, **_spelled(wanted)}
        return
    left = map(str, receipts)
    while portion := list(islice(left, MAX_RECEIPTS)):
        yield {"receipts": portion, **options, **_spelled(wanted)}


def _spelled(wanted: DeadFields) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, date) else value
        for name, value in wanted.items()
        if value is not None
    }
