"""Where a running stack can be reached, for commands started beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.errors import ConfigurationError

_FILE = "endpoints.json"


class Endpoints(BaseModel):
    """What ``endpoints.json`` says; ``pid`` is the process that owns the stack."""

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1] = 1
    pid: int = Field(gt=0)
    api_url: str
    redis_url: str
    database_url: str


def default_data_dir() -> Path:
    """Where a stack lives unless it is told otherwise."""
    return Path.home() / ".memstill"


def read_endpoints(data_dir: Path) -> Endpoints:
    """Find the running stack of a directory.

    Raises:
        ConfigurationError: None is running there, or one of another version is.
    """
    try:
        found = Endpoints.model_validate_json((data_dir / _FILE).read_bytes())
    except FileNotFoundError:
        raise _not_running(data_dir) from None
    except ValidationError:
        raise ConfigurationError(
            f"{data_dir / _FILE} is of another version of memstill: stop the one that runs there "
            "and start this one with `memstill up`"
        ) from None
    if not _is_alive(found.pid):
        raise _not_running(data_dir)
    return found


def write_endpoints(data_dir: Path, endpoints: Endpoints) -> None:
    """Publish them in one step: a reader sees all of them or none."""
    draft = data_dir / f"{_FILE}.new"
    draft.write_text(endpoints.model_dump_json(indent=2) + "\n")
    draft.replace(data_dir / _FILE)


def remove_endpoints(data_dir: Path) -> None:
    """Say that nothing can be reached any more."""
    (data_dir / _FILE).unlink(missing_ok=True)


def _not_running(data_dir: Path) -> ConfigurationError:
    return ConfigurationError(
        f"memstill is not running on {data_dir}: start it with `memstill up`, or name the "
        "directory of the one that runs with --data"
    )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
