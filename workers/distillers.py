"""Who distills for whom: the configured distiller, and those of generations."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pipelines.adapters.prompts import Prompt, load_prompt
from pipelines.errors import ConfigurationError, InputError
from pipelines.ports import Recipe
from pipelines.stages.generation import generation_of
from workers.models import check_priced, make_chat

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.policy import Policies
    from config.settings import Settings
    from pipelines.model import Owner
    from pipelines.ports import Distiller, GenerationStore, ReplyStore
    from pipelines.stages.generation import GenerationId
    from workers.ground import Ground

OFFLINE, MODEL = "offline", "model"


class ConfiguredDistillers:
    """``Distillers``. Each generation's is made when it is first asked for, and kept."""

    def __init__(
        self, live: Distiller, make: Callable[[Recipe], Distiller], generations: GenerationStore
    ) -> None:
        self._live = live
        self._make = make
        self._generations = generations
        self._made: dict[GenerationId, Distiller] = {}
        self._lock = threading.Lock()

    def of(self, owner: Owner) -> Distiller:
        found = generation_of(owner)
        if found is None:
            return self._live
        key, _ = found
        if key not in self._made:
            # Outside of the lock: whoever waits for a lock keeps the floor.
            made = self._make(self._generations.load_recipe(key))
            with self._lock:
                self._made.setdefault(key, made)
        return self._made[key]


def make_distiller(recipe: Recipe, ground: Ground, replies: ReplyStore) -> Distiller:
    """The distiller that a recipe describes, at the endpoint of the settings."""
    if recipe.model is None or recipe.prompt_name is None or recipe.prompt is None:
        from pipelines.adapters.offline_distiller import OfflineDistiller

        return OfflineDistiller()
    from pipelines.adapters.model_distiller import ModelDistiller

    chat = make_chat(ground, recipe.model)
    prompt = Prompt("distill", recipe.prompt_name, recipe.prompt)
    return ModelDistiller(chat, replies, prompt, ground.policies.distill)


def configured_recipe(settings: Settings) -> Recipe:
    """How live sessions are distilled.

    Raises:
        ConfigurationError: There is no such prompt.
    """
    if settings.distiller == OFFLINE:
        return Recipe(OFFLINE)
    prompt = load_prompt("distill", settings.prompt, settings.prompts_dir)
    return Recipe(MODEL, settings.model_name, prompt.name, prompt.text)


def choose_recipe(
    settings: Settings,
    policies: Policies,
    *,
    distiller: str | None = None,
    model: str | None = None,
    prompt: str | None = None,
) -> Recipe:
    """How a generation shall distill: as live sessions are, but for what is named.

    A model or a prompt asks for the model distiller.

    Raises:
        InputError: The parts do not fit together, or nothing here can do it.
    """
    named = distiller or (MODEL if model or prompt else settings.distiller)
    if named == OFFLINE:
        if model or prompt:
            raise InputError("distiller", "offline asks no model: leave model and prompt out")
        return Recipe(OFFLINE)
    if settings.model_base_url is None and settings.model_api_key is None:
        raise InputError(
            "distiller", "no model is set up: set MEMSTILL_MODEL_BASE_URL or MEMSTILL_MODEL_API_KEY"
        )
    name = model or settings.model_name
    try:
        check_priced(name, policies)
        text = load_prompt("distill", prompt or settings.prompt, settings.prompts_dir)
    except ConfigurationError as error:
        field, _, reason = str(error).partition(": ")
        raise InputError(field, reason) from error
    return Recipe(MODEL, name, text.name, text.text)
