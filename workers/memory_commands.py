"""``memstill memory …``: one memory, its history, making it current again, and pinning it."""

from __future__ import annotations

from typing import Annotated

import typer

from workers import terminal
from workers.command_options import ApiUrl, AsJson, DataDir, Tenant, connect, err, out, print_json

app = typer.Typer(help="Look at one memory, and correct what became of it.", no_args_is_help=True)

MemoryArgument = Annotated[str, typer.Argument(metavar="ID", help="As recall or export shows it.")]


@app.command()
def show(
    memory: MemoryArgument,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Show a memory with all that it rests on."""
    with connect(api, data, tenant) as client:
        found = client.memory(memory)
    if as_json:
        print_json(found)
    else:
        out.print(terminal.memory_sheet(found))


@app.command()
def history(
    memory: MemoryArgument,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Show what held before and after a memory, and what happened to it."""
    with connect(api, data, tenant) as client:
        found = client.history(memory)
    if as_json:
        print_json(found)
    else:
        out.print(terminal.history_sheet(found))


@app.command()
def restore(
    memory: MemoryArgument,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Make a memory current again that was retired, merged or evicted wrongly."""
    with connect(api, data, tenant) as client:
        found = client.restore(memory)
    err.print("current again, and it will not be retired for the same reason", markup=False)
    out.print(terminal.memory_sheet(found))


@app.command()
def forget(
    memory: MemoryArgument,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Have a memory told no more; `restore` brings it back until it is deleted."""
    with connect(api, data, tenant) as client:
        found = client.forget(memory)
    until = found.restorable_until
    note = "" if until is None else f" until {until:%Y-%m-%d}"
    err.print(f"forgotten; `memstill memory restore` has it back{note}", markup=False)


@app.command()
def pin(
    memory: MemoryArgument,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Keep a memory from ever fading."""
    with connect(api, data, tenant) as client:
        out.print(terminal.memory_sheet(client.pin(memory)))


@app.command()
def unpin(
    memory: MemoryArgument,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Let a memory fade like others."""
    with connect(api, data, tenant) as client:
        out.print(terminal.memory_sheet(client.unpin(memory)))
