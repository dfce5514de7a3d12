"""What Redis and PostgreSQL disagree on: entries that nobody gets done, due rows without a wake-up.

The sweep and every running intake mend both by themselves; here it is shown, and done at once.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from memstill_client.wire import stream_key
from pipelines.errors import QueueUnavailable
from workers.intake import GROUP, make_intake
from workers.intakes import open_waiting

if TYPE_CHECKING:
    from workers.container import Container
    from workers.intake import StreamIntake

COUNTED = 1_000
# Any intake takes them over after one such time: beyond two, none does.
STRANDED_TIMES = 2


@dataclass(frozen=True, slots=True)
class QueueReport:
    """How the queue and the rows stand.

    Attributes:
        entries: Of the intake Stream, whether somebody has read them or not.
        stranded: Entries that a consumer read, did not get done, and nobody took over.
        due: Rows that are due and leased by nobody; each count ends at a thousand.
        woken: Wake-ups of each kind that no worker has taken yet.
    """

    entries: int
    stranded: int
    due: dict[str, int]
    woken: dict[str, int]


def check_queue(container: Container, *, repairs: bool) -> QueueReport:
    """Look, and with ``repairs`` take stranded entries over and wake what is due.

    Raises:
        QueueUnavailable: Redis does not answer.
    """
    if container.settings.broker_url is not None:
        return _check_rabbitmq(container, repairs=repairs)
    url = container.settings.redis_url.get_secret_value()
    try:
        with closing(Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5)) as redis:
            entries, stranded = _read_stream(redis, container)
            report = QueueReport(entries, stranded, _count_due(container), _count_woken(container))
            if repairs and stranded:
                _take_over(make_intake(container, redis))
    except (RedisError, OSError) as error:
        raise QueueUnavailable(f"Redis: {type(error).__name__}") from error
    if repairs:
        container.sweep.run()
    return report


def _check_rabbitmq(container: Container, *, repairs: bool) -> QueueReport:
    """The broker hands on by itself what a consumer that died had read: nothing is stranded."""
    waiting = open_waiting(container.settings, lambda: container.ground.open_redis(5), 5)
    report = QueueReport(waiting.length(), 0, _count_due(container), _count_woken(container))
    if repairs:
        container.sweep.run()
    return report


def _read_stream(redis: Redis, container: Container) -> tuple[int, int]:
    key = stream_key(container.settings.key_prefix)
    idle = container.policies.intake.claim_idle * STRANDED_TIMES
    try:
        found = redis.xpending_range(
            key, GROUP, "-", "+", COUNTED, idle=int(idle.total_seconds() * 1_000)
        )
    except ResponseError:  # nobody has read the Stream yet
        found = []
    return int(cast("Any", redis.xlen(key))), len(cast("Any", found))


def _count_due(container: Container) -> dict[str, int]:
    due = container.sweep.work.find_due(container.clock.now(), COUNTED)
    return {
        "distill": len(due.transcripts),
        "backfill": len(due.backfill),
        "consolidate": len(due.owners),
        "index": int(due.has_unprojected),
    }


def _count_woken(container: Container) -> dict[str, int]:
    waiting = container.sweep.waker.count_waiting()
    return {
        "distill": waiting.distill,
        "backfill": waiting.backfill,
        "consolidate": waiting.consolidate,
        "index": waiting.index,
    }


def _take_over(intake: StreamIntake) -> None:
    while intake.take_over():
        pass
