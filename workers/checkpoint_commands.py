"""``memstill checkpoints …``: where agents stand, and what has had its time."""

from __future__ import annotations

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
from workers.langgraph_commands import DryRun, Keep, LangGraphUrl, OlderThan
from workers.langgraph_commands import clean as clean_langgraph

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from memstill_client import Checkpoint, CheckpointThread, CleanedCheckpoints, Memstill

app = typer.Typer(help="Look at the checkpoints of agents, and clean up.", no_args_is_help=True)

ThreadOption = Annotated[str, typer.Option("--thread", help="Which line of checkpoints.")]


@app.command(name="list")
def show_all(
    user: Annotated[str | None, typer.Option("--user", help="Only this user's.")] = None,
    thread: Annotated[
        str | None, typer.Option("--thread", help="The checkpoints of this one; needs --user.")
    ] = None,
    *,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """List threads, or the checkpoints of one, the newest first."""
    if thread is not None and user is None:
        raise typer.BadParameter("name the user of the thread with --user", param_hint="--thread")
    with connect(api, data, tenant) as client:
        if thread is not None and user is not None:
            history = list(client.checkpoints.history(user, thread))
            _print(history, _history_table(history), as_json=as_json)
        else:
            threads = list(client.checkpoints.threads(user))
            _print(threads, _threads_table(threads), as_json=as_json)


@app.command()
def show(
    user: UserId,
    thread: ThreadOption,
    checkpoint: Annotated[
        str | None, typer.Argument(metavar="ID", help="The newest one if not given.")
    ] = None,
    *,
    sound: Annotated[
        bool, typer.Option("--sound", help="Instead of a damaged one the newest sound before it.")
    ] = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Print a checkpoint with its state, as JSON."""
    with connect(api, data, tenant) as client:
        print_json(client.checkpoints.load(user, thread, checkpoint, sound=sound))


@app.command()
def clean(
    *,
    langgraph: LangGraphUrl = None,
    keep: Keep = None,
    older_than: OlderThan = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
) -> None:
    """Remove what has had its time, of all tenants; what threads go on from stays.

    With --langgraph: in LangGraph's own tables, beside the graphs that write them.
    """
    if langgraph is not None:
        clean_langgraph(
            langgraph, keep=keep, older_than=older_than, dry_run=dry_run, as_json=as_json
        )
        return
    if keep is not None or older_than is not None:
        raise typer.BadParameter("is for --langgraph; memstill's own go by MEMSTILL_CHECKPOINT_*")
    with connect(api, data, None) as client:
        turns = list(_clean(client, dry_run=dry_run))
    total = turns[-1].model_copy(
        update={
            name: sum(getattr(turn, name) for turn in turns)
            for name in ("threads", "checkpoints", "bytes")
        }
    )
    if as_json:
        print_json(total)
        return
    verb = "would go" if dry_run else "removed"
    more = "" if total.is_complete else "; there is more: these were looked at in one turn"
    left = f"; {total.left} threads left as they are: see the log" if total.left else ""
    typer.echo(
        f"{total.checkpoints:,} checkpoints of {total.threads:,} threads {verb}, "
        f"{total.bytes:,} bytes{left}{more}"
    )


def _clean(client: Memstill, *, dry_run: bool) -> Iterator[CleanedCheckpoints]:
    """Turn after turn; a dry run would only count the same again."""
    while True:
        turn = client.checkpoints.clean(dry_run=dry_run)
        yield turn
        if turn.is_complete or dry_run or not turn.checkpoints:
            return


def _print(
    found: Sequence[Checkpoint] | Sequence[CheckpointThread], table: Table, *, as_json: bool
) -> None:
    if as_json:
        print_json(found)
    elif found:
        out.print(table)
    else:
        err.print("there are no checkpoints", markup=False)


def _threads_table(threads: Sequence[CheckpointThread]) -> Table:
    table = _table("user", "thread", "newest", "at", "kept", "bytes", "saved")
    for item in threads:
        table.add_row(
            item.user_id,
            item.thread_id,
            str(item.newest),
            str(item.sequence),
            str(item.kept),
            f"{item.stored_bytes:,}",
            f"{item.saved_at:%Y-%m-%d %H:%M:%S}",
        )
    return table


def _history_table(history: Sequence[Checkpoint]) -> Table:
    table = _table("id", "at", "node", "kept as", "bytes", "of", "saved")
    for item in history:
        table.add_row(
            str(item.id),
            str(item.sequence),
            item.node or "",
            "delta" if item.is_delta else "full",
            f"{item.stored_bytes:,}",
            f"{item.bytes:,}",
            f"{item.saved_at:%Y-%m-%d %H:%M:%S}",
        )
    return table


def _table(*names: str) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name, overflow="fold")
    return table
