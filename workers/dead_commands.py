"""``memstill dead …``: what failed for good, tried again or thrown away."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.text import Text

from pipelines.errors import InputError
from workers.command_options import ApiUrl, AsJson, DataDir, Tenant, connect, err, out, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from memstill_client.dead_letters import DeadFields
    from memstill_client.dead_replies import DeadLetter, DeadLetterDetail, DeadReply, DeadRun

app = typer.Typer(help="See to the sessions that failed for good.", no_args_is_help=True)

Receipts = Annotated[
    list[str] | None,
    typer.Argument(metavar="[RECEIPT]...", help="As `memstill dead list` shows them."),
]
All = Annotated[bool, typer.Option("--all", help="All that fit, instead of receipts.")]
Reason = Annotated[str | None, typer.Option(help="Contained in the reason: BadReply.")]
LastError = Annotated[str | None, typer.Option("--error", help="Contained in the last error.")]
User = Annotated[str | None, typer.Option("--user", help="Only this user's.")]
Session = Annotated[str | None, typer.Option(help="Only this session.")]
Since = Annotated[
    str | None, typer.Option(metavar="DATE", help="Died on that day (UTC) or later; or a time.")
]
Until = Annotated[
    str | None, typer.Option(metavar="DATE", help="Died on that day or before; or a time.")
]
Shadow = Annotated[
    bool, typer.Option("--shadow", help="What the open generation could not distill again.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing; say how many.")]

KEPT = {
    "unreadable": "cannot be read by this release either: {count}, with the present reason",
    "held": "left alone, because something rests on it or it moved on meanwhile: {count}",
}


@app.command(name="list")
def show_all(
    *,
    reason: Reason = None,
    error: LastError = None,
    user: User = None,
    session: Session = None,
    since: Since = None,
    until: Until = None,
    shadow: Shadow = False,
    limit: Annotated[int, typer.Option(min=1, help="The newest, at most so many.")] = 50,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """List dead letters, the newest first."""
    wanted = _filter(reason, error, user, session, since, until, is_shadow=shadow)
    with connect(api, data, tenant) as client:
        found = list(islice(client.dead_letters(**wanted), limit + 1))
    shown = found[:limit]
    if as_json:
        print_json(shown)
        return
    if shown:
        out.print(Group(*(line for letter in shown for line in _lines(letter))))
    else:
        err.print("no dead letter")
    if len(found) > limit:
        err.print(f"… and more: --limit shows more than {limit}")


@app.command()
def show(
    receipt: Annotated[str, typer.Argument(help="As `memstill dead list` shows it.")],
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Show why it died, what the model answered, and what could not be read."""
    with connect(api, data, tenant) as client:
        found = client.dead_letter(receipt)
    if as_json:
        print_json(found)
    else:
        out.print(_sheet(found))


@app.command()
def replay(
    receipts: Receipts = None,
    *,
    everything: All = False,
    reason: Reason = None,
    error: LastError = None,
    user: User = None,
    session: Session = None,
    since: Since = None,
    until: Until = None,
    shadow: Shadow = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget what the model answered: it is paid again.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Have dead letters tried again; what the model answered for them is used again."""
    wanted = _filter(reason, error, user, session, since, until, is_shadow=shadow)
    named = _named(receipts, wanted, everything=everything)
    with connect(api, data, tenant) as client:
        run = client.replay_dead(named, fresh=fresh, dry_run=dry_run, **wanted)
    _tell(run, "would be tried again" if dry_run else "on their road again", as_json=as_json)


@app.command()
def drop(
    receipts: Receipts = None,
    *,
    everything: All = False,
    reason: Reason = None,
    error: LastError = None,
    user: User = None,
    session: Session = None,
    since: Since = None,
    until: Until = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Delete dead letters for good, with what the model answered for them."""
    wanted = _filter(reason, error, user, session, since, until)
    named = _named(receipts, wanted, everything=everything)
    with connect(api, data, tenant) as client:
        run = client.drop_dead(named, dry_run=dry_run, **wanted)
    _tell(run, "would be deleted" if dry_run else "deleted", as_json=as_json)


def _filter(
    reason: str | None,
    error: str | None,
    user: str | None,
    session: str | None,
    since: str | None,
    until: str | None,
    *,
    is_shadow: bool = False,
) -> DeadFields:
    wanted: DeadFields = {
        "reason": reason,
        "error": error,
        "user_id": user,
        "session_id": session,
        "since": since,
        "until": until,
    }
    return {**wanted, "is_shadow": True} if is_shadow else wanted


def _named(
    receipts: Sequence[str] | None, wanted: DeadFields, *, everything: bool
) -> Sequence[str] | None:
    """The receipts; None for all that fit.

    Raises:
        InputError: Neither or both were asked for.
    """
    if everything is bool(receipts):
        raise InputError("RECEIPT", "name receipts, or all that fit a filter with --all")
    if receipts and any(wanted.values()):
        raise InputError("RECEIPT", "takes no filter beside it; use --all with a filter instead")
    return receipts or None


def _tell(run: DeadRun, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"done": run.done, "kept": run.kept, "others": run.others})
        return
    typer.echo(f"{run.done} {what}")
    for name, count in run.kept.items():
        err.print(KEPT[name].format(count=count), style="yellow")
    for state, count in run.others.items():
        note = "unknown to this tenant" if state == "unknown" else f"{state}, no dead letter"
        err.print(f"{count} {note}: unchanged", style="yellow")


def _lines(letter: DeadLetter) -> list[Text]:
    """Some lines each: an error can be long, and a receipt is copied in one piece."""
    head = Text.assemble(
        (str(letter.receipt), "bold"),
        f"  {letter.died_at:%Y-%m-%d %H:%M}  ",
        (letter.reason, "red"),
    )
    facts = [
        f"user {letter.user_id or '?'}",
        f"session {letter.session_id or '?'}",
        f"attempts {letter.attempts}",
        *([f"workers died {letter.deaths}"] if letter.deaths else []),
        *([] if letter.is_readable else ["never was a transcript"]),
        *([f"copy of {letter.copy_of}"] if letter.copy_of else []),
    ]
    lines = [head, Text(f"    {'   '.join(facts)}", style="dim")]
    return [*lines, Text(f"    {letter.last_error}")] if letter.last_error else lines


def _sheet(letter: DeadLetterDetail) -> RenderableType:
    parts = [*_lines(letter), Text(f"    received {letter.received_at:%Y-%m-%d %H:%M:%S} UTC")]
    if letter.payload is not None:
        parts += [Text(""), Text("pushed, and not readable:", style="dim"), Text(letter.payload)]
    for reply in letter.replies:
        parts += _reply_lines(reply)
    return Group(*parts)


def _reply_lines(reply: DeadReply) -> list[Text]:
    company = f", for {len(reply.receipts)} sessions" if len(reply.receipts) > 1 else ""
    head = (
        f"{reply.created_at:%Y-%m-%d %H:%M:%S} {reply.model} answered ({reply.purpose}{company}):"
    )
    return [Text(""), Text(head, style="dim"), Text(reply.text)]
