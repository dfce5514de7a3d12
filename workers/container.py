"""The composition root: settings in, flows out. Opened once in each process that works.

An adapter is imported where the settings choose it: a process starts with what it uses.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from redis import Redis

from config.settings import Settings
from pipelines.adapters.breaking import Breakers, BreakingIndex
from pipelines.adapters.intake_stream import IntakeStream
from pipelines.adapters.postgres import (
    Database,
    PostgresBatches,
    PostgresDeadLetters,
    PostgresErasures,
    PostgresExchange,
    PostgresGenerations,
    PostgresInbox,
    PostgresKeys,
    PostgresLedger,
    PostgresMemoryStore,
    PostgresOutbox,
    PostgresProcedures,
    PostgresProfiles,
    PostgresRebuilds,
    PostgresReplies,
    PostgresSharing,
    PostgresVerdicts,
    PostgresWorkTable,
    check_embedder,
    check_fence,
    check_restored,
    check_schema,
)
from pipelines.errors import IndexUnavailable
from pipelines.flows.consolidate import Consolidate
from pipelines.flows.cost import ShowCosts
from pipelines.flows.dead import DeadLetterOffice
from pipelines.flows.erase import Erase
from pipelines.flows.exchange import Import
from pipelines.flows.gated import GatedIndex
from pipelines.flows.history import History
from pipelines.flows.ingest import Ingest
from pipelines.flows.keys import CheckKey
from pipelines.flows.procedures import LearnProcedures, Procedures
from pipelines.flows.profiles import EmbeddingOutbox, Hydration
from pipelines.flows.project import Project, refill_if_empty
from pipelines.flows.recall import Recall
from pipelines.flows.redistill import Redistill
from pipelines.flows.restore import Restore
from pipelines.flows.share import Share
from pipelines.flows.sweep import Sweep
from workers.batching import check_batches, make_batches
from workers.checkpointing import Checkpointing, make_checkpointing
from workers.clock import SystemClock
from workers.distillers import ConfiguredDistillers, configured_recipe, make_distiller
from workers.distilling import make_check, make_distill
from workers.indexes import make_index
from workers.lifecycle import Lifecycle, make_lifecycle
from workers.models import make_embedder, make_judge, make_reranker
from workers.payloads import read_payload
from workers.recalling import make_recall_tiers
from workers.record import Record, make_record
from workers.session_tier import SessionTier, open_session_tier
from workers.upkeep import IndexUpkeep, make_upkeep
from workers.waker import BackgroundWaker, CeleryWaker

if TYPE_CHECKING:
    from celery import Celery

    from config.policy import Policies
    from pipelines.flows.batch import RunBatches
    from pipelines.flows.distill import Distill
    from pipelines.flows.recall_tiers import RecallTiers
    from pipelines.ports import (
        Clock,
        Embedder,
        Inbox,
        TokenCounter,
        Waker,
    )


@dataclass(frozen=True, slots=True)
class Container:
    """Everything a process needs to work, connected.

    Attributes:
        clients: Closes the connections to model endpoints.
        breakers: Say which server is away.
        check_key: None where the API asks for no key.
    """

    clients: ExitStack
    breakers: Breakers
    settings: Settings
    policies: Policies
    clock: Clock
    database: Database
    index: GatedIndex
    inbox: PostgresInbox
    store: PostgresMemoryStore
    costs: ShowCosts
    ingest: Ingest
    distill: Distill
    consolidate: Consolidate
    project: Project
    recall: Recall
    recall_tiers: RecallTiers
    sessions: SessionTier
    sweep: Sweep
    history: History
    restore: Restore
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

    def close(self) -> None:
        """Give back files and connections."""
        self.clients.close()
        self.index.close()
        self.database.close()


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
        breakers = Breakers(policies.outage, clock)
        embedder, tokens = make_embedder(settings, policies, clients, breakers)
        check_embedder(database, embedder)
        check_fence(database)
        check_restored(database)
        opened = make_index(settings, embedder)
        undo.callback(opened.close)
        guarded = BreakingIndex(opened, breakers.of("index", IndexUnavailable))
        index = GatedIndex(guarded, _open_gate(settings, clients))
        index.prepare()
        outbox = PostgresOutbox(database, policies.passage)
        refill_if_empty(outbox, index, clock)
        made = _compose(
            clients=clients,
            breakers=breakers,
            settings=settings,
            policies=policies,
            database=database,
            index=index,
            outbox=outbox,
            embedder=embedder,
            tokens=tokens,
            app=app,
            clock=clock,
        )
        undo.pop_all()
    return made


def _compose(
    *,
    clients: ExitStack,
    breakers: Breakers,
    settings: Settings,
    policies: Policies,
    database: Database,
    index: GatedIndex,
    outbox: PostgresOutbox,
    embedder: Embedder,
    tokens: TokenCounter,
    app: Celery,
    clock: Clock,
) -> Container:
    waker = CeleryWaker(app)
    wait = policies.batch.wait if policies.batch.is_on else timedelta()
    inbox = PostgresInbox(database, wait, policies.rate)
    store = PostgresMemoryStore(database)
    ledger = PostgresLedger(database, policies.budget, clock)
    replies = PostgresReplies(database, ledger)
    verdicts = PostgresVerdicts(database)
    generations = PostgresGenerations(database)
    make = partial(
        make_distiller,
        settings=settings,
        policies=policies,
        clients=clients,
        breakers=breakers,
        replies=replies,
    )
    may_ask = make_check(settings, breakers)
    distiller = make(configured_recipe(settings))
    distillers = ConfiguredDistillers(distiller, make, generations)
    batch_store = PostgresBatches(database, ledger)
    reranker = make_reranker(settings, clients, breakers)
    sessions = open_session_tier(
        settings, policies, clients, breakers, tokens, ledger=ledger, clock=clock
    )
    consolidate = Consolidate(
        store,
        index,
        embedder,
        verdicts,
        make_judge(settings, policies, clients, breakers, replies),
        waker,
        clock,
        policies,
    )
    share = Share(store, PostgresSharing(database), embedder, waker, clock, policies)
    profiles = PostgresProfiles(database)
    fed = EmbeddingOutbox(outbox, profiles, embedder, clock)
    project = Project(fed, index, clock, policies.project, policies.retry)
    # Whoever pushes shall not wait for a broker that hangs.
    later = BackgroundWaker(waker)
    clients.callback(later.close)
    ingest = _make_ingest(inbox, later, clock, policies)
    lifecycle = make_lifecycle(
        settings=settings,
        policies=policies,
        database=database,
        waker=later,
        clock=clock,
        clients=clients,
    )
    record = make_record(settings, database, store, embedder, later, clock=clock)
    checkpointing = make_checkpointing(settings, policies, database, clock, clients)
    recall = Recall(
        Hydration(store, profiles),
        index,
        embedder,
        tokens,
        lifecycle.counter,
        clock,
        policies.rank,
        reranker,
    )
    procedures = Procedures(PostgresProcedures(database), clock, policies.personal_data)
    return Container(
        clients=clients,
        breakers=breakers,
        settings=settings,
        policies=policies,
        clock=clock,
        database=database,
        index=index,
        inbox=inbox,
        store=store,
        costs=ShowCosts(ledger, inbox, policies.budget, clock),
        ingest=ingest,
        distill=make_distill(
            inbox=inbox,
            distillers=distillers,
            waker=waker,
            clock=clock,
            policies=policies,
            may_ask=may_ask,
        ),
        consolidate=consolidate,
        project=project,
        recall=recall,
        recall_tiers=make_recall_tiers(recall, sessions, procedures, policies, clients),
        sessions=sessions,
        sweep=Sweep(PostgresWorkTable(database), waker, clock, may_ask=may_ask),
        history=History(store),
        restore=Restore(store, lifecycle.pins, verdicts, consolidate, generations, waker, clock),
        redistill=Redistill(generations, store, waker, clock),
        share=share,
        erase=Erase(
            PostgresErasures(database),
            store,
            index,
            _make_stream(settings, clients),
            (sessions.cache, checkpointing.hot),
            consolidate,
            share,
            waker,
            clock,
            policies,
            record.files,
        ),
        upkeep=make_upkeep(
            database=database,
            index=index,
            project=project,
            waker=waker,
            clock=clock,
            policy=policies.reconcile,
        ),
        batch_store=batch_store,
        batches=make_batches(
            clients=clients,
            settings=settings,
            policies=policies,
            distiller=distiller,
            store=batch_store,
            replies=replies,
            inbox=inbox,
            waker=waker,
            clock=clock,
        ),
        check_key=(
            CheckKey(PostgresKeys(database), clock, policies.keys) if settings.needs_keys else None
        ),
        lifecycle=lifecycle,
        record=record,
        profiles=profiles,
        imports=Import(PostgresExchange(database), verdicts, later, clock, policies.personal_data),
        dead=DeadLetterOffice(
            PostgresDeadLetters(database), inbox, ingest, later, clock, read_payload, policies.dead
        ),
        procedures=procedures,
        learn_procedures=LearnProcedures(PostgresProcedures(database)),
        checkpointing=checkpointing,
    )


def _make_stream(settings: Settings, clients: ExitStack) -> IntakeStream:
    redis = Redis.from_url(settings.redis_url.get_secret_value(), socket_timeout=15)
    clients.callback(redis.close)
    return IntakeStream(redis, settings.key_prefix, settings.default_tenant)


def _open_gate(settings: Settings, clients: ExitStack) -> PostgresRebuilds:
    # Connections of its own: whoever writes the index may hold one of the store's meanwhile.
    own = Database(settings.database_url.get_secret_value(), pool_size=settings.database_pool)
    clients.callback(own.close)
    return PostgresRebuilds(own)


def _make_ingest(inbox: Inbox, waker: Waker, clock: Clock, policies: Policies) -> Ingest:
    # Backfill that waits for a batch is not woken for a call of its own.
    wakes_backfill = not policies.batch.is_on
    return Ingest(inbox, waker, clock, policies.personal_data, wakes_backfill=wakes_backfill)


_lock = threading.Lock()
_opened: Container | None = None


def current_container() -> Container:
    """This process's container, opened by its first task: always after the pool has forked."""
    global _opened  # noqa: PLW0603 - one per process is the point
    with _lock:
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
