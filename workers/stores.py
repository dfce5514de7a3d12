"""The stores on PostgreSQL that several parts of a process share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from pipelines.adapters.postgres import (
    PostgresBatches,
    PostgresGenerations,
    PostgresInbox,
    PostgresLedger,
    PostgresMemoryStore,
    PostgresProcedures,
    PostgresProfiles,
    PostgresReplies,
    PostgresVerdicts,
)
from workers.metrics.catalogue import note_charge
from workers.metrics.metered import MeteredInbox, MeteredMemoryStore

if TYPE_CHECKING:
    from workers.ground import Ground


@dataclass(frozen=True, slots=True)
class Stores:
    """All on one database."""

    inbox: PostgresInbox
    memories: PostgresMemoryStore
    ledger: PostgresLedger
    replies: PostgresReplies
    verdicts: PostgresVerdicts
    generations: PostgresGenerations
    batches: PostgresBatches
    profiles: PostgresProfiles
    procedures: PostgresProcedures


def open_stores(ground: Ground) -> Stores:
    """Nothing is asked of the database here."""
    database, policies = ground.database, ground.policies
    wait = policies.batch.wait if policies.batch.is_on else timedelta()
    ledger = PostgresLedger(database, policies.budget, ground.clock, note_charge)
    return Stores(
        inbox=MeteredInbox(database, wait, policies.rate, ground.tracer),
        memories=MeteredMemoryStore(database, ground.tracer),
        ledger=ledger,
        replies=PostgresReplies(database, ledger),
        verdicts=PostgresVerdicts(database),
        generations=PostgresGenerations(database),
        batches=PostgresBatches(database, ledger),
        profiles=PostgresProfiles(database),
        procedures=PostgresProcedures(database),
    )
