"""``memstill keys …``: who may call the API. They work on the database, beside any server."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from config.access import KeyPolicy
from config.settings import Settings
from pipelines.errors import ConfigurationError, StoreRefused
from pipelines.stages.keys import KeyId, KeyScope
from workers.clock import SystemClock
from workers.command_options import AsJson, DataDir, Tenant, err, out, print_json
from workers.embedded.endpoints import default_data_dir, read_endpoints
from workers.moments import read_span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from pipelines.flows.keys import ManageKeys, NewKey
    from pipelines.stages.keys import ApiKey

app = typer.Typer(help="Make, list, replace and revoke API keys.", no_args_is_help=True)

KeyArgument = Annotated[str, typer.Argument(metavar="ID", help="As `memstill keys list` shows it.")]
USUAL_SCOPES = (KeyScope.WRITE, KeyScope.READ)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="For people to know it by: support-bot.")],
    *,
    scope: Annotated[
        list[KeyScope] | None,
        typer.Option(help="What it is for, once for each; write and read if not given."),
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", help="Acts for this user alone; for all if not given.")
    ] = None,
    expires_in: Annotated[
        str | None, typer.Option(metavar="SPAN", help="90d, 12h; without end if not given.")
    ] = None,
    as_json: AsJson = False,
    data: DataDir = None,
    tenant: Tenant = None,
) -> None:
    """Make a key of a tenant and print it, this once."""
    lifetime = None if expires_in is None else read_span(expires_in, "--expires-in")
    with _open(data) as manage:
        scopes = scope or USUAL_SCOPES
        made = manage.create(_named(tenant), name, scopes, user_id=user, lifetime=lifetime)
    _show_new(made, "", as_json=as_json)


@app.command(name="list")
def show(
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that were revoked or have expired.")
    ] = False,
    as_json: AsJson = False,
    data: DataDir = None,
    tenant: Tenant = None,
) -> None:
    """List the keys of a tenant; the keys themselves are kept nowhere."""
    now = SystemClock().now()
    with _open(data) as manage:
        found = manage.keys.list_keys(_named(tenant))
    shown = [key for key in found if everything or key.ended(now) is None]
    if as_json:
        print_json({"keys": [key_view(key) for key in shown]})
    elif shown:
        out.print(_table(shown, now))
    else:
        err.print(f"tenant {_named(tenant)!r} has no key: make one with `memstill keys create`")


@app.command()
def rotate(
    key: KeyArgument,
    *,
    grace: Annotated[
        str | None, typer.Option(metavar="SPAN", help="So long the old one is taken, too; 1h.")
    ] = None,
    as_json: AsJson = False,
    data: DataDir = None,
    tenant: Tenant = None,
) -> None:
    """Make a key with the same rights and print it; the old one ends after the grace."""
    span = KeyPolicy().grace if grace is None else read_span(grace, "--grace")
    with _open(data) as manage:
        made = manage.rotate(_named(tenant), KeyId(key), span)
    _show_new(made, f"; the old key ends {_when(made.key.created_at + span)}", as_json=as_json)


@app.command()
def revoke(
    key: KeyArgument,
    *,
    as_json: AsJson = False,
    data: DataDir = None,
    tenant: Tenant = None,
) -> None:
    """End a key now; processes that have just seen it follow within seconds."""
    with _open(data) as manage:
        revoked = manage.revoke(_named(tenant), KeyId(key))
    if as_json:
        print_json(key_view(revoked))
    else:
        err.print(f"{revoked.name}: revoked, and refused within seconds", markup=False)


def key_view(key: ApiKey) -> dict[str, Any]:
    """A key as it may be shown: what it opens, and nothing that opens."""
    return {
        "id": key.id,
        "tenant_id": key.tenant_id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "user_id": key.user_id,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }


@contextmanager
def _open(data: Path | None) -> Iterator[ManageKeys]:
    # Imported here: no other command waits for the driver.
    from pipelines.adapters.postgres import Database, PostgresKeys
    from pipelines.flows.keys import ManageKeys

    database = Database(_database_url(data), pool_size=1)
    try:
        yield ManageKeys(PostgresKeys(database), SystemClock())
    except StoreRefused as error:
        raise ConfigurationError(
            f"the database has no keys yet ({error}): run `memstill migrate` first"
        ) from None
    finally:
        database.close()


def _database_url(data: Path | None) -> str:
    """The database that was named, by folder or by its address; else that of this machine."""
    settings = Settings()
    if data is None and "database_url" in settings.model_fields_set:
        return settings.database_url.get_secret_value()
    try:
        return read_endpoints(data or default_data_dir()).database_url
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}; or set MEMSTILL_DATABASE_URL") from None


def _named(tenant: str | None) -> str:
    return tenant or Settings().default_tenant


def _show_new(made: NewKey, note: str, *, as_json: bool) -> None:
    if as_json:
        print_json(key_view(made.key) | {"key": made.text})
        return
    whose = f"user {made.key.user_id!r} of " if made.key.user_id else ""
    scopes = ", ".join(sorted(made.key.scopes))
    err.print(
        f"key {made.key.id} of {whose}tenant {made.key.tenant_id!r} for {scopes}{note}; keep it "
        "now, it is shown this once:",
        markup=False,
    )
    typer.echo(made.text)


def _table(keys: Sequence[ApiKey], now: datetime) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("id", "name", "scopes", "user", "created", "expires", "last used", ""):
        table.add_column(name, overflow="fold")
    for key in keys:
        table.add_row(
            Text(key.id),
            Text(key.name, style="bold"),
            ", ".join(sorted(key.scopes)),
            Text("all" if key.user_id is None else key.user_id),
            _when(key.created_at),
            "never" if key.expires_at is None else _when(key.expires_at),
            "never" if key.last_used_at is None else _when(key.last_used_at),
            Text(key.ended(now) or "", style="red"),
        )
    return table


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
