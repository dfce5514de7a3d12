"""The Celery application: ``celery -A workers.app worker`` and ``celery -A workers.app beat``.

A message is only a wake-up: it carries an id, and the database row it names is the work. So a
lost message costs latency (the sweep sends it again) and a doubled one nothing (the lease
refuses it). There is no result backend, no chain, no ETA, and nothing to lose with the broker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.signals import setup_logging
from kombu.entity import Queue

from config.logs import configure_logs
from config.settings import Settings
from workers import bootsteps
from workers.heartbeat import BEAT_LOOP_SECONDS
from workers.queues import BACKFILL, QUEUES, RUN_JOB

if TYPE_CHECKING:
    from config.schedule import SchedulePolicy


def make_app(settings: Settings) -> Celery:
    """The application with the settings that each were found by trying (docs/decisions)."""
    app = Celery("memstill", include=["workers.tasks"])
    app.conf.update(
        broker_url=broker_url(settings.redis_url.get_secret_value()),
        broker_transport_options=_transport_options(settings.key_prefix),
        broker_connection_retry_on_startup=True,
        # A broker that is away for the night is waited for: dying would bring it back no sooner.
        broker_connection_max_retries=None,
        task_queues=[Queue(name) for name in dict.fromkeys([*QUEUES.values(), BACKFILL])],
        task_routes={task: {"queue": queue} for task, queue in QUEUES.items()},
        task_default_queue=QUEUES[RUN_JOB],
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_retry_on_worker_lost=True,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        worker_prefetch_multiplier=1,
        # Off, a saturated worker hangs for ever after a restart of Redis.
        worker_enable_remote_control=True,
        worker_consumer="workers.consumer:PatientConsumer",
        worker_redirect_stdouts=False,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        beat_schedule=_beat_schedule(settings.beat_schedule()),
        beat_scheduler="workers.beat:NotingScheduler",
        beat_max_loop_interval=BEAT_LOOP_SECONDS,
        timezone="UTC",
    )
    bootsteps.install(app)
    return app


def _beat_schedule(policy: SchedulePolicy) -> dict[str, Any]:
    """Fire each job so often that no slot is missed; the slot decides whether anything is done."""
    looks = {job: min(how.interval, policy.longest_look) for job, how in policy.jobs.items()}
    return {
        job.value: {
            "task": RUN_JOB,
            "args": [job.value],
            "schedule": look.total_seconds(),
            # A missed one is made good by the next.
            "options": {"expires": look.total_seconds() * 2},
        }
        for job, look in looks.items()
    }


def broker_url(redis_url: str) -> str:
    """The Redis address as kombu spells it: a Unix socket is ``redis+socket://``."""
    if not redis_url.startswith("unix://"):
        return redis_url
    path, _, query = redis_url.removeprefix("unix://").partition("?")
    options = [part for part in query.split("&") if part]
    database = next((part.removeprefix("db=") for part in options if part.startswith("db=")), "0")
    return f"redis+socket://{path}?virtual_host={database}"


def _transport_options(key_prefix: str) -> dict[str, Any]:
    return {
        "global_keyprefix": f"{key_prefix}:celery:",
        "visibility_timeout": 300,
        "unacked_restore_interval": 10,
        # One message a second at the default: a sweep of them would take minutes.
        "unacked_restore_throttle": 1,
        "priority_steps": [0],
        "queue_order_strategy": "workers.queues:BackfillLast",
        # A wake-up gives up at once when the broker is away: whoever pushes must not wait for
        # it, and the sweep makes it good. A worker's own reconnection is not bounded by this.
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0.1,
        "interval_max": 0.1,
        "socket_timeout": 15,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 15,
    }


@setup_logging.connect
def _configure_logs(**_: object) -> None:
    settings = Settings()
    configure_logs(settings.log_level, settings.log_format)


app = make_app(Settings())
