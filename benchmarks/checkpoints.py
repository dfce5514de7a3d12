"""What checkpoints cost: bytes beside full snapshots, and how soon the newest one is loaded.

python -m benchmarks.checkpoints [--saves 10000]

On a PostgreSQL and a Redis of its own, both durable, with the API as a process of its own. States
of some 20 kB change a little from save to save, as an agent's do: a message more, a counter, a
task done. The ceiling of loading is a plain GET of the same bytes from the same Redis, taken in
turns with what is measured, so that both meet the same noise.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import httpx2
import typer
from redis import Redis
from rich.console import Console
from rich.table import Table

from config.logs import configure_logs
from config.settings import Settings
from memstill_client import Memstill
from pipelines.adapters.postgres import Database
from pipelines.adapters.postgres.migrate import migrate
from pipelines.flows.checkpoint import NewCheckpoint
from pipelines.model import Owner
from pipelines.stages.checkpoints.chain import Thread, rebuild
from workers.checkpointing import Checkpointing, make_checkpointing
from workers.clock import SystemClock
from workers.embedded.postgres import PostgresServer
from workers.embedded.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

THREADS = 10
TURNS = 170
TENANT, USER = "default", "bench"
READY_SECONDS = 60.0
MAX_SHARE, MAX_P99_MS = 0.15, 5.0

_console = Console(highlight=False, soft_wrap=True, width=120)


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds that the same thing took, each time."""

    name: str
    taken: list[float]

    def at(self, share: float) -> float:
        """Milliseconds that so large a share of them stayed below."""
        ordered = sorted(self.taken)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e3


def main(
    saves: Annotated[int, typer.Option(min=THREADS, help="States saved.")] = 10_000,
    loads: Annotated[int, typer.Option(min=1, help="States loaded, in each way.")] = 2_000,
    seed: Annotated[int, typer.Option()] = 1,
) -> None:
    """Measure, print, and fail if a bound is broken."""
    configure_logs("warning", "console")
    with ExitStack() as stack:
        env = stack.enter_context(_servers())
        url = stack.enter_context(_api(env))
        settings = Settings()
        database = Database(settings.database_url.get_secret_value(), pool_size=4)
        stack.callback(database.close)
        flows = make_checkpointing(settings, database, SystemClock(), stack)
        redis = stack.enter_context(Redis.from_url(env["MEMSTILL_REDIS_URL"]))
        client = stack.enter_context(Memstill(api_url=url, redis_url="", tenant_id=TENANT))
        saved, share = _save(flows, random.Random(seed), saves)  # noqa: S311 - guards nothing
        is_small = _report_bytes(database, saved, share)
        is_fast = _report_loads(flows, client, redis, url, loads)
    raise typer.Exit(0 if is_small and is_fast else 1)


# ---- saving -------------------------------------------------------------------------------------


def _save(flows: Checkpointing, rng: random.Random, saves: int) -> tuple[Times, float]:
    """Save in turns into some threads; the times, and what is stored of what was handed over."""
    states = [_first_state(rng) for _ in range(THREADS)]
    taken, whole, stored = [], 0, 0
    for number in range(saves):
        place = number % THREADS
        _change(states[place], rng, number)
        new = NewCheckpoint(_thread(place), states[place], node=f"turn {number}")
        started = time.perf_counter()
        shown = flows.flow.save(new).checkpoint
        taken.append(time.perf_counter() - started)
        whole, stored = whole + shown.size, stored + shown.stored
    return Times("save, in the process", taken), stored / whole


def _first_state(rng: random.Random) -> dict[str, Any]:
    return {
        "messages": [_message(rng, turn) for turn in range(TURNS)],
        "variables": {f"v{number}": rng.random() for number in range(60)},
        "todo": [_words(rng, 6) for _ in range(20)],
        "step": 0,
    }


def _change(state: dict[str, Any], rng: random.Random, number: int) -> None:
    """As an agent's turn does: the context stays as long as it is, the oldest message goes."""
    state["step"] = number
    state["messages"].append(_message(rng, number))
    state["messages"].pop(0)
    state["variables"][f"v{rng.randrange(60)}"] = rng.random()
    if rng.random() < 0.2:  # noqa: PLR2004 - now and then
        state["todo"].pop(rng.randrange(len(state["todo"])))
        state["todo"].append(_words(rng, 6))


def _message(rng: random.Random, turn: int) -> dict[str, Any]:
    return {"role": rng.choice(("user", "assistant")), "content": _words(rng, 11), "turn": turn}


def _words(rng: random.Random, count: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return " ".join("".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(count))


def _report_bytes(database: Database, saved: Times, share: float) -> bool:
    statement = (
        "SELECT count(*), sum(octet_length(content)), sum(pg_column_size(content)), sum(bytes),"
        " pg_total_relation_size('agent_checkpoints') FROM agent_checkpoints"
    )
    with database.transaction() as connection:
        rows, stored, packed, whole, table = connection.exec_driver_sql(statement).one()
    _console.print(
        f"{rows:,} states of {whole / rows:,.0f} bytes: {stored:,} bytes stored of {whole:,}: "
        f"{share:.1%} of full snapshots (bound {MAX_SHARE:.0%}); as PostgreSQL packs them "
        f"{packed:,}; the table with its indexes {table:,} ({table / whole:.1%})"
    )
    _console.print(
        f"save in the process: p50 {saved.at(0.5):.2f} ms, p99 {saved.at(0.99):.2f} ms, "
        f"{len(saved.taken) / sum(saved.taken):,.0f}/s by one writer"
    )
    return share <= MAX_SHARE


# ---- loading ------------------------------------------------------------------------------------


def _report_loads(
    flows: Checkpointing, client: Memstill, redis: Redis, url: str, loads: int
) -> bool:
    raw = [flows.flow.load(_thread(place)).state for place in range(THREADS)]
    for place, state in enumerate(raw):
        redis.set(f"ceiling:{place}", state)
    with httpx2.Client() as http:
        ways: dict[str, Callable[[int], object]] = {
            "Redis GET of the same bytes (ceiling)": lambda place: redis.get(f"ceiling:{place}"),
            "load, in the process": lambda place: flows.flow.load(_thread(place)),
            "load, in the process, not in Redis": lambda place: _load_cold(flows, place),
            "GET /healthz (floor of HTTP)": lambda _: http.get(f"{url}/healthz"),
            "load, client over HTTP": lambda place: client.checkpoints.load(USER, f"t{place}"),
        }
        times = _in_turns(ways, loads)
    _print_loads(times)
    bound = [item for item in times if item.name in {"load, in the process", _OVER_HTTP}]
    return all(item.at(0.99) <= MAX_P99_MS for item in bound)


_OVER_HTTP = "load, client over HTTP"


def _load_cold(flows: Checkpointing, place: int) -> object:
    return rebuild(flows.flow.store.load_newest(_thread(place), None))


def _in_turns(ways: dict[str, Callable[[int], object]], loads: int) -> list[Times]:
    found = [Times(name, []) for name in ways]
    for number in range(loads):
        for times, run in zip(found, ways.values(), strict=True):
            started = time.perf_counter()
            run(number % THREADS)
            times.taken.append(time.perf_counter() - started)
    return found


def _print_loads(found: list[Times]) -> None:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("newest state", "p50 ms", "p99 ms", "p50 of the ceiling", "p99 of the ceiling"):
        table.add_column(name, no_wrap=True)
    ceiling = found[0]
    for item in found:
        table.add_row(
            item.name,
            *(f"{item.at(share):.2f}" for share in (0.5, 0.99)),
            *(f"{item.at(share) / ceiling.at(share):.1f}x" for share in (0.5, 0.99)),
        )
    _console.print(table)
    _console.print(f"bound: p99 {MAX_P99_MS} ms, in the process and over HTTP")


def _thread(place: int) -> Thread:
    return Thread(Owner(TENANT, USER), f"t{place}")


# ---- servers ------------------------------------------------------------------------------------


@contextmanager
def _servers() -> Iterator[dict[str, str]]:
    """Both, and the environment that names them, which this process is given, too."""
    with (
        tempfile.TemporaryDirectory(prefix="memstill-checkpoints-") as folder,
        ExitStack() as stack,
    ):
        postgres = PostgresServer(Path(folder) / "postgres")
        redis = RedisServer(Path(folder) / "redis")
        for server in (postgres, redis):
            server.start()
            stack.callback(server.stop)
        migrate(postgres.url)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        env = {
            "MEMSTILL_DATABASE_URL": postgres.url,
            "MEMSTILL_REDIS_URL": redis.url,
            "MEMSTILL_INDEX_URL": "pgvector",
            "MEMSTILL_API_PORT": str(port),
        }
        os.environ.update(env)
        yield env


@contextmanager
def _api(env: dict[str, str]) -> Iterator[str]:
    """The API as a process of its own."""
    url = f"http://127.0.0.1:{env['MEMSTILL_API_PORT']}"
    with subprocess.Popen([sys.executable, "-m", "workers.cli", "api"]) as process:
        try:
            _wait_ready(url)
            yield url
        finally:
            process.terminate()


def _wait_ready(url: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            if httpx2.get(f"{url}/readyz").is_success:
                return
        except httpx2.TransportError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError("the API did not become ready")
        time.sleep(0.1)


if __name__ == "__main__":
    typer.run(main)
