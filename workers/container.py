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
    PostgresGenerations,
    PostgresInbox,
    PostgresKeys,
    PostgresLedger,
    PostgresMemoryStore,
    PostgresOutbox,
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
from pipelines.errors import ConfigurationError, IndexUnavailable
from pipelines.flows.batch import RunBatches
from pipelines.flows.consolidate import Consolidate
from pipelines.flows.cost import ShowCosts
from pipelines.flows.dead import DeadLetterOffice
from pipelines.flows.distill import Distill
from pipelines.flows.erase import Erase
from pipelines.flows.gated import GatedIndex
from pipelines.flows.gather import Gather
from pipelines.flows.history import History
from pipelines.flows.ingest import Ingest
from pipelines.flows.keys import CheckKey
from pipelines.flows.project import Project, refill_if_empty
from pipelines.flows.recall import Recall
from pipelines.flows.redistill import Redistill
from pipelines.flows.restore import Restore
from pipelines.flows.share import Share
from pipelines.flows.sweep import Sweep
from workers.clock import SystemClock
from workers.distillers import ConfiguredDistillers, configured_recipe, make_distiller
from workers.indexes import make_index
from workers.lifecycle import Lifecycle, make_lifecycle
from workers.models import breaker_of_model, make_client, make_embedder, make_judge, make_reranker
from workers.payloads import read_payload
from workers.record import Record, make_record
from workers.retry import judge
from workers.upkeep import IndexUpkeep, make_upkeep
from workers.waker import BackgroundWaker, CeleryWaker

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery

    from config.policy import Policies
    from pipelines.ports import (
        BatchStore,
        Distiller,
        Distillers,
        Embedder,
        Inbox,
        ReplyStore,
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

    def close(self) -> None:
        """Give back files and connections."""
        self.clients.close()
        self.index.close()
        self.database.close()


def open_container(settings: Settings, app: Celery) -> Container:
    """Connect everything and check that it fits together.

    Raises:
        ConfigurationError: A setting is missing, or contradicts what is stored.
        DependencyUnavailable: A server does not answer.
    """
    policies = settings.policies()
    _check_batches(settings)
    with ExitStack() as undo:
        url, size = settings.database_url.get_secret_value(), settings.database_pool
        database = Database(url, pool_size=size)
        undo.callback(database.close)
        # Before anything that takes long: it may not be there yet, and is waited for.
        database.ping()
        check_schema(database)
        clients = undo.enter_context(ExitStack())
        breakers = Breakers(policies.outage, SystemClock())
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
        refill_if_empty(outbox, index, SystemClock())
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
) -> Container:
    clock, waker = SystemClock(), CeleryWaker(app)
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
    may_ask = _make_check(settings, breakers)
    distiller = make(configured_recipe(settings))
    distillers = ConfiguredDistillers(distiller, make, generations)
    batch_store = PostgresBatches(database, ledger)
    reranker = make_reranker(settings, clients, breakers)
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
    project = Project(outbox, index, clock, policies.project, policies.retry)
    # Whoever pushes shall not wait for a broker that hangs.
    later = BackgroundWaker(waker)
    clients.callback(later.close)
    ingest = _make_ingest(inbox, later, policies)
    lifecycle = make_lifecycle(settings, policies, database, later, clients)
    record = make_record(settings, database, store, embedder, later)
    return Container(
        clients=clients,
        breakers=breakers,
        settings=settings,
        policies=policies,
        database=database,
        index=index,
        inbox=inbox,
        store=store,
        costs=ShowCosts(ledger, inbox, policies.budget, clock),
        ingest=ingest,
        distill=_make_distill(inbox, distillers, waker, policies, may_ask),
        consolidate=consolidate,
        project=project,
        recall=Recall(
            store, index, embedder, tokens, lifecycle.counter, clock, policies.rank, reranker
        ),
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
        batches=_make_batches(
            clients=clients,
            settings=settings,
            policies=policies,
            distiller=distiller,
            store=batch_store,
            replies=replies,
            inbox=inbox,
            waker=waker,
        ),
        check_key=(
            CheckKey(PostgresKeys(database), clock, policies.keys) if settings.needs_keys else None
        ),
        lifecycle=lifecycle,
        record=record,
        dead=DeadLetterOffice(
            PostgresDeadLetters(database), inbox, ingest, later, clock, read_payload, policies.dead
        ),
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


def _make_ingest(inbox: Inbox, waker: Waker, policies: Policies) -> Ingest:
    # Backfill that waits for a batch is not woken for a call of its own.
    wakes = not policies.batch.is_on
    return Ingest(inbox, waker, SystemClock(), policies.personal_data, wakes_backfill=wakes)


def _make_check(settings: Settings, breakers: Breakers) -> Callable[[], bool]:
    """Whether it is worth taking a transcript out of the line."""
    if settings.distiller == "offline":
        return lambda: True
    return breaker_of_model(breakers, settings.model_name).may_ask


def _make_distill(
    inbox: Inbox,
    distillers: Distillers,
    waker: Waker,
    policies: Policies,
    may_ask: Callable[[], bool],
) -> Distill:
    return Distill(
        inbox,
        distillers,
        waker,
        SystemClock(),
        lease=policies.lease.distill,
        max_attempts=policies.retry.max_attempts,
        max_deaths=policies.retry.max_deaths,
        judge=partial(judge, policy=policies.retry),
        verbatim=policies.verbatim,
        patience=policies.retry.patience,
        may_ask=may_ask,
    )


def _check_batches(settings: Settings) -> None:
    if settings.model_batch == "on" and settings.distiller != "model":
        raise ConfigurationError(
            "MEMSTILL_MODEL_BATCH: batches need a model; set MEMSTILL_DISTILLER=model or leave "
            "batches off"
        )


def _make_batches(
    *,
    clients: ExitStack,
    settings: Settings,
    policies: Policies,
    distiller: Distiller,
    store: BatchStore,
    replies: ReplyStore,
    inbox: Inbox,
    waker: Waker,
) -> RunBatches | None:
    if not policies.batch.is_on:
        return None
    from pipelines.adapters.model_distiller import ModelDistiller
    from pipelines.adapters.openai_batches import OpenAiBatches

    if not isinstance(distiller, ModelDistiller):
        return None
    client = clients.enter_context(
        make_client(settings.model_base_url, settings.model_api_key, settings)
    )
    name, budget_seconds = settings.model_name, settings.model_timeout_seconds
    endpoint = OpenAiBatches(client, name, policies.retry, budget_seconds=budget_seconds)
    gather = Gather(store, distiller, replies, inbox, name, policies.batch)
    return RunBatches(store, endpoint, gather, waker, SystemClock(), policies.batch)


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
