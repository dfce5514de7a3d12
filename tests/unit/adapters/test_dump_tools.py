"""pg_dump and pg_restore: the right ones are found, and no secret is on their command line."""

from __future__ import annotations

from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import pytest

from pipelines.adapters.postgres.dump_tools import DumpTools, Source
from pipelines.errors import ConfigurationError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "s3cret pass"
URL = "postgresql+psycopg://memstill:s3cret%20pass@db.example:5433/memory?sslmode=require"


def install(folder: Path, major: int, body: str = "", name: str = "pg_dump") -> Path:
    """A program that says its version, or does something else."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(
        '#!/bin/sh\nif [ "$1" = --version ]; then\n'
        f'  echo "{name} (PostgreSQL) {major}.3 (Debian)"\n  exit\nfi\n{body}\n'
    )
    program.chmod(0o755)
    return folder


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")
    return tmp_path / "path"


def source() -> Source:
    return Source(URL, "0001-1", "public", ["facts"])


def read(opened: IO[bytes]) -> str:
    return opened.read().decode()


def test_tool_that_is_new_enough_is_taken(tmp_path: Path, on_path: Path) -> None:
    """Ours comes first; where the server is newer, the one on the PATH does the work."""
    tools = DumpTools([install(tmp_path / "ours", 18)])
    install(on_path, 19)

    assert ("ours", 18) == (tools.find("pg_dump", 15).path.parent.name, 18)
    assert ("path", 19) == (tools.find("pg_dump", 19).path.parent.name, 19)


def test_missing_or_older_tool_is_refused_with_the_remedy(tmp_path: Path, on_path: Path) -> None:
    """An older pg_dump does not understand a newer server."""
    install(on_path, 15)
    tools = DumpTools([install(tmp_path / "ours", 18)])

    with pytest.raises(ConfigurationError, match=r"that of 18, 15 here: .*client-19\) and put"):
        tools.find("pg_dump", 19)
    with pytest.raises(ConfigurationError, match="there is none here"):
        DumpTools([]).find("pg_nothing", 15)


def test_password_goes_by_environment_alone(tmp_path: Path) -> None:
    """Everybody can read a command line."""
    folder = install(tmp_path / "ours", 18, 'echo "$@"; echo "password:$PGPASSWORD"')
    tools = DumpTools([folder])

    with tools.dump(source(), tools.find("pg_dump", 18)) as opened:
        said, password = read(opened).splitlines()

    assert f"password:{SECRET}" == password
    assert "s3cret" not in said
    for word in ("host=db.example", "port=5433", "dbname=memory", "sslmode=require"):
        assert word in said
    assert '--table="public"."facts"' in said


def test_dump_that_ends_early_is_no_dump(tmp_path: Path) -> None:
    """What was read by then is worth nothing, and only the first line of its complaint is told."""
    body = f'echo half; echo "pg_dump: error: away" >&2; echo "{SECRET}" >&2; exit 1'
    tools = DumpTools([install(tmp_path / "ours", 18, body)])

    with (
        pytest.raises(StoreUnavailable, match=r"pg_dump: error: away$"),
        tools.dump(source(), tools.find("pg_dump", 18)) as opened,
    ):
        assert "half\n" == read(opened)


def test_tool_is_ended_when_nobody_reads_on(tmp_path: Path) -> None:
    """An error of the reader leaves no process behind."""
    tools = DumpTools([install(tmp_path / "ours", 18, "yes")])

    @contextmanager
    def reading() -> Iterator[None]:
        with tools.dump(source(), tools.find("pg_dump", 18)) as opened:
            assert b"y\ny" == opened.read(3)
            yield

    with pytest.raises(KeyError), reading():
        raise KeyError
