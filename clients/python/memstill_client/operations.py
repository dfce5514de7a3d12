"""What operators ask for: single memories, promotions, cost, batches, generations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memstill_client import calls
from memstill_client.dead_letters import DeadLetters
from memstill_client.event_log import EventLog
from memstill_client.exchange import Exchange
from memstill_client.jobs import jobs_call, run_call
from memstill_client.lifecycle import Lifecycle
from memstill_client.procedures import ProcedureBook
from memstill_client.profiles import Profiles

if TYPE_CHECKING:
    from collections.abc import Iterator
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
    from memstill_client.transports import Transport


class Operations(DeadLetters, Lifecycle, EventLog, ProcedureBook, Exchange, Profiles):
    """Looks at memories and decides on them; all of it over HTTP."""

    _endpoints: Endpoints
    _http: Transport

    def memory(self, memory_id: UUID | str) -> dict[str, Any]:
        """One memory in any state, with all that it rests on.

        Raises:
            NotFound: The tenant has no such memory.
        """
        return self._http.ask(calls.memory_call(memory_id, self._endpoints)).root

    def history(self, memory_id: UUID | str) -> dict[str, Any]:
        """What held before and after a memory, and what happened to it.

        Raises:
            NotFound: The tenant has no such memory.
        """
        call = calls.memory_call(memory_id, self._endpoints, "/history")
        return self._http.ask(call).root

    def restore(self, memory_id: UUID | str) -> dict[str, Any]:
        """Make a memory current again that was retired or merged wrongly.

        Raises:
            NotFound: The tenant has no such memory.
            Refused: It is current already.
        """
        call = calls.memory_call(memory_id, self._endpoints, ":restore", method="POST")
        return self._http.ask(call).root

    def memories(self, user_id: str | None = None) -> Iterator[dict[str, Any]]:
        """All memories of the tenant or of one user, superseded ones too, as plain JSON."""
        after: UUID | None = None
        while True:
            call = calls.memories_call(user_id, after, self._endpoints)
            page = self._http.ask(call)
            yield from page.memories
            after = page.next
            if after is None:
                return

    def promotions(self, state: str | None = None) -> Iterator[Promotion]:
        """What many users of the tenant say, and what was decided about it.

        Args:
            state: Only those; all but rejected and withdrawn ones if not given.
        """
        after: UUID | None = None
        while True:
            call = calls.promotions_call(state, after, self._endpoints)
            page = self._http.ask(call)
            yield from page.promotions
            after = page.next
            if after is None:
                return

    def scan_promotions(self) -> PromotionScan:
        """Propose what many users say now, and take back what they do not any more."""
        return self._http.ask(calls.scan_call(self._endpoints))

    def approve_promotion(self, promotion_id: UUID | str, by: str | None = None) -> Promotion:
        """Make it a memory of all users of the tenant; repeating it changes nothing.

        Args:
            promotion_id: As ``promotions`` names it.
            by: Who decides, for the record.

        Raises:
            NotFound: The tenant has no such promotion.
            Refused: Too few users say it by now.
        """
        call = calls.decision_call(promotion_id, "approve", by, self._endpoints)
        return self._http.ask(call)

    def reject_promotion(self, promotion_id: UUID | str, by: str | None = None) -> Promotion:
        """Never propose it again; one that was approved before is taken back.

        Raises:
            NotFound: The tenant has no such promotion.
        """
        call = calls.decision_call(promotion_id, "reject", by, self._endpoints)
        return self._http.ask(call)

    def cost(self, user_id: str | None = None, since: date | str | None = None) -> Cost:
        """What model calls have cost the tenant, or one user, and how the budgets stand.

        Args:
            user_id: All users if not given.
            since: A day in UTC, or ``YYYY-MM-DD``; the last seven days if not given.
        """
        return self._http.ask(calls.cost_call(user_id, since, self._endpoints))

    def batches(self, after: UUID | None = None) -> BatchPage:
        """The newest batches that hold sessions of the tenant; those behind ``after``."""
        return self._http.ask(calls.batches_call(after, self._endpoints))

    def poll_batches(self) -> BatchRun:
        """Hand in what waits for a batch and collect what is answered, now.

        Raises:
            Refused: The server does not use batches.
        """
        return self._http.ask(calls.poll_batches_call(self._endpoints))

    def redistill(
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
        return self._http.ask(call)

    def generation(self) -> Generation:
        """How far the open generation is.

        Raises:
            NotFound: None is open.
            Unavailable: The API does not answer.
        """
        return self._http.ask(calls.generation_call(self._endpoints))

    def generation_differences(self, user_id: str | None = None) -> Iterator[UserDifference]:
        """What the generation changes, user by user; or for one user.

        Raises:
            NotFound: None is open, or it has no such user.
            Unavailable: The API does not answer.
        """
        after: str | None = None
        while True:
            call = calls.differences_call(user_id, after, self._endpoints)
            page = self._http.ask(call)
            yield from page.users
            after = page.next
            if after is None:
                return

    def switch_generation(self) -> Generation:
        """Let the generation take the place of what is live, each user as soon as it is whole."""
        return self._http.ask(calls.generation_call(self._endpoints, "switch"))

    def back_out_generation(self) -> Generation:
        """Let what was live before take its place again; the generation is kept."""
        return self._http.ask(calls.generation_call(self._endpoints, "back-out"))

    def drop_generation(self) -> Generation:
        """Delete what is not live: the generation, or after a switch what was live before."""
        return self._http.ask(calls.generation_call(self._endpoints, "drop"))

    def erase(self, user_id: str, session_id: str | None = None) -> Erasure:
        """Erase a user everywhere, or one session; when it returns, it is invisible.

        Files are gone within seconds as a rule; ``erasure`` says when that is proven.

        Raises:
            Unavailable: Nothing was erased; repeat the call.
        """
        return self._http.ask(calls.erase_call(user_id, session_id, self._endpoints))

    def erasure(self, erasure_id: UUID | str) -> Erasure:
        """The receipt of an erasure, as it stands now.

        Raises:
            NotFound: The tenant has no such erasure.
        """
        return self._http.ask(calls.erasure_call(erasure_id, self._endpoints))

    def erasures(self) -> tuple[Erasure, ...]:
        """The tenant's erasures, the newest first."""
        page = self._http.ask(calls.erasures_call(None, self._endpoints))
        found = page.erasures
        while page.next is not None:
            page = self._http.ask(calls.erasures_call(page.next, self._endpoints))
            found += page.erasures
        return found

    def jobs(self) -> tuple[JobStatus, ...]:
        """What the server runs by the clock, and the latest run of each."""
        return self._http.ask(jobs_call(self._endpoints)).jobs

    def run_job(self, job: str) -> JobTurn:
        """Do one turn of a job, if it is due; while it is ``waiting`` there is more to do.

        Raises:
            NotFound: There is no such job.
        """
        return self._http.ask(run_call(job, self._endpoints))

    def reconcile(self, *, repair: bool = False) -> Iterator[ReconcilePage]:
        """Compare the index with the rows that it is derived from, of all tenants, part by part.

        Args:
            repair: Have what differs projected anew.
        """
        after: UUID | None = None
        while True:
            page = self._http.ask(calls.reconcile_call(after, self._endpoints, repair=repair))
            yield page
            after = page.next
            if after is None:
                return

    def reindex(self) -> Rebuild:
        """Begin to build the index anew beside the live one; one that is under way goes on."""
        return self._http.ask(calls.rebuild_call("reindex", self._endpoints))

    def proceed_reindex(self) -> Rebuild:
        """Bring the rebuild on for some seconds; repeat it until its state is another.

        Raises:
            NotFound: There never was one.
        """
        return self._http.ask(calls.rebuild_call("proceed", self._endpoints))

    def cancel_reindex(self) -> Rebuild:
        """Give the rebuild up; the live index is as it was.

        Raises:
            NotFound: There never was one.
        """
        return self._http.ask(calls.rebuild_call("cancel", self._endpoints))
