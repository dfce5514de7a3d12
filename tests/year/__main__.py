"""A simulated year: ``make year``, or ``python -m tests.year --users 200 --days 365``.

The clock of everything is told the time, so a year takes as long as its work. It ends with 1 where
something was not as it must be, or where what is kept still grows at its end.

One that was interrupted goes on from the month that was over last.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from config.logs import configure_logs
from pipelines.adapters.postgres.migrate import migrate
from tests.year.campaign import DAY, Findings, Year
from tests.year.crew import open_crew
from tests.year.household import Plan
from tests.year.keeping import Keeper, clear, take_up
from tests.year.world import Place, open_world
from workers.embedded.lock import DirectoryLock
from workers.embedded.postgres import PostgresServer
from workers.embedded.redis import RedisServer

# Of what there was a quarter of a year before the end, so much may be there at the end.
MAX_GROWTH = 1.15


def main(
    *,
    users: Annotated[int, typer.Option(min=1)] = 200,
    days: Annotated[int, typer.Option(min=120)] = 365,
    sessions: Annotated[float, typer.Option(help="Of each user, a day.")] = 2.0,
    seed: int = 1,
    processes: Annotated[int, typer.Option(min=1, help="That share the users.")] = 2,
    folder: Annotated[Path, typer.Option(help="Of a year that is not over.")] = Path(".year"),
) -> None:
    """Live through it, and say what came of it."""
    configure_logs("error", "console")
    plan = Plan(users=users, days=days, sessions=sessions, seed=seed)
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as undo:
        lock = DirectoryLock(folder)
        lock.acquire()
        undo.callback(lock.release)
        progress = take_up(folder, plan)
        postgres = PostgresServer(folder / "work/postgres", durable=False)
        redis = RedisServer(folder / "redis", durable=False)
        for server in (postgres, redis):
            undo.callback(server.stop)
            server.start()
        _create_database(postgres)
        place = Place(postgres.url_of("year"), redis.url, "year", folder / "work/archive")
        days_over = 0 if progress is None else progress.days
        world = undo.enter_context(open_world(place))
        world.clock.advance(DAY * days_over)
        crew = undo.enter_context(open_crew(place, plan, processes, days_over))
        keeper = Keeper(folder, plan, postgres)
        year = Year(world, plan, crew.live, note=_say, progress=progress, keep=keeper.keep)
        found = year.run()
    clear(folder)
    raise typer.Exit(_report(found))


def _create_database(postgres: PostgresServer) -> None:
    with psycopg.connect(postgres.url_of("postgres"), autocommit=True) as connection:
        if not connection.execute("SELECT FROM pg_database WHERE datname = 'year'").rowcount:
            connection.execute("CREATE DATABASE year")
    migrate(postgres.url_of("year"), contracts=True)


def _report(found: Findings) -> int:
    for problem in found.problems[:20]:
        _say(f"PROBLEM {problem}")
    _say(
        f"{found.sessions:,} sessions, {found.recalls:,} recalls; {found.evicted:,} evicted, "
        f"{found.evicted_after_use:,} of them used before, {found.purged:,} purged; "
        f"{found.pinned:,} pinned and {found.held:,} of held users are there"
    )
    late = found.sizes[-1]
    before = max((size for size in found.sizes if size.day <= late.day - 90), key=lambda s: s.day)
    for table in sorted(late.bytes, key=lambda name: -late.bytes[name]):
        _say(
            f"{table:20} {late.rows[table]:>10,} rows, {before.rows.get(table, 0):>10,} a quarter "
            f"before; {late.bytes[table] / 1e6:8.1f} MB, {before.bytes.get(table, 0) / 1e6:8.1f}"
        )
    points, size = late.points / before.points, late.megabytes / before.megabytes
    _say(
        f"grown in the last quarter: points by {points:.2f}, tables by {size:.2f}; "
        f"at most {MAX_GROWTH} to level off"
    )
    return 0 if not found.problems and max(points, size) <= MAX_GROWTH else 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    typer.run(main)
