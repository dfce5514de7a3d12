"""What the commands share: options, consoles, JSON, and the connection to the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic_core import to_json
from rich.console import Console

from memstill_client import Memstill
from workers.embedded.endpoints import default_data_dir, read_endpoints

if TYPE_CHECKING:
    from pydantic import BaseModel

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data", envvar="MEMSTILL_DATA", help="Data directory; ~/.memstill if not given."
    ),
]
ApiUrl = Annotated[
    str | None,
    typer.Option("--api", envvar="MEMSTILL_API_URL", help="Address of the API, instead of --data."),
]
Tenant = Annotated[
    str | None, typer.Option("--tenant", envvar="MEMSTILL_TENANT", help="Whose data it is.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
UserId = Annotated[str, typer.Option("--user", help="Whose memories.")]


@contextmanager
def connect(api_url: str | None, data: Path | None, tenant: str | None) -> Iterator[Memstill]:
    """A client of the stack that ``--api`` names, or that runs on ``--data``."""
    url = api_url or read_endpoints(data or default_data_dir()).api_url
    with Memstill(
        api_url=url, redis_url="", broker_url="", tenant_id=tenant, timeout=30.0
    ) as client:
        yield client


def print_json(found: BaseModel | Sequence[BaseModel] | Mapping[str, Any]) -> None:
    """Print what ``--json`` asks for: indented, and text as it was written."""
    typer.echo(to_json(found, indent=2).decode())
