"""Task shells: decode the payload, run the flow, say the outcome.

Arguments that a newer release adds to a wake-up are taken and not looked at: it says no more than
that there is something to do.
"""

from __future__ import annotations

from itertools import count
from time import monotonic
from typing import TYPE_CHECKING
from uuid import UUID

from celery import shared_task

from config.schedule import JOBS, Job
from pipelines.adapters.floor import floor
from pipelines.model import Lane, Owner, ReceiptId
from workers.performing import perform
from workers.pool import is_stopping
from workers.queues import (
    CONSOLIDATE,
    DISTILL,
    PROJECT,
    REDISTILL,
    RUN_JOB,
    SHARE,
    lane_of_queue,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Task

    from pipelines.flows.turns import Turn
    from pipelines.outcome import Outcome
    from workers.container import Container

# So many a thread distills, and for so long, while other tasks wait for one. Backfill makes room
# after each: whatever else waits comes first.
IN_A_ROW = {Lane.INTERACTIVE: 16, Lane.BACKFILL: 1}
IN_A_ROW_SECONDS = 20.0


@shared_task(name=DISTILL, bind=True)
def distill(self: Task, receipt: str, **_newer: object) -> None:
    """Distill whoever's turn it is, one after the other while somebody stands in line.

    After a while other tasks have their turn: the rest is left to another wake-up.
    """
    lane = lane_of_queue(self.request.delivery_info.get("routing_key"))
    until = monotonic() + IN_A_ROW_SECONDS
    for number in count(1):
        if not _distill_next(receipt, lane):
            return
        if number == IN_A_ROW[lane] or monotonic() >= until or is_stopping():
            current_container().waker.wake_distill([ReceiptId(UUID(receipt))], lane)
            return


@shared_task(name=CONSOLIDATE)
def consolidate(tenant_id: str, user_id: str, **_newer: object) -> None:
    """Consolidate one user, if due."""
    _consolidate(Owner(tenant_id, user_id))


@shared_task(name=PROJECT)
def project(**_newer: object) -> None:
    """Project the outbox into the index."""
    _perform("project", lambda container: container.project.run())


@shared_task(name=RUN_JOB)
def run_job(job: str, **_newer: object) -> None:
    """Do one turn of a job, if it is due; one that a newer release knows is left to it."""
    if job in JOBS:
        _perform(job, lambda container: _run_job(container, Job(job)), job=job)


@shared_task(name=SHARE)
def share(after_tenant: str = "", **_newer: object) -> None:
    """Go on proposing what users of a tenant say alike, behind this tenant."""
    _perform("share", lambda container: container.share.run(after_tenant))


@shared_task(name=REDISTILL)
def redistill(**_newer: object) -> None:
    """Bring the users of generations on."""
    _perform("redistill", lambda container: container.redistill.run())


def _distill_next(receipt: str, lane: Lane) -> bool:
    """Distill and consolidate whoever's turn it is; whether others stand in line."""
    owners: list[Owner] = []
    turns: list[Turn] = []

    def run(container: Container) -> Outcome:
        with container.waker.keep(owners):
            turns.append(container.distill.run_next(lane))
        return turns[0].outcome

    # Who has begun comes to an end before another begins: his memories are there sooner.
    with floor.taken():
        _perform("distill", run, woken_for=receipt)
        for owner in owners:
            _consolidate(owner)
    return any(turn.is_more for turn in turns)


def _consolidate(owner: Owner) -> None:
    of = {"tenant_id": owner.tenant_id}
    _perform("consolidate", lambda container: container.consolidate.run(owner), **of)


def _run_job(container: Container, job: Job) -> Outcome:
    from workers.jobs import jobs_of

    return jobs_of(container).run(job)


def current_container() -> Container:
    """This process's container. Beat loads the tasks, too, and never needs what it is made of."""
    from workers.container import current_container

    return current_container()


def _perform(stage: str, flow: Callable[[Container], Outcome], **ids: str) -> None:
    perform(stage, current_container, flow, **ids)
