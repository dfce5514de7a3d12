"""``memstill import``: what was exported, or edited by hand, taken in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.command_options import ApiUrl, DataDir, Tenant, connect, err, out

if TYPE_CHECKING:
    from workers.exchanges.importing import Import


def import_(
    file: Annotated[
        Path, typer.Argument(help="A .json or .yaml of `memstill export`, or a MEMORY.md.")
    ],
    user: Annotated[
        str | None, typer.Option("--user", help="As this user's; else as the file says.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what it would do; change nothing.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Wait until all of it is consolidated.")] = True,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Take in what was exported; importing the same again changes nothing.

    A document restores what it holds and merges it with what is known; each new or edited line of
    a MEMORY.md is taken as the word of its user.
    """
    # What reads files starts slowly, and no other command waits for it.
    from workers.exchanges import importing

    options = importing.Options(user_id=user, dry_run=dry_run, wait=wait)
    with connect(api, data, tenant) as client:
        _tell(importing.run(client, file, options))


def _tell(result: Import) -> None:
    counts = {name: count for name, count in result.counts.items() if count}
    for name, count in counts.items():
        out.print(f"{count:>8,} {name}", markup=False)
    if not counts:
        out.print("nothing in it to import")
    for note in result.notes:
        err.print(f"note: {note}", markup=False)
    if result.is_dry:
        err.print("nothing was changed: it was a dry run")
