"""Running a flow for a wake-up: measured, traced, and never in anybody's way if it fails.

The row keeps the work whatever happens here; the sweep hands it on when its lease ends.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import structlog

from pipelines.adapters.floor import floor
from pipelines.errors import DependencyUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipelines.outcome import Outcome
    from workers.container import Container

log = structlog.get_logger(__name__)


def perform(
    stage: str,
    find_container: Callable[[], Container],
    flow: Callable[[Container], Outcome],
    **ids: str,
) -> None:
    """Run it, and note what came of it.

    Args:
        stage: By which it is counted.
        find_container: Gives what the flow runs on, or fails as the flow does.
        flow: What is to be done.
        ids: Told beside whatever is said of it.
    """
    # Beat loads the tasks, too, and runs none.
    from workers.metrics.catalogue import note_stage

    with floor.taken():
        began = perf_counter()
        outcome = _attempt(stage, find_container, flow, ids)
    note_stage(stage, outcome, perf_counter() - began)


def _attempt(
    stage: str,
    find_container: Callable[[], Container],
    flow: Callable[[Container], Outcome],
    ids: Mapping[str, str],
) -> Outcome | str:
    """What came of it; a text where there is no outcome."""
    try:
        container = find_container()
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
