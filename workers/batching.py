"""Batches of model calls, composed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.errors import ConfigurationError
from pipelines.flows.batch import RunBatches
from pipelines.flows.gather import Gather
from workers.models import make_client

if TYPE_CHECKING:
    from config.settings import Settings
    from pipelines.ports import Distiller, Waker
    from workers.ground import Ground
    from workers.stores import Stores


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
    ground: Ground, stores: Stores, distiller: Distiller, waker: Waker
) -> RunBatches | None:
    """What hands in and collects batches; None where they are off."""
    settings, policies = ground.settings, ground.policies
    if not policies.batch.is_on:
        return None
    from pipelines.adapters.model_distiller import ModelDistiller
    from pipelines.adapters.openai_batches import OpenAiBatches

    if not isinstance(distiller, ModelDistiller):
        return None
    client = ground.clients.enter_context(
        make_client(settings.model_base_url, settings.model_api_key, settings)
    )
    name, budget_seconds = settings.model_name, settings.model_timeout_seconds
    endpoint = OpenAiBatches(client, name, policies.retry, budget_seconds=budget_seconds)
    gather = Gather(stores.batches, distiller, stores.replies, stores.inbox, name, policies.batch)
    return RunBatches(stores.batches, endpoint, gather, waker, ground.clock, policies.batch)
