"""``memstill events …``: what the event log says, against the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
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

    from memstill_client.event_log import Divergence

app = typer.Typer(help="Hold the event log against the tables.", no_args_is_help=True)

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
