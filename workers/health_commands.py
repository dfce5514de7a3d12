"""``memstill health``: whether memstill works, and what is in its way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import httpx2
import typer
from pydantic_core import to_json
from rich.table import Table
from rich.text import Text

from config.settings import Settings
from pipelines.errors import ConfigurationError
from workers.command_options import ApiUrl, AsJson, DataDir, err, out
from workers.embedded.endpoints import default_data_dir, read_endpoints
from workers.heartbeat import PATIENCE_SECONDS, age_seconds
from workers.readiness import DEGRADED, NOT_READY, READY

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_SECONDS = 5.0
STYLES = {READY: "green", DEGRADED: "yellow", NOT_READY: "red"}


def health(
    worker: Annotated[
        bool,
        typer.Option("--worker", help="Of the worker here: how old MEMSTILL_HEARTBEAT_FILE is."),
    ] = False,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
) -> None:
    """Show whether memstill works; the exit code is 1 if it does not."""
    if worker:
        raise typer.Exit(_check_worker(Settings().heartbeat_file))
    url = api or read_endpoints(data or default_data_dir()).api_url
    found = _ask(f"{url.rstrip('/')}/readyz")
    if as_json:
        typer.echo(to_json(found, indent=2).decode())
    else:
        _show(found)
    raise typer.Exit(1 if found["status"] == NOT_READY else 0)


def _ask(url: str) -> dict[str, Any]:
    try:
        found = httpx2.get(url, timeout=TIMEOUT_SECONDS).json()
    except (httpx2.RequestError, ValueError):
        found = None
    if not isinstance(found, dict) or "dependencies" not in found:
        raise ConfigurationError(
            f"nobody answers at {url} as memstill does: check that it runs and that the address "
            "is right"
        )
    return found


def _show(found: dict[str, Any]) -> None:
    status = found["status"]
    out.print(Text(status.replace("_", " "), style=STYLES.get(status, "red")))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for name, state in found["dependencies"].items():
        note = Text("ok", style="green") if state["ok"] else Text(state["problem"], style="red")
        age = state["age_seconds"]
        table.add_row(name, note, Text("" if age is None else f"{age:g} s ago", style="dim"))
    backlog = found["backlog"]
    if backlog is not None:
        table.add_row("oldest due", Text(f"{backlog['oldest_due_seconds']:g} s"), "")
        table.add_row("dead letters", _count(backlog["dead_letters"], "yellow"), "")
        table.add_row("erasures overdue", _count(backlog["overdue_erasures"], "red"), "")
    out.print(table)
    if status == NOT_READY and found["reason"]:
        err.print(found["reason"], markup=False)


def _count(count: int, style: str) -> Text:
    return Text(str(count), style=style if count else "green")


def _check_worker(path: Path | None) -> int:
    if path is None:
        raise ConfigurationError(
            "MEMSTILL_HEARTBEAT_FILE names no file: set it where the worker runs, and here"
        )
    age = age_seconds(path)
    if age is None:
        err.print(f"no worker has written {path} yet", markup=False)
        return 1
    is_stalled = age > PATIENCE_SECONDS
    err.print(f"the worker {'has not got on for' if is_stalled else 'got on within'} {age:.0f} s")
    return int(is_stalled)
