"""What operators ask for, to be awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memstill_client import calls
from memstill_client.dead_letters import AsyncDeadLetters
from memstill_client.event_log import AsyncEventLog
from memstill_client.exchange import AsyncExchange
from memstill_client.jobs import jobs_call, run_call
from memstill_client.lifecycle import AsyncLifecycle
from memstill_client.procedures import AsyncProcedureBook
from memstill_client.profiles import AsyncProfiles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import date
    from uuid import UUID

    from memstill_client.endpoints import Endpoints
    from memstill_client.erasures import Erasure
    from memstill_client.index_replies import Rebuild, ReconcilePage
    from memstill_client.jobs import JobStatus, JobTurn
    from memstill_client.replies import (
        BatchPage,
        BatchRun,
        Cost,
        Generation,
        Promotion,
        PromotionScan,
        UserDifference,
    )
    from memstill_client.transports import AsyncTransport


class AsyncOperations(
    AsyncDeadLetters,
    AsyncLifecycle,
    AsyncEventLog,
    AsyncProcedureBook,
    AsyncExchange,
    AsyncProfiles,
):
    """Looks at memories and decides on them; all of it over HTTP."""

    _endpoints: Endpoints
    _http: AsyncTransport

    async def memory(self, memory_id: UUID | str) -> dict[str, Any]:
        """See ``Memstill.memory``."""
        return (await self._http.ask(calls.memory_call(memory_id, self._endpoints))).root

    async def history(self, memory_id: UUID | str) -> dict[str, Any]:
        """See ``Memstill.history``."""
        call = calls.memory_call(memory_id, self._endpoints, "/history")
        return (await self._http.ask(call)).root

    async def restore(self, memory_id: UUID | str) -> dict[str, Any]:
        """See ``Memstill.restore``."""
        call = calls.memory_call(memory_id, self._endpoints, ":restore", method="POST")
        return (await self._http.ask(call)).root

    async def memories(self, user_id: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """See ``Memstill.memories``."""
        after: UUID | None = None
        while True:
            call = calls.memories_call(user_id, after, self._endpoints)
            page = await self._http.ask(call)
            for memory in page.memories:
                yield memory
            after = page.next
            if after is None:
                return

    async def promotions(self, state: str | None = None) -> AsyncIterator[Promotion]:
        """See ``Memstill.promotions``."""
        after: UUID | None = None
        while True:
            call = calls.promotions_call(state, after, self._endpoints)
            page = await self._http.ask(call)
            for promotion in page.promotions:
                yield promotion
            after = page.next
            if after is None:
                return

    async def scan_promotions(self) -> PromotionScan:
        """See ``Memstill.scan_promotions``."""
        return await self._http.ask(calls.scan_call(self._endpoints))

    async def approve_promotion(self, promotion_id: UUID | str, by: str | None = None) -> Promotion:
        """See ``Memstill.approve_promotion``."""
        call = calls.decision_call(promotion_id, "approve", by, self._endpoints)
        return await self._http.ask(call)

    async def reject_promotion(self, promotion_id: UUID | str, by: str | None = None) -> Promotion:
        """See ``Memstill.reject_promotion``."""
        call = calls.decision_call(promotion_id, "reject", by, self._endpoints)
        return await self._http.ask(call)

    async def cost(self, user_id: str | None = None, since: date | str | None = None) -> Cost:
        """See ``Memstill.cost``."""
        return await self._http.ask(calls.cost_call(user_id, since, self._endpoints))

    async def batches(self, after: UUID | None = None) -> BatchPage:
        """See ``Memstill.batches``."""
        return await self._http.ask(calls.batches_call(after, self._endpoints))

    async def poll_batches(self) -> BatchRun:
        """See ``Memstill.poll_batches``."""
        return await self._http.ask(calls.poll_batches_call(self._endpoints))

    async def redistill(
        self,
        since: date | str,
        *,
        user_id: str | None = None,
        distiller: str | None = None,
        model: str | None = None,
        prompt: str | None = None,
    ) -> Generation:
        """Have sessions distilled again into a shadow generation; nothing live changes.

        Args:
            since: Sessions that ended from the start of this day (UTC), or from this time on.
            user_id: Only this user's.
            distiller: ``offline`` or ``model``; as for live sessions if left out.
            model: Its name at the endpoint.
            prompt: Its version: ``v1``.

        Raises:
            Refused: A generation is open already, or the parts do not fit together.
            Unavailable: The API does not answer.
        """
        call = calls.redistill_call(
            since, self._endpoints, user_id=user_id, distiller=distiller, model=model, prompt=prompt
        )
        return await self._http.ask(call)

    async def generation(self) -> Generation:
        """How far the open generation is.

        Raises:
            NotFound: None is open.
            Unavailable: The API does not answer.
        """
        return await self._http.ask(calls.generation_call(self._endpoints))

    async def generation_differences(
        self, user_id: str | None = None
    ) -> AsyncIterator[UserDifference]:
        """What the generation changes, user by user; or for one user.

        Raises:
            NotFound: None is open, or it has no such user.
            Unavailable: The API does not answer.
        """
        after: str | None = None
        while True:
            call = calls.differences_call(user_id, after, self._endpoints)
            page = await self._http.ask(call)
            for item in page.users:
                yield item
            after = page.next
            if after is None:
                return

    async def switch_generation(self) -> Generation:
        """Let the generation take the place of what is live, each user as soon as it is whole."""
        return await self._http.ask(calls.generation_call(self._endpoints, "switch"))

    async def back_out_generation(self) -> Generation:
        """Let what was live before take its place again; the generation is kept."""
        return await self._http.ask(calls.generation_call(self._endpoints, "back-out"))

    async def drop_generation(self) -> Generation:
        """Delete what is not live: the generation, or after a switch what was live before."""
        return await self._http.ask(calls.generation_call(self._endpoints, "drop"))

    async def erase(self, user_id: str, session_id: str | None = None) -> Erasure:
        """Erase a user everywhere, or one session; when it returns, it is invisible.

        Files are gone within seconds as a rule; ``erasure`` says when that is proven.

        Raises:
            Unavailable: Nothing was erased; repeat the call.
        """
        return await self._http.ask(calls.erase_call(user_id, session_id, self._endpoints))

    async def erasure(self, erasure_id: UUID | str) -> Erasure:
        """The receipt of an erasure, as it stands now.

        Raises:
            NotFound: The tenant has no such erasure.
        """
        return await self._http.ask(calls.erasure_call(erasure_id, self._endpoints))

    async def erasures(self) -> tuple[Erasure, ...]:
        """See ``Memstill.erasures``."""
        page = await self._http.ask(calls.erasures_call(None, self._endpoints))
        found = page.erasures
        while page.next is not None:
            page = await self._http.ask(calls.erasures_call(page.next, self._endpoints))
            found += page.erasures
        return found

    async def jobs(self) -> tuple[JobStatus, ...]:
        """See ``Memstill.jobs``."""
        return (await self._http.ask(jobs_call(self._endpoints))).jobs

    async def run_job(self, job: str) -> JobTurn:
        """See ``Memstill.run_job``."""
        return await self._http.ask(run_call(job, self._endpoints))

    async def reconcile(self, *, repair: bool = False) -> AsyncIterator[ReconcilePage]:
        """See ``Memstill.reconcile``."""
        after: UUID | None = None
        while True:
            page = await self._http.ask(calls.reconcile_call(after, self._endpoints, repair=repair))
            yield page
            after = page.next
            if after is None:
                return

    async def reindex(self) -> Rebuild:
        """See ``Memstill.reindex``."""
        return await self._http.ask(calls.rebuild_call("reindex", self._endpoints))

    async def proceed_reindex(self) -> Rebuild:
        """See ``Memstill.proceed_reindex``."""
        return await self._http.ask(calls.rebuild_call("proceed", self._endpoints))

    async def cancel_reindex(self) -> Rebuild:
        """See ``Memstill.cancel_reindex``."""
        return await self._http.ask(calls.rebuild_call("cancel", self._endpoints))
