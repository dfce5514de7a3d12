"""``memstill profile …``: what an application knows of a user by its own means."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from pipelines.errors import InputError
from workers.command_options import (
    ApiUrl,
    AsJson,
    DataDir,
    Tenant,
    UserId,
    connect,
    out,
    print_json,
)

if TYPE_CHECKING:
    from memstill_client.profiles import Profile

app = typer.Typer(help="What is known of a user beside their sessions.", no_args_is_help=True)

Pairs = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE...", help="A value is JSON, or else text; null takes away."),
]


@app.command()
def show(
    user: UserId,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Show a user's profile."""
    with connect(api, data, tenant) as client:
        _tell(client.profile(user), as_json=as_json)


@app.command("set")
def set_(
    user: UserId,
    pairs: Pairs = None,
    learned: Annotated[
        bool, typer.Option("--learned", help="What was found out, not what the user wants.")
    ] = False,
    version: Annotated[
        int | None, typer.Option(min=0, help="Only if it has this version still.")
    ] = None,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Change keys of a user's profile."""
    patch = dict(_read_pair(pair) for pair in pairs or [])
    part = {"learned" if learned else "preferences": patch}
    with connect(api, data, tenant) as client:
        found = client.patch_profile(
            user,
            preferences=part.get("preferences"),
            learned=part.get("learned"),
            version=version,
        )
    _tell(found, as_json=as_json)


def _read_pair(pair: str) -> tuple[str, Any]:
    key, sign, value = pair.partition("=")
    if not sign or not key.strip():
        raise InputError(pair[:40], "is no KEY=VALUE; write for example colour=blue")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _tell(profile: Profile, *, as_json: bool) -> None:
    if as_json:
        print_json(profile)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("part", "key", "value"):
        table.add_column(name, overflow="fold")
    for part in ("preferences", "learned"):
        for key, value in sorted(getattr(profile, part).items()):
            told = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            table.add_row(*(Text(text) for text in (part, key, told)))
    out.print(table if table.rows else f"nothing is known of {profile.user_id}", markup=False)
    out.print(f"version {profile.version}", markup=False)
