"""The road of a transcript, composed: from the inbox to the index."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pipelines.adapters.postgres import PostgresWorkTable
from pipelines.flows.consolidate import Consolidate
from pipelines.flows.ingest import Ingest
from pipelines.flows.profiles import EmbeddingOutbox
from pipelines.flows.project import Project
from pipelines.flows.sweep import Sweep
from workers.batching import make_batches
from workers.distillers import ConfiguredDistillers, configured_recipe, make_distiller
from workers.distilling import make_check, make_distill
from workers.models import make_judge

if TYPE_CHECKING:
    from pipelines.flows.batch import RunBatches
    from pipelines.flows.distill import Distill
    from pipelines.ports import Embedder, Outbox, VectorIndex, Waker
    from workers.ground import Ground
    from workers.stores import Stores


@dataclass(frozen=True, slots=True)
class Road:
    """Its stages, in order, and what wakes them.

    Attributes:
        batches: None where model calls are not batched.
    """

    ingest: Ingest
    distill: Distill
    batches: RunBatches | None
    consolidate: Consolidate
    project: Project
    sweep: Sweep


def make_road(
    ground: Ground,
    stores: Stores,
    embedder: Embedder,
    index: VectorIndex,
    outbox: Outbox,
    *,
    waker: Waker,
    later: Waker,
) -> Road:
    """All of it.

    Args:
        ground: What it stands on.
        stores: Where it leaves what it has done.
        embedder: Gives memories the vectors by which the alike are found.
        index: Where they are looked for.
        outbox: What the index is to be told.
        waker: Wakes whoever goes on.
        later: The same for whoever pushes, and shall not wait for a broker that hangs.
    """
    clock, policies = ground.clock, ground.policies
    distiller = make_distiller(configured_recipe(ground.settings), ground, stores.replies)
    make = partial(make_distiller, ground=ground, replies=stores.replies)
    distillers = ConfiguredDistillers(distiller, make, stores.generations)
    may_ask = make_check(ground)
    fed = EmbeddingOutbox(outbox, stores.profiles, embedder, clock)
    return Road(
        # Backfill that waits for a batch is not woken for a call of its own.
        ingest=Ingest(
            stores.inbox,
            later,
            clock,
            policies.personal_data,
            wakes_backfill=not policies.batch.is_on,
        ),
        distill=make_distill(ground, stores.inbox, distillers, waker, may_ask),
        batches=make_batches(ground, stores, distiller, waker),
        consolidate=Consolidate(
            stores.memories,
            index,
            embedder,
            stores.verdicts,
            make_judge(ground, stores.replies),
            waker,
            clock,
            policies,
        ),
        project=Project(fed, index, clock, policies.project, policies.retry),
        sweep=Sweep(PostgresWorkTable(ground.database), waker, clock),
    )
