"""A simulated year: ``make year``, or ``python -m tests.year --users 200 --days 365``.

The clock of everything is told the time, so a year takes as long as its work. It ends with 1 where
something was not as it must be, or where what is kept still grows at its end.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from config.logs import configure_logs
from pipelines.adapters.postgres.migrate import migrate
from tests.year.campaign import Findings, Year
from tests.year.crew import open_crew
from tests.year.household import Plan
from tests.year.world import Place, open_world
from workers.embedded.postgres import PostgresServer
from workers.embedded.redis import RedisServer

# Of what there was a quarter of a year before the end, so much may be there at the end.
MAX_GROWTH = 1.15


def main(
    users: Annotated[int, typer.Option(min=1)] = 200,
    days: Annotated[int, typer.Option(min=1)] = 365,
    sessions: Annotated[float, typer.Option(help="Of each user, a day.")] = 2.0,
    seed: int = 1,
    processes: Annotated[int, typer.Option(min=1, help="That share the users.")] = 2,
) -> None:
    """Live through it, and say what came of it."""
    configure_logs("error", "console")
    with tempfile.TemporaryDirectory() as folder:
        postgres = PostgresServer(Path(folder) / "postgres", durable=False)
        redis = RedisServer(Path(folder) / "redis", durable=False)
        postgres.start()
        redis.start()
        try:
            with psycopg.connect(postgres.url_of("postgres"), autocommit=True) as connection:
                connection.execute("CREATE DATABASE year")
            migrate(postgres.url_of("year"), contracts=True)
            plan = Plan(users=users, days=days, sessions=sessions, seed=seed)
            place = Place(postgres.url_of("year"), redis.url, "year", Path(folder) / "archive")
            with open_world(place) as world, open_crew(place, plan, processes) as crew:
                found = Year(world, plan, crew.live, _say).run()
        finally:
            redis.stop()
            postgres.stop()
    raise typer.Exit(_report(found))


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
