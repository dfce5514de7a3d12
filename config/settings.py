"""The environment, read once, by processes that run (never by a library or a stage)."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.policy import LeasePolicy, Policies, RetryPolicy


class Settings(BaseSettings):
    """Everything that differs between installations. Each field is ``MEMSTILL_<NAME>``."""

    model_config = SettingsConfigDict(
        env_prefix="MEMSTILL_", env_ignore_empty=True, frozen=True, extra="ignore"
    )

    database_url: SecretStr = Field(
        default=SecretStr("postgresql://memstill@localhost/memstill"),
        description="PostgreSQL, as libpq understands it.",
    )
    redis_url: SecretStr = Field(
        default=SecretStr("redis://localhost:6379/0"),
        description="Broker and intake Stream: redis://, rediss:// or unix://.",
    )
    index_url: str = Field(
        default="pgvector",
        description="pgvector, edge:/path/of/a/folder, or the http address of a Qdrant server.",
    )
    index_api_key: SecretStr | None = None
    key_prefix: str = Field(default="memstill", pattern=r"^[a-z][a-z0-9_-]{0,40}$")
    default_tenant: str = "default"

    distiller: Literal["offline", "model"] = "offline"
    model_base_url: str | None = None
    model_api_key: SecretStr | None = None
    model_name: str = "gpt-4o-mini"
    model_timeout_seconds: float = Field(default=40.0, gt=0, le=55)

    embedder: Literal["minilm", "remote"] = "minilm"
    embed_base_url: str | None = None
    embed_api_key: SecretStr | None = None
    embed_model: str = "text-embedding-3-small"
    embed_size: int = Field(default=1536, gt=0, le=8192)
    embed_threads: int = Field(default=1, gt=0)

    database_pool: int = Field(default=10, gt=0)
    sweep_seconds: float = Field(default=5.0, gt=0)
    retry_base_seconds: float = Field(default=30.0, gt=0)
    max_attempts: int = Field(default=5, gt=0)
    distill_lease_seconds: float = Field(default=300.0, gt=0)
    consolidate_lease_seconds: float = Field(default=60.0, gt=0)

    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8377, ge=0, le=65535)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"

    def policies(self) -> Policies:
        """The policies with what the environment changes in them."""
        retry = RetryPolicy(
            base=timedelta(seconds=self.retry_base_seconds), max_attempts=self.max_attempts
        )
        lease = LeasePolicy(
            distill=timedelta(seconds=self.distill_lease_seconds),
            consolidate=timedelta(seconds=self.consolidate_lease_seconds),
        )
        return Policies(retry=retry, lease=lease)
