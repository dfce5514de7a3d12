"""``memstill promote …``: what many users say alike, and whether it becomes everyone's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.text import Text

from workers.command_options import ApiUrl, AsJson, DataDir, Tenant, connect, err, out, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memstill_client import Promotion

app = typer.Typer(help="Decide what becomes known to all users of a tenant.", no_args_is_help=True)

PromotionArgument = Annotated[
    str, typer.Argument(metavar="ID", help="As `memstill promote list` shows it.")
]
By = Annotated[str | None, typer.Option("--by", envvar="USER", help="Who decides, for the record.")]
STYLES = {"proposed": "yellow", "approved": "green", "rejected": "red", "withdrawn": "dim"}


@app.command()
def scan(
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Look now, instead of within the hour, for what enough users say alike."""
    with connect(api, data, tenant) as client:
        found = client.scan_promotions()
    if as_json:
        print_json(found)
    else:
        typer.echo(
            f"{found.proposed} proposed, {found.updated} counted anew, {found.withdrawn} withdrawn"
        )


@app.command(name="list")
def show(
    state: Annotated[
        str | None,
        typer.Option(help="proposed, approved, rejected or withdrawn; the first two if not given."),
    ] = None,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """List what is proposed for all users, and what is theirs by now."""
    with connect(api, data, tenant) as client:
        found = list(client.promotions(state))
    if as_json:
        print_json(found)
    elif found:
        out.print(_sheet(found))
    else:
        err.print("nothing to decide on: no statement is said by enough users", markup=False)


@app.command()
def approve(
    promotion: PromotionArgument,
    *,
    by: By = None,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Make a statement known to all users of the tenant."""
    with connect(api, data, tenant) as client:
        decided = client.approve_promotion(promotion, by)
    _print(decided, "known to all users of the tenant from now on", as_json=as_json)


@app.command()
def reject(
    promotion: PromotionArgument,
    *,
    by: By = None,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Never propose a statement again; take it back if it was approved."""
    with connect(api, data, tenant) as client:
        decided = client.reject_promotion(promotion, by)
    _print(decided, "rejected; it will not be proposed again", as_json=as_json)


def _print(decided: Promotion, note: str, *, as_json: bool) -> None:
    if as_json:
        print_json(decided)
    else:
        err.print(note, markup=False)
        out.print(_sheet([decided]))


def _sheet(promotions: Sequence[Promotion]) -> Group:
    """Two lines each: a statement can be long, and an id is copied in one piece."""
    return Group(*(line for item in promotions for line in _lines(item)))


def _lines(item: Promotion) -> tuple[Text, Text]:
    facts = Text.assemble(
        "  ",
        (item.state, STYLES.get(item.state, "")),
        f" {item.decided_at:%Y-%m-%d} by {item.decided_by}" if item.decided_by else "",
        (f"   {item.users} users   {item.kind}   {item.id}", "dim"),
    )
    return Text(item.statement, style="bold"), facts
