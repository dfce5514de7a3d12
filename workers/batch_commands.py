"""``memstill batch …``: backfill that the model's provider distills in bulk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.table import Table
from rich.text import Text

from workers.command_options import ApiUrl, AsJson, DataDir, Tenant, connect, err, out, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memstill_client.replies import Batch

app = typer.Typer(help="See to the batches in which backfill is distilled.", no_args_is_help=True)

STYLES = {"completed": "green", "running": "yellow", "preparing": "yellow"}


@app.command(name="list")
def show(
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """List the newest batches with sessions of the tenant."""
    with connect(api, data, tenant) as client:
        page = client.batches()
    if as_json:
        print_json(page)
        return
    if page.batches:
        out.print(_table(page.batches))
    if not page.is_on:
        err.print("batches are off: backfill is distilled live; MEMSTILL_MODEL_BATCH=on changes it")
    elif not page.batches:
        err.print("no batch yet")


@app.command()
def poll(
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Hand in what waits and collect what is answered now, instead of within the minute."""
    with connect(api, data, tenant) as client:
        done = client.poll_batches()
    if as_json:
        print_json(done)
    else:
        typer.echo(f"{done.opened} batches handed in, {done.ended} ended")


def _table(batches: Sequence[Batch]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("created", "state", "requests", "answered", "failed", "until", "id", "note"):
        table.add_column(name, overflow="fold")
    for batch in batches:
        state = batch.outcome or batch.state
        table.add_row(
            f"{batch.created_at:%Y-%m-%d %H:%M}",
            Text(state, style=STYLES.get(state, "red")),
            str(batch.requests),
            str(batch.answered),
            str(batch.failed),
            f"{batch.ended_at or batch.deadline_at:%Y-%m-%d %H:%M}",
            Text(batch.provider_id or str(batch.id), style="dim"),
            Text(batch.last_error or "", style="red"),
        )
    return table
