"""``memstill procedures …``: how things are done, and how often that worked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer
from rich.table import Table
from rich.text import Text

from workers.command_options import ApiUrl, AsJson, DataDir, Tenant, connect, err, out, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memstill_client import Procedure

app = typer.Typer(
    help="Write down how things are done, and how they turned out.", no_args_is_help=True
)

NameArgument = Annotated[str, typer.Argument(help='What is done: "deploy the billing service".')]
Whose = Annotated[
    str | None, typer.Option("--user", help="Whose procedures; everyone's if not given.")
]


@app.command()
def put(
    name: NameArgument,
    steps: Annotated[list[str], typer.Argument(help="What to do, step by step.")],
    user: Whose = None,
    *,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Keep a procedure; other steps under the same name make a new version."""
    with connect(api, data, tenant) as client:
        found = client.put_procedure(name, steps, user)
    _show([found], as_json=as_json, whole=True)


@app.command()
def get(
    name: NameArgument,
    user: Whose = None,
    *,
    versions: Annotated[
        bool, typer.Option("--versions", help="Also what earlier versions said.")
    ] = False,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Show the procedure of a name with its steps."""
    with connect(api, data, tenant) as client:
        found = client.procedure(name, user)
        shown = [found] if found else []
        if found is not None and versions:
            shown = list(client.procedure_versions(found.id))
    _show(shown, as_json=as_json, whole=True)
    raise typer.Exit(0 if shown else 1)


@app.command()
def find(
    query: Annotated[str, typer.Argument(help="Words of its name or steps; all without any.")] = "",
    user: Whose = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most so many.")] = 20,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """List procedures, those that fit best first."""
    with connect(api, data, tenant) as client:
        found = client.find_procedures(query, user, limit=limit)
    _show(found, as_json=as_json, whole=False)


@app.command()
def record(
    name: NameArgument,
    user: Whose = None,
    *,
    worked: Annotated[bool, typer.Option("--worked/--failed", help="How it turned out.")],
    key: Annotated[
        str | None, typer.Option(help="Of this outcome: told again with it, it counts once.")
    ] = None,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Count how the newest version of a procedure turned out."""
    with connect(api, data, tenant) as client:
        found = client.procedure(name, user)
        if found is not None:
            found = client.record_outcome(
                found.id, key or str(uuid4()), user, worked=worked, version=found.version
            )
    _show([found] if found else [], as_json=as_json, whole=False)
    raise typer.Exit(0 if found else 1)


def _show(found: Sequence[Procedure], *, as_json: bool, whole: bool) -> None:
    if as_json:
        print_json(found)
    elif not found:
        err.print("no such procedure")
    else:
        out.print(_table(found))
        for item in found if whole else ():
            out.print(f"\n{item.name}, version {item.version}", markup=False)
            for number, step in enumerate(item.steps, start=1):
                out.print(f"  {number}. {step}", markup=False)


def _table(found: Sequence[Procedure]) -> Table:
    table = Table("name", "version", "steps", "worked", "failed", "rate", "user", box=None)
    for item in found:
        table.add_row(
            Text(item.name),
            str(item.version),
            str(len(item.steps)),
            str(item.successes),
            str(item.failures),
            f"{item.success_rate:.2f}",
            Text(item.user_id or "everyone"),
        )
    return table
