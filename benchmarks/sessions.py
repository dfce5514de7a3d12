"""What the session tier costs beside the bare commands: ``python -m benchmarks.sessions``.

Both in one run on one Redis: the tier's operation, and a pipeline of redis-py that writes or
reads the same value without index, lifetime of the index, tombstones or schema version.
"""

from __future__ import annotations

import sys
import tempfile
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
from redis import Redis

from config.sessions import SessionPolicy
from pipelines.adapters.redis_sessions import RedisSessions
from pipelines.model import Owner, Role
from pipelines.ports import ContextMessage, Write
from workers.embedded.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable

OPERATIONS, ROUNDS = 3_000, 5
OWNER, SESSION = Owner("acme", "alice"), "s-42"
TEXT = "I live in Lisbon and prefer short answers. " * 5
STATE = {"step": 3, "done": list(range(100)), "note": TEXT}


def main() -> None:
    """Print operations per second of both, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder), durable=False)
        server.start()
        try:
            with Redis.from_url(server.url) as redis:
                _compare(redis)
        finally:
            server.stop()


def _compare(redis: Redis) -> None:
    tier = RedisSessions(redis, "bench", SessionPolicy())
    pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "append": (lambda: _append(tier), lambda: _append_bare(redis)),
        "context of 50": (
            lambda: tier.read_context(OWNER, SESSION, 50),
            lambda: _read_bare(redis),
        ),
        "keep state": (
            lambda: tier.keep_state(OWNER, SESSION, STATE, _write()),
            lambda: redis.set("bare:state", orjson.dumps(STATE), px=1000_000),
        ),
        "read state": (
            lambda: tier.read_state(OWNER, SESSION),
            lambda: orjson.loads(redis.getex("bare:state", px=1000_000) or b"0"),
        ),
    }
    for name, (mine, bare) in pairs.items():
        rates = [(_rate(mine), _rate(bare)) for _ in range(ROUNDS)]
        best, base = max(rate for rate, _ in rates), max(rate for _, rate in rates)
        sys.stdout.write(f"{name:14} {best:8,.0f}/s  bare {base:8,.0f}/s  {best / base:.2f}\n")


def _rate(operate: Callable[[], object]) -> float:
    started = time.perf_counter()
    for _ in range(OPERATIONS):
        operate()
    return OPERATIONS / (time.perf_counter() - started)


def _write() -> Write:
    return Write(datetime.now(UTC), uuid.uuid4().hex)


def _append(tier: RedisSessions) -> None:
    message = ContextMessage(Role.USER, TEXT, datetime.now(UTC))
    tier.append_context(OWNER, SESSION, [message], _write())


def _append_bare(redis: Redis) -> None:
    said = {"role": "user", "content": TEXT, "created_at": datetime.now(UTC).isoformat()}
    with redis.pipeline(transaction=False) as pipeline:
        pipeline.rpush("bare:context", orjson.dumps(said))
        pipeline.ltrim("bare:context", -200, -1)
        pipeline.pexpire("bare:context", 7_200_000)
        pipeline.execute()


def _read_bare(redis: Redis) -> list[object]:
    with redis.pipeline(transaction=False) as pipeline:
        pipeline.lrange("bare:context", -50, -1)
        pipeline.pexpire("bare:context", 7_200_000)
        found, _ = pipeline.execute()
    return [orjson.loads(raw) for raw in found]


if __name__ == "__main__":
    main()
