"""The long form: ``python -m tests.fuzzing --count 10000 --seed 1``, on servers of its own."""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import traceback
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from config.logs import configure_logs
from pipelines.adapters.postgres import Database
from pipelines.adapters.postgres.migrate import migrate
from tests.fuzzing.campaign import open_campaign
from tests.fuzzing.requests import Asked, fuzz_api, populate
from tests.fuzzing.transcripts import make_case, make_edge_cases
from tests.interleavings.machine import run_interleavings
from workers.api import create_api
from workers.embedded.postgres import PostgresServer
from workers.embedded.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fuzzing.campaign import Report

AT_ONCE = 50


def main() -> int:
    """Try everything for so long, and say what came of it; 1 if anything must not be."""
    options = _read_options()
    configure_logs("CRITICAL", "console")
    with tempfile.TemporaryDirectory(prefix="fuzz-", ignore_cleanup_errors=True) as folder:
        found = [
            *_push(Path(folder) / "transcripts", options.seed, options.start, options.count),
            *_ask(Path(folder) / "requests", options.seed, options.requests),
            *_interleave(Path(folder) / "interleavings", options.seed, options.interleavings),
        ]
    return 1 if found else 0


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing")
    add = partial(parser.add_argument, type=int)
    add("--count", default=10_000, help="transcripts (10,000); 0 for none")
    add("--start", default=0, help="number of the first one")
    add("--requests", default=100, help="of each kind to each route (100)")
    add("--interleavings", default=300, help="stories of workers that die (300)")
    add("--seed", default=1, help="the same seed, the same everything")
    return parser.parse_args()


def _push(folder: Path, seed: int, start: int, count: int) -> list[str]:
    if not count:
        return []
    with _servers(folder) as urls, open_campaign(*urls, "fuzz") as world:
        numbers = iter(range(start, start + count))
        while batch := list(itertools.islice(numbers, AT_ONCE)):
            world.run([make_case(seed, number) for number in batch])
            if batch[-1] % (10 * AT_ONCE) == (10 * AT_ONCE) - 1:
                _say(world.report)
        for case in make_edge_cases(start + count):
            world.run([case])
        _write("\n".join(world.report.lines()))
        return world.report.findings


def _ask(folder: Path, seed: int, examples: int) -> list[str]:
    if not examples:
        return []
    with _servers(folder) as urls, open_campaign(*urls, "fuzz") as world:
        described = create_api(world.container).openapi()
        asked = Asked(str(world.api.base_url), examples, seed, populate(world))
        found = list(fuzz_api(described, asked))
    _write("\n".join([f"{examples} requests of each kind, {len(found)} findings", *found]))
    return found


def _interleave(folder: Path, seed: int, examples: int) -> list[str]:
    if not examples:
        return []
    with _servers(folder) as (database_url, _), closing(Database(database_url)) as database:
        try:
            run_interleavings(database, examples, seed)
        except AssertionError as error:
            found = ["".join(traceback.format_exception(error))]
        else:
            found = []
    _write("\n".join([f"{examples} interleavings, {len(found)} findings", *found]))
    return found


def _say(report: Report) -> None:
    _write(f"{report.cases} transcripts, {len(report.findings)} findings")
    for finding in report.findings:
        _write(f"  {finding}")


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@contextmanager
def _servers(folder: Path) -> Iterator[tuple[str, str]]:
    folder.mkdir(parents=True)
    redis = RedisServer(folder / "redis", durable=False)
    postgres = PostgresServer(folder / "postgres", durable=False)
    redis.start()
    postgres.start()
    try:
        with psycopg.connect(postgres.url_of("postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE fuzz")
        migrate(postgres.url_of("fuzz"))
        yield postgres.url_of("fuzz"), redis.url
    finally:
        postgres.stop()
        redis.stop()


if __name__ == "__main__":
    sys.exit(main())
