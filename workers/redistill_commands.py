"""``memstill redistill …``: distill sessions again, compare, put it in place, back out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from memstill_client import NotFound
from workers.command_options import ApiUrl, AsJson, DataDir, Tenant, connect, err, out, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memstill_client import Generation, Memstill, UserDifference
    from memstill_client.replies import MemoryLine

app = typer.Typer(
    help="Distill sessions again beside the live memories, compare, and put it in place.",
    invoke_without_command=True,
)

SHOWN = 10
POLL_SECONDS = 0.5
Wait = Annotated[bool, typer.Option(help="Wait until it is so.")]


@app.callback()
def start(
    context: typer.Context,
    since: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Sessions that ended from this day on, in UTC."),
    ] = None,
    user: Annotated[str | None, typer.Option(help="Only this user's.")] = None,
    prompt: Annotated[
        str | None, typer.Option(metavar="VN", help="Version of the prompt: v1.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Another model than live sessions.")] = None,
    distiller: Annotated[str | None, typer.Option(help="offline or model.")] = None,
    wait: Wait = True,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Distill sessions again into a shadow generation; nothing live changes."""
    if context.invoked_subcommand is not None:
        _refuse_misplaced(context)
        return
    if since is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)
    with connect(api, data, tenant) as client:
        found = client.redistill(
            since, user_id=user, prompt=prompt, model=model, distiller=distiller
        )
        _show(_wait(client, found) if wait else found, as_json=as_json)
    if not as_json:
        err.print("nothing live has changed; see `memstill redistill diff`, then switch or drop")


@app.command()
def status(
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Show how far the generation is."""
    with connect(api, data, tenant) as client:
        _show(client.generation(), as_json=as_json)


@app.command()
def diff(
    user: Annotated[str | None, typer.Option(help="Only this user, with every memory.")] = None,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Show what would be gone, new and changed; after a switch, what is."""
    with connect(api, data, tenant) as client:
        found = list(client.generation_differences(user))
    if as_json:
        print_json(found)
    else:
        out.print(_difference_sheet(found, None if user else SHOWN))


@app.command()
def switch(
    wait: Wait = True,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Put the generation in place of what is live, each user as soon as it is whole."""
    with connect(api, data, tenant) as client:
        found = client.switch_generation()
        _show(_wait(client, found) if wait else found, as_json=as_json)
    if not as_json:
        err.print("new sessions are distilled as MEMSTILL_DISTILLER, _MODEL_NAME and _PROMPT say")


@app.command("back-out")
def back_out(
    wait: Wait = True,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Put back what was live before; the generation is kept as a shadow."""
    with connect(api, data, tenant) as client:
        found = client.back_out_generation()
        _show(_wait(client, found) if wait else found, as_json=as_json)


@app.command()
def drop(
    wait: Wait = True,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Delete what is not live: the generation, or after a switch what was live before."""
    with connect(api, data, tenant) as client:
        found = client.drop_generation()
        try:
            while wait and client.generation().id == found.id:
                time.sleep(POLL_SECONDS)
        except NotFound:
            pass
    if wait:
        err.print("dropped", markup=False)
    else:
        _show(found, as_json=False)


def _refuse_misplaced(context: typer.Context) -> None:
    """An option before the order would be lost: the wrong tenant could be switched."""
    given = [
        name
        for name in context.params
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    ]
    if given:
        order = context.invoked_subcommand
        raise typer.BadParameter(f"put --{given[0].replace('as_', '')} behind {order}")


def _wait(client: Memstill, found: Generation) -> Generation:
    """Follow it until every user is where the goal wants them."""
    with err.status("") as line:
        while not found.is_settled:
            line.update(Text(_progress(found)))
            time.sleep(POLL_SECONDS)
            found = client.generation()
    return found


def _show(found: Generation, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    by = " ".join(filter(None, (found.distiller, found.model, found.prompt)))
    whose = f"user {found.user_id}" if found.user_id else "all users"
    out.print(
        Group(
            Text(f"sessions since {found.since:%Y-%m-%d}, {whose}, by {by}", style="bold"),
            Text(f"  wanted {found.goal}   {_progress(found)}"),
            Text(f"  {found.id}", style="dim"),
        )
    )


def _progress(found: Generation) -> str:
    users = ", ".join(f"{count} {step}" for step, count in sorted(found.users.items()))
    sessions = ", ".join(f"{count} {state}" for state, count in sorted(found.sessions.items()))
    pending = f"   {found.pending_facts} facts to merge" if found.pending_facts else ""
    return f"users: {users or 'none'}   sessions: {sessions or 'none'}{pending}"


def _difference_sheet(found: Sequence[UserDifference], shown: int | None) -> Group:
    totals = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("user", "stands", "kept", "changed", "gone", "new"):
        totals.add_column(name, overflow="fold")
    for item in found:
        counts = (item.kept, len(item.changed), len(item.gone), len(item.new))
        totals.add_row(Text(item.user_id), item.step, *map(str, counts))
    lines = [line for item in found for line in _difference_lines(item)]
    left = [] if shown is None else lines[shown:]
    more = [Text(f"… and {len(left)} more; --user shows a user's all", style="dim")] if left else []
    return Group(totals, *lines[:shown], *more)


def _difference_lines(item: UserDifference) -> list[Text]:
    changed = [
        Text.assemble(
            ("~ ", "yellow"), pair.before.statement, (" -> ", "dim"), pair.after.statement
        )
        for pair in item.changed
    ]
    return [*changed, *_lines("- ", "red", item.gone), *_lines("+ ", "green", item.new)]


def _lines(sign: str, style: str, memories: Sequence[MemoryLine]) -> list[Text]:
    return [Text.assemble((sign, style), memory.statement) for memory in memories]
