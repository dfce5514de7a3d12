"""The composition root: settings in, flows out. Opened once in each process that works.

An adapter is imported where the settings choose it: a process starts with what it uses.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.settings import Settings
from pipelines.adapters.breaking import Breakers, BreakingIndex
from pipelines.adapters.floor import floor
from pipelines.adapters.postgres import (
    Database,
    PostgresBatches,
    PostgresDeadLetters,
    PostgresErasures,
    PostgresExchange,
    PostgresInbox,
    PostgresKeys,
    PostgresMemoryStore,
    PostgresOutbox,
    PostgresProfiles,
    PostgresRebuilds,
    PostgresSharing,
    check_embedder,
    check_fence,
    check_restored,
    check_schema,
)
from pipelines.errors import IndexUnavailable
from pipelines.flows.cost import ShowCosts
from pipelines.flows.dead import DeadLetterOffice
from pipelines.flows.erase import Erase
from pipelines.flows.exchange import Import
from pipelines.flows.forget import Forget
from pipelines.flows.gated import GatedIndex
from pipelines.flows.history import History
from pipelines.flows.keys import CheckKey
from pipelines.flows.procedures import LearnProcedures, Procedures
from pipelines.flows.profiles import Hydration
from pipelines.flows.project import Project, refill_if_empty
from pipelines.flows.recall import Recall
from pipelines.flows.redistill import Redistill
from pipelines.flows.restore import Restore
from pipelines.flows.share import Share
from workers.batching import check_batches
from workers.checkpointing import Checkpointing, make_checkpointing
from workers.clock import SystemClock
from workers.ground import Ground
from workers.indexes import make_index
from workers.intakes import open_waiting
from workers.lifecycle import Lifecycle, make_lifecycle
from workers.metrics.catalogue import ServerMeter
from workers.metrics.metered import TracedOutbox
from workers.models import make_embedder, make_reranker
from workers.payloads import read_payload
from workers.performing import perform
from workers.pool import pool
from workers.queues import CONSOLIDATE, PROJECT, is_served_by
from workers.recalling import make_recall_tiers
from workers.record import Record, make_record
from workers.road import make_road
from workers.session_tier import SessionTier, open_session_tier
from workers.stores import Stores, open_stores
from workers.tracing import make_tracer
from workers.upkeep import IndexUpkeep, make_upkeep
from workers.waker import BackgroundWaker, CeleryWaker, GatheringWaker, KeepingWaker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Celery

    from config.policy import Policies
    from pipelines.flows.batch import RunBatches
    from pipelines.flows.consolidate import Consolidate
    from pipelines.flows.distill import Distill
    from pipelines.flows.ingest import Ingest
    from pipelines.flows.recall_tiers import RecallTiers
    from pipelines.flows.sweep import Sweep
    from pipelines.ports import ArchiveFiles, Clock, Embedder, SubjectCache, TokenCounter, Waker


@dataclass(frozen=True, slots=True)
class Container:
    """Everything a process needs to work, connected.

    Attributes:
        check_key: None where the API asks for no key.
    """

    ground: Ground
    index: GatedIndex
    inbox: PostgresInbox
    store: PostgresMemoryStore
    costs: ShowCosts
    ingest: Ingest
    distill: Distill
    consolidate: Consolidate
    project: Project
    waker: KeepingWaker
    recall: Recall
    recall_tiers: RecallTiers
    sessions: SessionTier
    sweep: Sweep
    history: History
    restore: Restore
    forget: Forget
    share: Share
    redistill: Redistill
    erase: Erase
    upkeep: IndexUpkeep
    batch_store: PostgresBatches
    batches: RunBatches | None
    check_key: CheckKey | None
    dead: DeadLetterOffice
    lifecycle: Lifecycle
    record: Record
    procedures: Procedures
    learn_procedures: LearnProcedures
    checkpointing: Checkpointing
    imports: Import
    profiles: PostgresProfiles

    @property
    def settings(self) -> Settings:
        """What is connected to what."""
        return self.ground.settings

    @property
    def policies(self) -> Policies:
        """What the settings make of every tunable."""
        return self.ground.policies

    @property
    def clock(self) -> Clock:
        """The time."""
        return self.ground.clock

    @property
    def database(self) -> Database:
        """Where the truth is."""
        return self.ground.database

    @property
    def breakers(self) -> Breakers:
        """Say which server is away."""
        return self.ground.breakers

    def close(self) -> None:
        """Give back files and connections."""
        self.ground.tracer.close()
        self.ground.clients.close()
        self.index.close()
        self.ground.database.close()


def open_container(settings: Settings, app: Celery, clock: Clock | None = None) -> Container:
    """Connect everything and check that it fits together.

    Args:
        settings: What is connected to what.
        app: Sends wake-ups.
        clock: The machine's if not given.

    Raises:
        ConfigurationError: A setting is missing, or contradicts what is stored.
        DependencyUnavailable: A server does not answer.
    """
    clock, policies = clock or SystemClock(), settings.policies()
    check_batches(settings)
    with ExitStack() as undo:
        url, size = settings.database_url.get_secret_value(), settings.database_pool
        database = Database(url, pool_size=size)
        undo.callback(database.close)
        # Before anything that takes long: it may not be there yet, and is waited for.
        database.ping()
        check_schema(database)
        clients = undo.enter_context(ExitStack())
        tracer = make_tracer(settings)
        undo.callback(tracer.close)
        breakers = Breakers(policies.outage, clock, ServerMeter(tracer))
        ground = Ground(settings, policies, app, clock, database, clients, breakers, tracer)
        embedder, tokens = make_embedder(ground)
        check_embedder(database, embedder)
        check_fence(database)
        check_restored(database)
        opened = make_index(settings, embedder)
        undo.callback(opened.close)
        guarded = BreakingIndex(opened, breakers.of("index", IndexUnavailable))
        index = GatedIndex(guarded, _open_gate(ground))
        index.prepare()
        outbox = TracedOutbox(database, policies.passage, tracer)
        refill_if_empty(outbox, index, clock)
        made = _compose(ground, _Search(index, outbox, embedder, tokens))
        undo.pop_all()
    return made


@dataclass(frozen=True, slots=True)
class _Search:
    """By which memories are found."""

    index: GatedIndex
    outbox: PostgresOutbox
    embedder: Embedder
    tokens: TokenCounter


def _compose(ground: Ground, search: _Search) -> Container:
    policies, database, clock = ground.policies, ground.database, ground.clock
    index, embedder = search.index, search.embedder
    stores, gathering, later = open_stores(ground), *_open_wakers(ground)
    waker = KeepingWaker(gathering, lambda: is_served_by(ground.app, CONSOLIDATE))
    road = make_road(ground, stores, embedder, index, search.outbox, waker=waker, later=later)
    lifecycle = make_lifecycle(ground, later)
    record = make_record(ground, stores.memories, embedder, later)
    checkpointing = make_checkpointing(ground.settings, database, clock, ground.clients)
    sessions = open_session_tier(ground, search.tokens, stores.ledger)
    recall = _make_recall(ground, stores, search, lifecycle)
    procedures = Procedures(stores.procedures, clock, policies.personal_data)
    share = Share(stores.memories, PostgresSharing(database), embedder, waker, clock, policies)
    erase = _make_erase(
        ground,
        stores,
        index,
        (sessions.cache, checkpointing.hot),
        record.files,
        consolidate=road.consolidate,
        share=share,
        waker=waker,
    )
    made = Container(
        ground=ground,
        index=index,
        inbox=stores.inbox,
        store=stores.memories,
        costs=ShowCosts(stores.ledger, stores.inbox, policies.budget, clock),
        ingest=road.ingest,
        distill=road.distill,
        consolidate=road.consolidate,
        project=road.project,
        waker=waker,
        recall=recall,
        recall_tiers=make_recall_tiers(ground, recall, sessions, procedures),
        sessions=sessions,
        sweep=road.sweep,
        history=History(stores.memories),
        restore=_make_restore(ground, stores, lifecycle, road.consolidate, waker),
        forget=Forget(stores.memories, lifecycle.pins, later, clock),
        redistill=Redistill(stores.generations, stores.memories, waker, clock),
        share=share,
        erase=erase,
        upkeep=make_upkeep(ground, index, road.project, waker),
        batch_store=stores.batches,
        batches=road.batches,
        check_key=_make_check(ground),
        lifecycle=lifecycle,
        record=record,
        profiles=stores.profiles,
        imports=_make_import(ground, stores, later),
        dead=_make_office(ground, stores, road.ingest, later),
        procedures=procedures,
        learn_procedures=LearnProcedures(stores.procedures),
        checkpointing=checkpointing,
    )
    _project_here(gathering, made)
    return made


def _open_wakers(ground: Ground) -> tuple[GatheringWaker, BackgroundWaker]:
    sender = CeleryWaker(ground.app)
    gathering, later = GatheringWaker(sender), BackgroundWaker(sender)
    for each in (gathering, later):
        ground.clients.callback(each.close)
    return gathering, later


def _project_here(gathering: GatheringWaker, container: Container) -> None:
    """A worker that would get its own wake-up of the index does without one."""
    if pool.serves(container.ground.app, PROJECT):
        gathering.project = lambda: perform(
            "project", lambda: container, lambda it: it.project.run()
        )


def _make_recall(
    ground: Ground,
    stores: Stores,
    search: _Search,
    lifecycle: Lifecycle,
) -> Recall:
    return Recall(
        Hydration(stores.memories, stores.profiles),
        search.index,
        search.embedder,
        search.tokens,
        lifecycle.counter,
        ground.clock,
        ground.policies.rank,
        make_reranker(ground),
    )


def _make_import(ground: Ground, stores: Stores, waker: Waker) -> Import:
    exchange, policy = PostgresExchange(ground.database), ground.policies.personal_data
    return Import(exchange, stores.verdicts, waker, ground.clock, policy)


def _make_check(ground: Ground) -> CheckKey | None:
    if not ground.settings.needs_keys:
        return None
    return CheckKey(PostgresKeys(ground.database), ground.clock, ground.policies.keys)


def _make_erase(
    ground: Ground,
    stores: Stores,
    index: GatedIndex,
    caches: Sequence[SubjectCache],
    archive: ArchiveFiles | None,
    *,
    consolidate: Consolidate,
    share: Share,
    waker: Waker,
) -> Erase:
    stream = open_waiting(ground.settings, lambda: ground.open_redis(15), 15)
    return Erase(
        PostgresErasures(ground.database),
        stores.memories,
        index,
        stream,
        caches,
        consolidate,
        share,
        waker,
        ground.clock,
        ground.policies,
        archive,
    )


def _make_restore(
    ground: Ground, stores: Stores, lifecycle: Lifecycle, consolidate: Consolidate, waker: Waker
) -> Restore:
    return Restore(
        stores.memories,
        lifecycle.pins,
        stores.verdicts,
        consolidate,
        stores.generations,
        waker,
        ground.clock,
    )


def _make_office(ground: Ground, stores: Stores, ingest: Ingest, waker: Waker) -> DeadLetterOffice:
    letters = PostgresDeadLetters(ground.database)
    policy = ground.policies.dead
    return DeadLetterOffice(
        letters, stores.inbox, ingest, waker, ground.clock, read_payload, policy
    )


def _open_gate(ground: Ground) -> PostgresRebuilds:
    # Connections of its own: whoever writes the index may hold one of the store's meanwhile.
    settings = ground.settings
    own = Database(settings.database_url.get_secret_value(), pool_size=settings.database_pool)
    ground.clients.callback(own.close)
    return PostgresRebuilds(own)


_lock = threading.Lock()
_opened: Container | None = None


def current_container() -> Container:
    """This process's container, opened by its first task: always after the pool has forked."""
    global _opened  # noqa: PLW0603 - one per process is the point
    if _opened is not None:
        return _opened
    with floor.left(), _lock:  # whoever opens it waits for servers
        if _opened is None:
            from workers.app import app

            _opened = open_container(Settings(), app)
        return _opened


def close_container() -> None:
    """Close this process's container, if it ever opened one."""
    global _opened  # noqa: PLW0603
    with _lock:
        if _opened is not None:
            _opened.close()
            _opened = None
