"""The Celery application: ``celery -A workers.app worker`` and ``celery -A workers.app beat``.

A message is only a wake-up: it carries an id, and the database row it names is the work. So a
lost message costs latency (the sweep sends it again) and a doubled one nothing (the lease
refuses it). There is no result backend, no chain, no ETA, and nothing to lose with the broker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.signals import setup_logging

from config.logs import configure_logs
from config.settings import Settings
from workers import bootsteps
from workers.broker import make_broker
from workers.heartbeat import BEAT_LOOP_SECONDS
from workers.queues import QUEUES, RUN_JOB

if TYPE_CHECKING:
    from config.schedule import SchedulePolicy


def make_app(settings: Settings) -> Celery:
    """The application with the settings that each were found by trying (docs/decisions)."""
    app = Celery("memstill", include=["workers.tasks"])
    app.conf.update(
        **make_broker(settings),
        broker_connection_retry_on_startup=True,
        # A broker that is away for the night is waited for: dying would bring it back no sooner.
        broker_connection_max_retries=None,
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


@setup_logging.connect
def _configure_logs(**_: object) -> None:
    settings = Settings()
    configure_logs(settings.log_level, settings.log_format)


app = make_app(Settings())
