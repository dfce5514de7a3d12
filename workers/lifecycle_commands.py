"""``memstill decay`` and ``memstill holds …``: what fades, and what nobody deletes."""

from __future__ import annotations

import time
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

    from memstill_client import Memstill
    from memstill_client.lifecycle import Fading, LegalHold, StrengthPart

holds = typer.Typer(help="Users whose data nobody deletes.", no_args_is_help=True)

BAR = 40
By = Annotated[str | None, typer.Option("--by", help="Who decides, for the record.")]


def decay(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would go, and why; change nothing.")
    ] = False,
    limit: Annotated[int, typer.Option(min=0, max=10_000, help="So many are listed.")] = 20,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Evict memories that have faded, of all tenants; each can be restored for a while.

    A worker does so daily. With --dry-run: what would go of one tenant.
    """
    with connect(api, data, tenant) as client:
        if not dry_run:
            _evict(client)
            return
        found = client.fading(limit)
    if as_json:
        print_json(found)
    else:
        out.print(_fading_sheet(found))


def _evict(client: Memstill) -> None:
    evicted = 0
    with err.status("decay ...") as line:
        turn = client.decay()
        while turn.state == "waiting":
            evicted += turn.counts.get("evicted", 0)
            line.update(f"{evicted:,} memories evicted so far")
            time.sleep(turn.delay_seconds or 0)
            turn = client.decay(turn.position)
    evicted += turn.counts.get("evicted", 0)
    out.print(f"{evicted:,} memories had faded and are evicted; `memstill memory restore ID`")


@holds.command()
def place(
    user: UserId,
    reason: Annotated[str, typer.Option(help="Why, for whoever asks later.")],
    by: By = None,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Have nothing of a user evicted, purged or erased until the hold is released."""
    with connect(api, data, tenant) as client:
        out.print(_holds_sheet([client.hold(user, reason, by)]))


@holds.command("list")
def list_holds(
    as_json: AsJson = False, data: DataDir = None, api: ApiUrl = None, tenant: Tenant = None
) -> None:
    """Show the tenant's legal holds, those that hold first."""
    with connect(api, data, tenant) as client:
        found = sorted(client.holds(), key=lambda hold: hold.released_at is not None)
    if as_json:
        print_json(found)
    else:
        out.print(_holds_sheet(found) if found else "nobody is held")


@holds.command()
def release(
    hold: Annotated[str, typer.Argument(metavar="ID", help="As `memstill holds list` shows it.")],
    by: By = None,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Let go of a user."""
    with connect(api, data, tenant) as client:
        out.print(_holds_sheet([client.release_hold(hold, by)]))


def _fading_sheet(found: Fading) -> Group:
    return Group(
        *_faded_lines(found),
        Text(""),
        Text("how strong the memories are", style="bold"),
        *_bars(found.strengths),
        Text(""),
        Text(f"{found.spared:,} faded ones are pinned or held; {found.evicted:,} were evicted"),
    )


def _faded_lines(found: Fading) -> list[Text | Table]:
    total = sum(found.fading.values())
    if not total:
        return [Text("nothing has faded", style="green")]
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(found.fading.items()))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("user", "kind", "strength", "statement", "why"):
        table.add_column(name, overflow="fold")
    for item in found.faded:
        strength = f"{item.strength:.3f}"
        row = (item.user_id, item.kind, strength, item.statement, item.reason)
        table.add_row(*(Text(part) for part in row))
    more = total - len(found.faded)
    rest = [Text(f"and {more:,} more; --limit shows them", style="dim")] if more > 0 else []
    return [Text(f"{total:,} memories would go: {kinds}", style="bold"), table, *rest]


def _bars(parts: Sequence[StrengthPart]) -> list[Text]:
    longest = max((part.memories for part in parts), default=0) or 1
    bars = ["█" * _length(part.memories, longest) for part in parts]
    return [
        Text(f"  {part.start:>4.2f}+  {bar:<{BAR}} {part.memories:,}")
        for part, bar in zip(parts, bars, strict=True)
    ]


def _length(count: int, longest: int) -> int:
    return max(1, round(BAR * count / longest)) if count else 0


def _holds_sheet(found: Sequence[LegalHold]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("id", "user", "since", "by", "released", "reason"):
        table.add_column(name, overflow="fold")
    for hold in found:
        released = f"{hold.released_at:%Y-%m-%d} by {hold.released_by}" if hold.released_at else ""
        since = f"{hold.placed_at:%Y-%m-%d}"
        row = (str(hold.id), hold.user_id, since, hold.placed_by, released, hold.reason)
        table.add_row(*(Text(part) for part in row))
    return table
