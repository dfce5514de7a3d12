"""``memstill erase`` and ``memstill erasures …``: a subject out of every store, and the proof."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from workers.command_options import (
    ApiUrl,
    AsJson,
    DataDir,
    Tenant,
    UserId,
    connect,
    err,
    out,
    print_json,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memstill_client import Erasure

app = typer.Typer(help="Look at what was erased, and at the proof.", no_args_is_help=True)

STYLES = {"purging": "yellow", "purged": "cyan", "verified": "green"}
POLL_SECONDS = 1.0


def erase(
    user: UserId,
    *,
    session: Annotated[
        str | None, typer.Option("--session", help="Only this session of the user.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it is proven that nothing is left.")
    ] = False,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Erase a user, or one session, everywhere and for good."""
    what = f"user {user}" if session is None else f"session {session} of user {user}"
    if not yes:
        typer.confirm(f"Erase {what} for good?", abort=True, err=True)
    with connect(api, data, tenant) as client:
        found = client.erase(user, session)
        while wait and found.state != "verified":
            time.sleep(POLL_SECONDS)
            found = client.erasure(found.id)
    _print(found, as_json=as_json)


@app.command()
def show(
    erasure: Annotated[str, typer.Argument(metavar="ID", help="As `memstill erase` printed it.")],
    *,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Show the receipt of an erasure."""
    with connect(api, data, tenant) as client:
        found = client.erasure(erasure)
    _print(found, as_json=as_json)


@app.command(name="list")
def show_all(
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """List the latest erasures and how far each is."""
    with connect(api, data, tenant) as client:
        found = client.erasures()
    if as_json:
        print_json(found)
    elif found:
        out.print(_table(found))
    else:
        err.print("nothing was ever erased", markup=False)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="Where to; one that is there is replaced.")],
    *,
    data: DataDir = None,
) -> None:
    """Write the journal of all erasures, without names, for `memstill restore --erasures`."""
    from pipelines.adapters.postgres import Database
    from pipelines.adapters.postgres.erasure_journal import ErasureJournal
    from workers.backup_commands import find_servers
    from workers.erasure_journal import write_journal

    with find_servers(data) as servers:
        database = Database(servers.database_url, pool_size=1)
        try:
            found = ErasureJournal(database).read()
        finally:
            database.close()
    write_journal(file, found)
    err.print(f"{file}: erasures of all tenants, {len(found)} by now", markup=False)


def _print(found: Erasure, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    out.print(f"[{STYLES.get(found.state, '')}]{found.state}[/]  {found.id}")
    rows = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    rows.add_row("subject", found.subject)
    rows.add_row("requested", f"{found.requested_at:%Y-%m-%d %H:%M:%S %Z} by {found.requested_by}")
    for name, at in (("purged", found.purged_at), ("verified", found.verified_at)):
        if at is not None:
            rows.add_row(name, f"{at:%Y-%m-%d %H:%M:%S %Z}")
    if found.state != "verified":
        rows.add_row("due by", f"{found.deadline_at:%Y-%m-%d}")
    rows.add_row("removed", _counts(found.removed) or "nothing was there")
    if found.found:
        rows.add_row("left", _counts(found.found) or f"0 in {len(found.found)} places searched")
    if found.last_error:
        rows.add_row("waits for", found.last_error)
    rows.add_row("digest", found.digest)
    out.print(rows)


def _table(erasures: Sequence[Erasure]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("id", "state", "requested", "proven", "removed"):
        table.add_column(name, no_wrap=True)
    for item in erasures:
        table.add_row(
            str(item.id),
            f"[{STYLES.get(item.state, '')}]{item.state}[/]",
            f"{item.requested_at:%Y-%m-%d}",
            f"{item.verified_at:%Y-%m-%d}" if item.verified_at else "",
            str(sum(item.removed.values())),
        )
    return table


def _counts(counted: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counted.items()) if count)
