"""Task shells: decode the payload, run the flow, say the outcome.

Arguments that a newer release adds to a wake-up are taken and not looked at: it says no more than
that there is something to do.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import structlog
from celery import shared_task

from config.schedule import JOBS, Job
from pipelines.errors import DependencyUnavailable
from pipelines.model import Owner
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
    from collections.abc import Callable, Mapping

    from celery import Task

    from pipelines.outcome import Outcome
    from workers.container import Container

log = structlog.get_logger(__name__)


@shared_task(name=DISTILL, bind=True)
def distill(self: Task, receipt: str, **_newer: object) -> None:
    """Distill whoever's turn it is: each that waits has sent a wake-up, and none is its own."""
    lane = lane_of_queue(self.request.delivery_info.get("routing_key"))
    owners: list[Owner] = []

    def run(container: Container) -> Outcome:
        with container.waker.keep(owners):
            return container.distill.run_next(lane)

    _perform("distill", run, woken_for=receipt)
    for owner in owners:
        _consolidate(owner)


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


def _consolidate(owner: Owner) -> None:
    of = {"tenant_id": owner.tenant_id}
    _perform("consolidate", lambda container: container.consolidate.run(owner), **of)


def _run_job(container: Container, job: Job) -> Outcome:
    from workers.jobs import jobs_of

    return jobs_of(container).run(job)


def _perform(stage: str, flow: Callable[[Container], Outcome], **ids: str) -> None:
    # Beat loads the tasks, too, and runs none.
    from workers.metrics.catalogue import note_stage

    began = perf_counter()
    outcome = _attempt(stage, flow, ids)
    note_stage(stage, outcome, perf_counter() - began)


def _attempt(
    stage: str, flow: Callable[[Container], Outcome], ids: Mapping[str, str]
) -> Outcome | str:
    """What came of it; a text where there is no outcome.

    The row keeps the work whatever happens here; the sweep hands it on when its lease ends.
    """
    try:
        from workers.container import current_container

        container = current_container()
        with container.ground.tracer.turn(stage) as say:
            outcome = flow(container)
            say(type(outcome).__name__.lower())
    except DependencyUnavailable as error:
        log.warning("task_deferred", error=str(error), **ids)
        return "deferred"
    except Exception:
        log.exception("task_failed", **ids)
        return "failed"
    log.debug("task_ended", outcome=type(outcome).__name__, **ids)
    return outcome
