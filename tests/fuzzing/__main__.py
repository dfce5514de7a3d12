"""The long form: ``python -m tests.fuzzing --count 10000 --seed 1``, on servers of its own."""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from config.logs import configure_logs
from pipelines.adapters.postgres.migrate import migrate
from tests.fuzzing.campaign import open_campaign
from tests.fuzzing.transcripts import make_case, make_edge_cases
from workers.embedded.postgres import PostgresServer
from workers.embedded.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fuzzing.campaign import Report

AT_ONCE = 50


def main() -> int:
    """Push so many transcripts, and say what came of it; 1 if anything must not be."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing")
    parser.add_argument("--count", type=int, default=10_000, help="transcripts (10,000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same transcripts")
    parser.add_argument("--start", type=int, default=0, help="number of the first one")
    options = parser.parse_args()
    configure_logs("ERROR", "console")
    with tempfile.TemporaryDirectory(prefix="fuzz-", ignore_cleanup_errors=True) as folder:
        report = _run(Path(folder), options.seed, options.start, options.count)
    _write("\n".join(report.lines()))
    return 1 if report.findings else 0


def _run(folder: Path, seed: int, start: int, count: int) -> Report:
    with _servers(folder) as urls, open_campaign(*urls, "fuzz") as world:
        numbers = iter(range(start, start + count))
        while batch := list(itertools.islice(numbers, AT_ONCE)):
            world.run([make_case(seed, number) for number in batch])
            if batch[-1] % (10 * AT_ONCE) == (10 * AT_ONCE) - 1:
                _say(world.report)
        for case in make_edge_cases(start + count):
            world.run([case])
        return world.report


def _say(report: Report) -> None:
    _write(f"{report.cases} transcripts, {len(report.findings)} findings")
    for finding in report.findings:
        _write(f"  {finding}")


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@contextmanager
def _servers(folder: Path) -> Iterator[tuple[str, str]]:
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
