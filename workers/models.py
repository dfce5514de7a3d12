"""What answers, embeds and ranks, as the settings choose it.

An adapter is imported where the settings choose it: a process starts with what it uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.adapters.breaking import (
    Breaker,
    Breakers,
    BreakingChatModel,
    BreakingEmbedder,
    BreakingReranker,
)
from pipelines.errors import ConfigurationError, ModelUnavailable

if TYPE_CHECKING:
    from openai import OpenAI
    from pydantic import SecretStr

    from config.policy import Policies
    from config.settings import Settings
    from pipelines.ports import ChatModel, Embedder, Judge, ReplyStore, Reranker, TokenCounter
    from workers.ground import Ground


def make_embedder(ground: Ground) -> tuple[Embedder, TokenCounter]:
    """What embeds, and what counts tokens in a language like the embedder's."""
    settings = ground.settings
    if settings.embedder == "minilm":
        from pipelines.adapters.minilm import MiniLmEmbedder

        minilm = MiniLmEmbedder(threads=settings.embed_threads)
        return minilm, minilm
    from pipelines.adapters.openai_embedder import CharacterTokenCounter, OpenAiEmbedder

    base_url = settings.embed_base_url or settings.model_base_url
    key = settings.embed_api_key or settings.model_api_key
    client = ground.clients.enter_context(make_client(base_url, key, settings))
    embedder = OpenAiEmbedder(
        client,
        settings.embed_model,
        settings.embed_size,
        ground.policies.retry,
        budget_seconds=settings.model_timeout_seconds,
    )
    guarded = BreakingEmbedder(embedder, ground.breakers.of("embedder", ModelUnavailable))
    return guarded, CharacterTokenCounter()


def breaker_of_model(breakers: Breakers, model: str) -> Breaker:
    """The breaker of a chat model at the endpoint of the settings."""
    return breakers.of(f"model {model}", ModelUnavailable)


def make_chat(ground: Ground, model: str, *, max_seconds: float = float("inf")) -> ChatModel:
    """The chat model of that name, at the endpoint of the settings.

    Args:
        ground: Names the endpoint.
        model: Its name there.
        max_seconds: Where somebody waits who does not wait as long as the settings say.
    """
    from pipelines.adapters.openai_chat import OpenAiChatModel

    settings = ground.settings
    check_priced(model, ground.policies)
    client = ground.clients.enter_context(
        make_client(settings.model_base_url, settings.model_api_key, settings)
    )
    chat = OpenAiChatModel(
        client,
        model,
        ground.policies.retry,
        budget_seconds=min(settings.model_timeout_seconds, max_seconds),
    )
    return BreakingChatModel(chat, breaker_of_model(ground.breakers, model))


def make_reranker(ground: Ground) -> Reranker | None:
    """What re-ranks, if the settings name it."""
    settings = ground.settings
    if settings.rerank_url is None:
        return None
    from pipelines.adapters.http_reranker import HttpReranker

    key = settings.rerank_api_key
    made = HttpReranker(
        settings.rerank_url,
        key.get_secret_value() if key else None,
        settings.rerank_model,
        settings.rerank_timeout_seconds,
    )
    ground.clients.callback(made.close)
    return BreakingReranker(made, ground.breakers.of("reranker", ModelUnavailable))


def make_judge(ground: Ground, replies: ReplyStore) -> Judge | None:
    """What is asked where rules cannot tell; nobody without a model."""
    if ground.settings.distiller == "offline":
        return None
    from pipelines.adapters.model_judge import ModelJudge
    from pipelines.adapters.paid_chat import PaidChat

    chat = make_chat(ground, ground.settings.model_name)
    return ModelJudge(PaidChat(chat, replies, ground.policies.distill.max_repairs))


def check_priced(model: str, policies: Policies) -> None:
    """See to it that budgets in money can be kept.

    Raises:
        ConfigurationError: They cannot: the model has no price.
    """
    if policies.budget.is_in_money and model not in policies.budget.prices:
        raise ConfigurationError(
            f"MEMSTILL_PRICES: has no price of {model}, so the money that MEMSTILL_BUDGETS "
            "limits could not be counted: name its price, or limit tokens"
        )


def make_client(base_url: str | None, key: SecretStr | None, settings: Settings) -> OpenAI:
    """A client of an endpoint; the caller closes it."""
    from pipelines.adapters.openai_client import make_openai_client

    return make_openai_client(
        base_url, key.get_secret_value() if key else None, settings.model_timeout_seconds
    )
