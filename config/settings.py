"""The environment, read once, by processes that run (never by a library or a stage)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.budgets import BudgetsSchema, BudgetsSetting, PricesSetting, make_budget_policy
from config.checkpoints import LONGEST, SHORTEST, CheckpointPolicy
from config.langgraph import LangGraphPolicy
from config.operation import (
    TASK_BUDGET,
    BatchPolicy,
    ErasePolicy,
    LeasePolicy,
    ProjectPolicy,
    ReconcilePolicy,
    RetryPolicy,
)
from config.outages import OutagePolicy
from config.personal import PersonalDataSchema, PersonalDataSetting, make_personal_data_policy
from config.policy import GlobalPolicy, IntakePolicy, JudgePolicy, Policies
from config.rates import RatesSchema, RatesSetting, make_rate_policy
from config.requests import RequestPolicy
from config.retrieval import VerbatimPolicy
from config.schedule import CRON_JOBS, IntervalsSetting, Job, SchedulePolicy
from config.sessions import WorkingPolicy

BROKER_SCHEMES = ("amqp://", "amqps://")


class Settings(BaseSettings):
    """Everything that differs between installations. Each field is ``MEMSTILL_<NAME>``."""

    model_config = SettingsConfigDict(
        env_prefix="MEMSTILL_",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        # An address may hold a password.
        hide_input_in_errors=True,
    )

    database_url: SecretStr = Field(
        default=SecretStr("postgresql://memstill@localhost/memstill"),
        description="PostgreSQL, as libpq understands it.",
    )
    redis_url: SecretStr = Field(
        default=SecretStr("redis://localhost:6379/0"),
        description="Running sessions, and broker and intake Stream unless broker_url is given: "
        "redis://, rediss:// or unix://.",
    )
    broker_url: SecretStr | None = Field(
        default=None,
        description="A RabbitMQ for wake-ups and intake instead: docs/rabbitmq.md.",
    )
    index_url: str = Field(
        default="pgvector",
        description="pgvector, edge:/path/of/a/folder, or the http address of a Qdrant server.",
    )
    index_api_key: SecretStr | None = None
    key_prefix: str = Field(default="memstill", pattern=r"^[a-z][a-z0-9_-]{0,40}$")
    default_tenant: str = "default"
    personal_data: PersonalDataSetting = Field(
        default_factory=PersonalDataSchema,
        description="keep, mask or drop, also by tenant and kind: docs/decisions/0009.",
    )

    distiller: Literal["offline", "model"] = "offline"
    model_base_url: str | None = None
    model_api_key: SecretStr | None = None
    model_name: str = "gpt-4o-mini"
    model_timeout_seconds: float = Field(
        default=40.0, gt=0, le=TASK_BUDGET.total_seconds() - 5, description="Of one call."
    )
    prompt: str = Field(
        default="v1",
        pattern=r"^[a-z0-9][a-z0-9._-]{0,40}$",
        description="Version of the prompt that live sessions are distilled with.",
    )
    prompts_dir: Path | None = Field(
        default=None, description="Folder of further prompts: distill_NAME.md."
    )

    model_batch: Literal["on", "off"] = Field(
        default="off",
        description="Distill backfill in batches, where the endpoint has them: see decision 0014.",
    )
    model_batch_min: int = Field(default=20, gt=0, description="Fewer requests make no batch.")
    batch_price_share: Decimal = Field(
        default=Decimal("0.5"), ge=0, le=1, description="Of the price, for a call in a batch."
    )
    batch_wait_seconds: float = Field(
        default=3600.0, ge=0, description="Backfill without a batch is then distilled live."
    )
    batch_lease_seconds: float = Field(default=300.0, gt=0)

    prices: PricesSetting = Field(
        default_factory=dict,
        description='Per million tokens: {"gpt-4o-mini": {"prompt": 0.15, "completion": 0.60}}.',
    )
    budgets: BudgetsSetting = Field(
        default_factory=BudgetsSchema,
        description="What tenants and users may spend in a UTC day: docs/decisions/0010.",
    )
    rates: RatesSetting = Field(
        default_factory=RatesSchema,
        description='Sessions taken up per tenant: {"default": {"per_minute": 60, "burst": 20}}.',
    )
    budget_recheck_seconds: float = Field(default=300.0, gt=0)

    judge_wait_seconds: float = Field(
        default=604_800.0, ge=0, description="No pair of like statements waits for a judge longer."
    )
    verbatim: Literal["on", "off"] = Field(
        default="on",
        description="Keep what was said beside a model's facts, too: docs/decisions/0011.",
    )

    rerank_url: str | None = Field(
        default=None, description="An endpoint that has /rerank; without it recall ranks alone."
    )
    rerank_api_key: SecretStr | None = None
    rerank_model: str = "rerank"
    rerank_timeout_seconds: float = Field(
        default=1.0, gt=0, le=30, description="Recall waits no longer, and goes on without."
    )

    embedder: Literal["minilm", "remote"] = "minilm"
    embed_base_url: str | None = None
    embed_api_key: SecretStr | None = None
    embed_model: str = "text-embedding-3-small"
    embed_size: int = Field(default=1536, gt=0, le=8192)
    embed_threads: int = Field(default=1, gt=0)

    database_pool: int = Field(default=10, gt=0)
    schedule: IntervalsSetting = Field(
        default_factory=dict,
        description='Seconds between runs of jobs: {"sweep": 5, "share": 3600}; memstill jobs.',
    )
    beat: Literal["all", "frequent"] = Field(
        default="all",
        description="What beat fires: all jobs, or none that CronJobs fire: docs/kubernetes.md.",
    )
    reconcile_seconds: float = Field(
        default=86_400.0, gt=0, description="The index is compared with the rows this often."
    )
    share_min_users: int = Field(
        default=3, ge=2, description="So many users must say what may become everyone's."
    )
    retry_base_seconds: float = Field(default=30.0, gt=0)
    max_attempts: int = Field(default=5, gt=0)
    probe_seconds: float = Field(
        default=5.0, gt=0, description="A server that is away is looked for first after this."
    )
    max_deaths: int = Field(
        default=3, gt=0, description="So many workers may die over one piece of work."
    )
    distill_lease_seconds: float = Field(default=300.0, gt=0)
    consolidate_lease_seconds: float = Field(default=60.0, gt=0)
    project_lease_seconds: float = Field(default=60.0, gt=0)
    claim_idle_seconds: float = Field(
        default=60.0, gt=0, description="What an intake has read this long is taken over."
    )

    erase_settle_seconds: float = Field(
        default=600.0, ge=0, description="After this all stores are searched for what was erased."
    )

    langgraph_url: SecretStr | None = Field(
        default=None, description="PostgreSQL in which LangGraph keeps checkpoints to be cleaned."
    )
    langgraph_keep: int = Field(
        default=5, gt=0, description="So many of the newest stay, of each thread and namespace."
    )
    langgraph_settle_seconds: float = Field(
        default=3600.0, ge=0, description="One goes when as many as stay are older than this."
    )
    working_tokens: int = Field(
        default=8_000, ge=200, description="What a working memory may hold: docs/sessions.md."
    )
    checkpoint_seconds: float = Field(
        default=LONGEST.total_seconds(),
        ge=SHORTEST.total_seconds(),
        le=LONGEST.total_seconds(),
        description="A checkpoint is kept so long.",
    )
    checkpoint_keep: int = Field(default=5, ge=1, description="Of each thread, the newest.")
    archive_url: str | None = Field(
        default=None,
        description="file:///folder or s3://bucket/folder; without it nothing is archived.",
    )

    heartbeat_file: Path | None = Field(
        default=None, description="A worker touches it while it gets on: memstill health --worker."
    )
    traces_url: str | None = Field(
        default=None,
        description="OTLP over HTTP, http://collector:4318/v1/traces; takes memstill[traces].",
    )
    traces_share: float = Field(
        default=1.0, ge=0, le=1, description="Of the traces that begin here; the others decide."
    )
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="This process answers /metrics there, to anybody: docs/observability.md.",
    )
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8377, ge=0, le=65535)
    auth: Literal["auto", "keys", "off"] = Field(
        default="auto",
        description="Whether the API asks for keys; auto: unless it listens on the loopback.",
    )
    api_in_flight: int = Field(
        default=512, gt=0, description="Requests that one process answers at the same time."
    )
    api_tenant_in_flight: int = Field(
        default=256, gt=0, description="Of these, how many may be one tenant's."
    )
    api_rates: RatesSetting = Field(
        default_factory=RatesSchema,
        description='Requests per tenant and process: {"default": {"per_minute": 600}}.',
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"

    @field_validator("broker_url")
    @classmethod
    def _is_of_rabbitmq(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(BROKER_SCHEMES):
            # Without the value: it may hold a password.
            raise ValueError(f"must begin with {' or '.join(BROKER_SCHEMES)}")
        return url

    @property
    def is_on_loopback(self) -> bool:
        """Whether only this machine can reach the API."""
        try:
            return ip_address(self.api_host).is_loopback
        except ValueError:
            return self.api_host == "localhost"

    @property
    def needs_keys(self) -> bool:
        """Whether the API asks for keys."""
        return self.auth == "keys" or (self.auth == "auto" and not self.is_on_loopback)

    def beat_schedule(self) -> SchedulePolicy:
        """The jobs that beat fires."""
        schedule = self.policies().schedule
        return schedule if self.beat == "all" else schedule.without(*CRON_JOBS)

    def _unwanted_jobs(self) -> Iterator[Job]:
        if self.model_batch != "on":
            yield Job.BATCHES
        if self.langgraph_url is None:
            yield Job.CLEAN_LANGGRAPH
        if not self.archive_url:
            yield Job.ARCHIVE

    def policies(self) -> Policies:
        """The policies with what the environment changes in them."""
        retry = RetryPolicy(
            base=timedelta(seconds=self.retry_base_seconds),
            max_attempts=self.max_attempts,
            max_deaths=self.max_deaths,
        )
        lease = LeasePolicy(
            distill=timedelta(seconds=self.distill_lease_seconds),
            consolidate=timedelta(seconds=self.consolidate_lease_seconds),
        )
        budget = make_budget_policy(
            self.prices, self.budgets, timedelta(seconds=self.budget_recheck_seconds)
        )
        schedule = SchedulePolicy().with_intervals(self.schedule)
        batch = BatchPolicy(
            is_on=self.model_batch == "on",
            min_requests=self.model_batch_min,
            wait=timedelta(seconds=self.batch_wait_seconds),
            interval=schedule.jobs[Job.BATCHES].interval,
            lease=timedelta(seconds=self.batch_lease_seconds),
        )
        return Policies(
            intake=IntakePolicy(claim_idle=timedelta(seconds=self.claim_idle_seconds)),
            project=ProjectPolicy(lease=timedelta(seconds=self.project_lease_seconds)),
            personal_data=make_personal_data_policy(self.personal_data),
            sharing=GlobalPolicy(min_users=self.share_min_users),
            verbatim=VerbatimPolicy() if self.verbatim == "on" else None,
            reconcile=ReconcilePolicy(interval=timedelta(seconds=self.reconcile_seconds)),
            judge=JudgePolicy(wait=timedelta(seconds=self.judge_wait_seconds)),
            erase=ErasePolicy(settle=timedelta(seconds=self.erase_settle_seconds)),
            retry=retry,
            outage=replace(OutagePolicy(), first=timedelta(seconds=self.probe_seconds)),
            lease=lease,
            working=WorkingPolicy(budget_tokens=self.working_tokens),
            rate=make_rate_policy(self.rates),
            request=RequestPolicy(
                in_flight=self.api_in_flight,
                tenant_in_flight=self.api_tenant_in_flight,
                rates=make_rate_policy(self.api_rates),
            ),
            budget=replace(budget, batch_share=self.batch_price_share),
            batch=batch,
            schedule=schedule.without(*self._unwanted_jobs()),
            langgraph=LangGraphPolicy(
                keep=self.langgraph_keep,
                settle=timedelta(seconds=self.langgraph_settle_seconds),
            ),
            checkpoints=CheckpointPolicy(
                retention=timedelta(seconds=self.checkpoint_seconds), keep=self.checkpoint_keep
            ),
        )
