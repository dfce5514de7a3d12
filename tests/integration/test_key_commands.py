"""``memstill keys`` on a real database."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from config.access import KeyPolicy
from pipelines.adapters.postgres import Database, PostgresKeys
from pipelines.errors import ConfigurationError, InputError, KeyRefused, NotFound
from pipelines.flows.keys import CheckKey
from workers.cli import app
from workers.clock import SystemClock
from workers.embedded.endpoints import Endpoints, write_endpoints

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typer.testing import Result

    from pipelines.stages.keys import ApiKey


class Shell:
    """The command line on one database, and the check that the API makes."""

    def __init__(self, database_url: str) -> None:
        self.database = Database(database_url, pool_size=2)
        self.env = {"MEMSTILL_DATABASE_URL": database_url, "COLUMNS": "200"}

    def run(self, *words: str) -> Result:
        # ``main`` sends logs to standard error; nothing has here.
        with capture_logs():
            return CliRunner().invoke(app, ["keys", *words], env=self.env)

    def read(self, *words: str) -> dict[str, Any]:
        done = self.run(*words, "--json")
        assert 0 == done.exit_code, done.output
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def check(self, text: str) -> ApiKey:
        fresh = CheckKey(PostgresKeys(self.database), SystemClock(), KeyPolicy())
        return fresh.run(text)


@pytest.fixture
def shell(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    for name in [name for name in os.environ if name.startswith("MEMSTILL_")]:
        monkeypatch.delenv(name)
    opened = Shell(database_url)
    yield opened
    opened.database.close()


def test_created_key_is_the_only_thing_on_standard_output(shell: Shell) -> None:
    """So that a script can take it; what it opens stands beside it."""
    done = shell.run("create", "bot", "--tenant", "acme", "--user", "alice", "--scope", "read")

    found = shell.check(done.stdout.strip())
    assert ("acme", "alice", {"read"}) == (found.tenant_id, found.user_id, set(found.scopes))
    assert f"key {found.id} of user 'alice' of tenant 'acme' for read" in done.stderr


def test_created_key_has_usual_rights_when_nothing_is_said(shell: Shell) -> None:
    """The default tenant, pushing and reading, all users, no end."""
    made = shell.read("create", "bot")

    assert ("default", ["read", "write"]) == (made["tenant_id"], made["scopes"])
    assert (None, None) == (made["user_id"], made["expires_at"])
    assert made["id"] == shell.check(made["key"]).id


def test_created_key_expires_when_it_is_told(shell: Shell) -> None:
    """After the span that was named."""
    made = shell.read("create", "bot", "--expires-in", "90d")

    created, expires = map(datetime.fromisoformat, (made["created_at"], made["expires_at"]))
    assert timedelta(days=90) == expires - created


def test_listed_keys_are_those_of_the_tenant_that_still_open_something(shell: Shell) -> None:
    """Ended ones only where they are asked for; a secret nowhere."""
    live, ended = shell.read("create", "one"), shell.read("create", "two")
    shell.read("create", "elsewhere", "--tenant", "other")
    shell.read("revoke", ended["id"])

    usual, everything = shell.read("list")["keys"], shell.read("list", "--all")["keys"]
    table = shell.run("list", "--all").stdout

    assert [live["id"]] == [key["id"] for key in usual]
    assert [live["id"], ended["id"]] == [key["id"] for key in everything]
    assert "was revoked" in table
    assert "elsewhere" not in table
    for key in (live, ended):
        assert key["key"].split("_", 2)[2] not in f"{usual} {everything} {table}"


def test_list_says_what_to_do_when_there_is_no_key(shell: Shell) -> None:
    """The remedy is a command."""
    done = shell.run("list", "--tenant", "nobody")

    assert "tenant 'nobody' has no key: make one with `memstill keys create`" in done.stderr


def test_rotated_key_is_taken_beside_its_successor_for_the_grace(shell: Shell) -> None:
    """An hour unless another one is named; without any the old one ends at once."""
    first = shell.read("create", "bot", "--scope", "admin")

    second = shell.read("rotate", first["id"])
    third = shell.read("rotate", second["id"], "--grace", "0s")

    ends = {key["id"]: key["expires_at"] for key in shell.read("list", "--all")["keys"]}
    left = datetime.fromisoformat(ends[first["id"]]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    assert ["admin"] == sorted(shell.check(first["key"]).scopes)
    assert ["admin"] == sorted(shell.check(third["key"]).scopes)
    with pytest.raises(KeyRefused):
        shell.check(second["key"])


def test_revoked_key_opens_nothing(shell: Shell) -> None:
    """At once, where nobody has just seen it."""
    made = shell.read("create", "bot")
    done = shell.run("revoke", made["id"])

    assert "bot: revoked" in done.stderr
    with pytest.raises(KeyRefused):
        shell.check(made["key"])


@pytest.mark.parametrize("order", ["rotate", "revoke"])
def test_key_of_another_tenant_is_answered_as_one_that_is_not(shell: Shell, order: str) -> None:
    """Whoever works for one tenant by mistake touches no key of another."""
    made = shell.read("create", "bot", "--tenant", "other")

    foreign, absent = shell.run(order, made["id"]), shell.run(order, "0" * 16)

    for done in (foreign, absent):
        assert isinstance(done.exception, NotFound)
    assert str(foreign.exception).replace(made["id"], "0" * 16) == str(absent.exception)
    assert made["id"] == shell.check(made["key"]).id


def test_senseless_span_is_refused_before_anything_is_written(shell: Shell) -> None:
    """The option is named."""
    done = shell.run("create", "bot", "--expires-in", "soon")

    assert isinstance(done.exception, InputError)
    assert "--expires-in" in str(done.exception)
    assert [] == shell.read("list")["keys"]


def test_keys_are_those_of_the_stack_that_runs_on_the_directory(
    shell: Shell, tmp_path: Path
) -> None:
    """On a laptop the running stack says where its database is; a named directory goes first."""
    url = shell.env.pop("MEMSTILL_DATABASE_URL")
    here = Endpoints(pid=os.getpid(), api_url="http://x", redis_url="redis://x", database_url=url)
    write_endpoints(tmp_path, here)

    made = shell.read("create", "bot", "--data", str(tmp_path))
    shell.env["MEMSTILL_DATABASE_URL"] = "postgresql://nobody@127.0.0.1:9/nothing"

    assert [made["id"]] == [
        key["id"] for key in shell.read("list", "--data", str(tmp_path))["keys"]
    ]


def test_unknown_database_is_told_with_both_remedies(shell: Shell, tmp_path: Path) -> None:
    """Start the stack, or name the database."""
    del shell.env["MEMSTILL_DATABASE_URL"]

    done = shell.run("list", "--data", str(tmp_path))

    assert isinstance(done.exception, ConfigurationError)
    assert "memstill up" in str(done.exception)
    assert "MEMSTILL_DATABASE_URL" in str(done.exception)
