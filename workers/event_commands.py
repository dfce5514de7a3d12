"""``memstill events …`` and ``memstill archive …``: the event log, now and in the archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

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

    from memstill_client.event_log import ArchivedFile, Divergence

app = typer.Typer(help="Hold the event log against the tables.", no_args_is_help=True)
archive = typer.Typer(help="Old events and sessions, outside the database.", no_args_is_help=True)

SHOWN = 50


@app.command()
def check(
    user: Annotated[str | None, typer.Option("--user", help="Only this user.")] = None,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Compare what the event log says is known with what the tables have.

    Ends with 1 where they differ.
    """
    users = memories = 0
    differences: list[Divergence] = []
    with connect(api, data, tenant) as client, err.status("") as line:
        for page in client.check_events(user):
            users, memories = users + page.users, memories + page.memories
            differences += page.differences
            line.update(f"{users:,} users compared, {len(differences):,} memories differ")
    if as_json:
        print_json({"users": users, "memories": memories, "differences": differences})
    else:
        out.print(_sheet(users, memories, differences))
    raise typer.Exit(1 if differences else 0)


@app.command()
def rebuild(user: UserId, data: DataDir = None, api: ApiUrl = None, tenant: Tenant = None) -> None:
    """Write what differs of a user's memories as the event log has it."""
    with connect(api, data, tenant) as client:
        done = client.rebuild_memories(user)
    out.print(
        f"{done.written:,} memories written from the log, {done.removed:,} removed that it does "
        "not know"
    )


@archive.command("list")
def list_files(
    user: Annotated[str | None, typer.Option("--user", help="Only this user's.")] = None,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Show the files that the archive has."""
    with connect(api, data, tenant) as client:
        found = client.archived_files(user)
    if as_json:
        print_json(found)
    else:
        out.print(_files_sheet(found) if found else "the archive has nothing of them")


@archive.command()
def restore(user: UserId, data: DataDir = None, api: ApiUrl = None, tenant: Tenant = None) -> None:
    """Put a user's archived events back into the database, under the numbers that they had.

    They can be looked at until they are archived again; what is known does not change.
    """
    with connect(api, data, tenant) as client:
        out.print(f"{client.restore_events(user):,} events put back")


def _files_sheet(files: Sequence[ArchivedFile]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("user", "kind", "rows", "bytes", "first", "last", "written", "sha256"):
        table.add_column(name, overflow="fold")
    for file in files:
        count, size = f"{file.rows:,}", f"{file.size:,}"
        written = f"{file.written_at:%Y-%m-%d}"
        row = (file.user_id, file.kind, count, size, file.first, file.last, written, file.sha256)
        table.add_row(*(Text(part) for part in row))
    return table


def _sheet(users: int, memories: int, differences: Sequence[Divergence]) -> Group:
    head = Text(f"{memories:,} memories of {users:,} users compared with the log", style="bold")
    if not differences:
        return Group(head, Text("  no difference", style="green"))
    lines = [
        Text(f"  {item.user_id}  {item.memory_id}  {', '.join(item.what)}", style="red")
        for item in differences[:SHOWN]
    ]
    more = len(differences) - len(lines)
    rest = [Text(f"  and {more:,} more; --json shows them", style="dim")] if more > 0 else []
    return Group(head, *lines, *rest, Text("  memstill events rebuild --user ID", style="dim"))
