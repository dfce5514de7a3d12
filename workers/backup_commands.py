"""``memstill backup`` and ``memstill restore``: they work on the database, beside any server."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.settings import Settings
from pipelines.errors import ConfigurationError
from workers.clock import SystemClock
from workers.command_options import AsJson, DataDir, err, print_json
from workers.embedded.endpoints import default_data_dir, read_endpoints

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipelines.adapters.postgres.dump_tools import DumpTools
    from pipelines.flows.backup import Restored
    from pipelines.ports import Erasure, IntakeBacklog, Manifest

PATIENCE = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the database is, and Redis or RabbitMQ where there is one to ask."""

    database_url: str
    redis_url: str | None
    broker_url: str | None = None


def backup(
    file: Annotated[Path, typer.Argument(help="Where to; readable by its owner alone.")],
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of a file that is there.")
    ] = False,
    as_json: AsJson = False,
    data: DataDir = None,
) -> None:
    """Write all that PostgreSQL holds at one moment into a file, while all goes on.

    The index is not in it: it is derived. Neither is what Redis holds.
    """
    with find_servers(data) as servers, err.status("backing up"):
        manifest = _back_up(servers, file, replaces=replace)
    if as_json:
        print_json(manifest_view(manifest))
    else:
        err.print(
            f"{file}: {manifest.rows} rows of {len(manifest.tables)} tables as of "
            f"{_when(manifest)}, read again and compared",
            markup=False,
        )
    if manifest.unread is None:
        err.print("Redis was not asked: what its Stream holds is not in the backup")
    elif manifest.unread:
        err.print(
            f"{manifest.unread} entries of the Stream were not taken in yet and are not in the "
            "backup: Redis keeps them",
        )


def restore(
    file: Annotated[Path, typer.Argument(help="As `memstill backup` wrote it.")],
    *,
    erasures: Annotated[
        Path | None,
        typer.Option(help="The newest journal of `memstill erasures export`: done again."),
    ] = None,
    no_erasures: Annotated[
        bool, typer.Option("--no-erasures", help="Nothing was erased since the backup.")
    ] = False,
    as_json: AsJson = False,
    data: DataDir = None,
) -> None:
    """Put a backup into an empty database, and bring it to the newest schema.

    Workers, beat and API are stopped meanwhile. When they start, the work that was under way goes
    on, and the index is brought to what the database says.
    """
    from workers.erasure_journal import read_journal

    if (erasures is None) != no_erasures:
        raise ConfigurationError(
            "a backup brings back who was erased since: name the newest journal with --erasures, "
            "or say --no-erasures if nothing was"
        )
    journal = read_journal(erasures) if erasures else []
    with find_target(data) as url, err.status("restoring"):
        restored = _restore(url, file, journal)
    if as_json:
        print_json(manifest_view(restored.manifest) | {"erased_again": restored.erased})
    else:
        _tell(restored)


def manifest_view(manifest: Manifest) -> dict[str, Any]:
    """What a backup says of itself."""
    return {
        "taken_at": manifest.moment.taken_at,
        "memstill": manifest.memstill,
        "revision": manifest.moment.revision,
        "server": manifest.moment.server,
        "sha256": manifest.sha256,
        "rows": {name: table.rows for name, table in sorted(manifest.tables.items())},
        "unread": manifest.unread,
    }


@contextmanager
def find_servers(data: Path | None) -> Iterator[Servers]:
    """Those that were named, by folder or by address; else those of this machine.

    Where the stack of a folder does not run, its database does as long as the block takes.
    """
    from workers.embedded.resting import has_database, resting_database

    settings = Settings()
    if data is None and "database_url" in settings.model_fields_set:
        redis_url = settings.redis_url.get_secret_value()
        broker = settings.broker_url
        yield Servers(
            settings.database_url.get_secret_value(),
            redis_url,
            None if broker is None else broker.get_secret_value(),
        )
        return
    directory = data or default_data_dir()
    try:
        found = read_endpoints(directory)
    except ConfigurationError as error:
        if not has_database(directory):
            raise ConfigurationError(f"{error}; or set MEMSTILL_DATABASE_URL") from None
    else:
        yield Servers(found.database_url, found.redis_url)
        return
    with resting_database(directory) as url:
        yield Servers(url, None)


@contextmanager
def find_target(data: Path | None) -> Iterator[str]:
    """The database that was named, by address or by a folder, whose server then runs for it."""
    from workers.embedded.resting import resting_database

    settings = Settings()
    if data is None and "database_url" in settings.model_fields_set:
        yield settings.database_url.get_secret_value()
        return
    with resting_database(data or default_data_dir()) as url:
        yield url


def _back_up(servers: Servers, file: Path, *, replaces: bool) -> Manifest:
    from pipelines.adapters.backup_files import ZipBackups
    from pipelines.adapters.postgres.snapshots import PostgresSnapshots
    from pipelines.flows.backup import BackUp

    tools = _tools()
    with _open_backlog(servers) as backlog:
        return BackUp(
            PostgresSnapshots(servers.database_url, tools),
            ZipBackups(),
            tools,
            backlog,
            SystemClock(),
            time.sleep,
            PATIENCE,
            version("memstill"),
        ).run(file, replaces=replaces)


@contextmanager
def _open_backlog(servers: Servers) -> Iterator[IntakeBacklog | None]:
    """What waits in the intake of these servers."""
    from redis import Redis

    from pipelines.adapters.intake_queue import IntakeQueue
    from pipelines.adapters.intake_stream import IntakeStream

    settings = Settings()
    if servers.broker_url is not None:
        yield IntakeQueue(servers.broker_url, settings.key_prefix, SystemClock(), 5)
    elif servers.redis_url is None:
        yield None
    else:
        with Redis.from_url(servers.redis_url, socket_timeout=5) as redis:
            yield IntakeStream(redis, settings.key_prefix, settings.default_tenant)


def _restore(url: str, file: Path, journal: Sequence[Erasure]) -> Restored:
    from pipelines.adapters.backup_files import ZipBackups
    from pipelines.adapters.postgres.restoring import PostgresRestoring
    from pipelines.flows.backup import BringBack

    clock, lease = SystemClock(), Settings().policies().erase.lease
    target = PostgresRestoring(url, _tools(), clock, lease)
    return BringBack(ZipBackups(), target, clock).run(file, journal)


def _tools() -> DumpTools:
    """The programs that come with the embedded PostgreSQL first, then those on the PATH."""
    from pipelines.adapters.postgres.dump_tools import DumpTools
    from workers.embedded.postgres import find_binary

    try:
        return DumpTools([find_binary("pg_dump").parent])
    except ConfigurationError:
        return DumpTools([])


def _tell(restored: Restored) -> None:
    manifest = restored.manifest
    err.print(f"restored {manifest.rows} rows as of {_when(manifest)}, compared with the backup")
    if restored.erased:
        err.print(f"erased again, as it had been since the backup: subjects {restored.erased}")
    err.print(
        "start the workers: work goes on, and they bring the index to what the database says "
        "(`memstill reconcile` shows it, `memstill reindex` builds it anew)\n"
        "API keys are as they were: revoke again those that were revoked since"
    )


def _when(manifest: Manifest) -> str:
    return f"{manifest.moment.taken_at:%Y-%m-%d %H:%M:%S} UTC"
