"""Batches of model calls, composed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.errors import ConfigurationError
from pipelines.flows.batch import RunBatches
from pipelines.flows.gather import Gather
from workers.models import make_client

if TYPE_CHECKING:
    from contextlib import ExitStack

    from config.policy import Policies
    from config.settings import Settings
    from pipelines.ports import BatchStore, Clock, Distiller, Inbox, ReplyStore, Waker


def check_batches(settings: Settings) -> None:
    """Make sure that there is a model to batch calls of.

    Raises:
        ConfigurationError: There is none.
    """
    if settings.model_batch == "on" and settings.distiller != "model":
        raise ConfigurationError(
            "MEMSTILL_MODEL_BATCH: batches need a model; set MEMSTILL_DISTILLER=model or leave "
            "batches off"
        )


def make_batches(
    *,
    clients: ExitStack,
    settings: Settings,
    policies: Policies,
    distiller: Distiller,
    store: BatchStore,
    replies: ReplyStore,
    inbox: Inbox,
    waker: Waker,
    clock: Clock,
) -> RunBatches | None:
    """What hands in and collects batches; None where they are off."""
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
    return RunBatches(store, endpoint, gather, waker, clock, policies.batch)
