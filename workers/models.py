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
    from contextlib import ExitStack

    from openai import OpenAI
    from pydantic import SecretStr

    from config.policy import Policies
    from config.settings import Settings
    from pipelines.ports import ChatModel, Embedder, Judge, ReplyStore, Reranker, TokenCounter


def make_embedder(
    settings: Settings, policies: Policies, clients: ExitStack, breakers: Breakers
) -> tuple[Embedder, TokenCounter]:
    """What embeds, and what counts tokens in a language like the embedder's."""
    if settings.embedder == "minilm":
        from pipelines.adapters.minilm import MiniLmEmbedder

        minilm = MiniLmEmbedder(threads=settings.embed_threads)
        return minilm, minilm
    from pipelines.adapters.openai_embedder import CharacterTokenCounter, OpenAiEmbedder

    base_url = settings.embed_base_url or settings.model_base_url
    key = settings.embed_api_key or settings.model_api_key
    client = clients.enter_context(make_client(base_url, key, settings))
    embedder = OpenAiEmbedder(
        client,
        settings.embed_model,
        settings.embed_size,
        policies.retry,
        budget_seconds=settings.model_timeout_seconds,
    )
    guarded = BreakingEmbedder(embedder, breakers.of("embedder", ModelUnavailable))
    return guarded, CharacterTokenCounter()


def breaker_of_model(breakers: Breakers, model: str) -> Breaker:
    """The breaker of a chat model at the endpoint of the settings."""
    return breakers.of(f"model {model}", ModelUnavailable)


def make_chat(
    settings: Settings,
    policies: Policies,
    clients: ExitStack,
    breakers: Breakers,
    model: str,
    *,
    max_seconds: float = float("inf"),
) -> ChatModel:
    """The chat model of that name, at the endpoint of the settings.

    Args:
        settings: Name the endpoint, and how long it is waited for.
        policies: Of retries and prices.
        clients: Close the connections.
        breakers: Shared by all who ask this model.
        model: Its name at the endpoint.
        max_seconds: Where somebody waits who does not wait as long as the settings say.
    """
    from pipelines.adapters.openai_chat import OpenAiChatModel

    check_priced(model, policies)
    client = clients.enter_context(
        make_client(settings.model_base_url, settings.model_api_key, settings)
    )
    chat = OpenAiChatModel(
        client,
        model,
        policies.retry,
        budget_seconds=min(settings.model_timeout_seconds, max_seconds),
    )
    return BreakingChatModel(chat, breaker_of_model(breakers, model))


def make_reranker(settings: Settings, clients: ExitStack, breakers: Breakers) -> Reranker | None:
    """What re-ranks, if the settings name it."""
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
    clients.callback(made.close)
    return BreakingReranker(made, breakers.of("reranker", ModelUnavailable))


def make_judge(
    settings: Settings,
    policies: Policies,
    clients: ExitStack,
    breakers: Breakers,
    replies: ReplyStore,
) -> Judge | None:
    """What is asked where rules cannot tell; nobody without a model."""
    if settings.distiller == "offline":
        return None
    from pipelines.adapters.model_judge import ModelJudge
    from pipelines.adapters.paid_chat import PaidChat

    chat = make_chat(settings, policies, clients, breakers, settings.model_name)
    return ModelJudge(PaidChat(chat, replies, policies.distill.max_repairs))


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
