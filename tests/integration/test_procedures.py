"""Procedures over the API, with the client and on the command line; erased with their user."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from memstill_client import AsyncMemstill, Memstill, NotFound, Procedure, Refused
from pipelines.errors import ErasedMeanwhile
from pipelines.model import Owner
from pipelines.ports import Subject
from pipelines.stages.keys import KeyScope
from pipelines.stages.procedures import Instruction, ProcedureId
from tests.conftest import copied_database
from tests.integration.serving import Served, serve
from workers.cli import app
from workers.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.embedded.postgres import PostgresServer
    from workers.embedded.redis import RedisServer

DEPLOY = "Deploy the billing service"


@pytest.fixture(scope="module")
def served(
    postgres_server: PostgresServer, template_database: str, redis_server: RedisServer
) -> Iterator[Served]:
    """One API for all; each test has a tenant of its own."""
    with (
        copied_database(postgres_server, template_database) as url,
        serve(url, redis_server.url, "test-procedures", "keys") as opened,
    ):
        yield opened


def _client(served: Served, tenant: str, *scopes: KeyScope, user: str | None = None) -> Memstill:
    key = served.make_key(tenant, *scopes, user_id=user)
    return Memstill(served.url, "", api_key=key.text)


def test_agent_writes_finds_and_counts_a_procedure(served: Served) -> None:
    """Put, look up by name and words, record, versions: blocking and to be awaited alike."""
    with _client(served, "t-agent") as client:
        made = client.put_procedure(DEPLOY, ["make", "push"], "alice")
        counted = client.record_outcome(made.id, "run-1", "alice", worked=True)
        assert counted == client.record_outcome(made.id, "run-1", "alice", worked=True)
        assert (counted.successes, counted.success_rate) == (1, 0.6667)
        assert counted == client.procedure("deploy billing service", "alice")
        assert client.procedure(DEPLOY, "bob") is None
        with pytest.raises(Refused, match="expected_version"):
            client.put_procedure(DEPLOY, ["guess"], "alice", expected_version=0)
        with pytest.raises(Refused, match="steps"):
            client.put_procedure(DEPLOY, [], "alice")

    async def again() -> tuple[Procedure, ...]:
        key = served.make_key("t-agent")
        async with AsyncMemstill(served.url, "", api_key=key.text) as client:
            second = await client.put_procedure(DEPLOY, ["make", "test", "push"], "alice")
            await client.record_outcome(second.id, "run-2", "alice", worked=False)
            assert await client.procedure(DEPLOY, "alice") in await client.find_procedures(
                "billing", "alice"
            )
            return await client.procedure_versions(second.id)

    shown = [(item.version, item.successes, item.failures) for item in asyncio.run(again())]
    assert shown == [(2, 0, 1), (1, 1, 0)]


def test_key_of_a_user_reaches_the_procedures_of_that_user_and_of_everyone(served: Served) -> None:
    """Neither reading nor writing anybody else's; what is everyone's takes an admin to write."""
    with _client(served, "t-keys") as admin:
        shared = admin.put_procedure(DEPLOY, ["ask"])
        foreign = admin.put_procedure("Rotate keys", ["rotate"], "bob")
    usual = (KeyScope.READ, KeyScope.WRITE)
    with _client(served, "t-keys", *usual, user="alice") as client:
        own = client.put_procedure("Bake bread", ["knead"])
        assert own.user_id == "alice"
        assert {own.id, shared.id} == {item.id for item in client.find_procedures()}
        assert client.record_outcome(shared.id, "run-1", worked=True).successes == 1
        for ask in (
            lambda: client.procedure_versions(foreign.id),
            lambda: client.record_outcome(foreign.id, "run-1", worked=True),
        ):
            with pytest.raises(NotFound):
                ask()
        with pytest.raises(Refused, match="user_id"):
            client.put_procedure("Rotate keys", ["x"], "bob")
    with _client(served, "t-keys", *usual) as client, pytest.raises(Refused, match="admin"):
        client.put_procedure(DEPLOY, ["ask nobody"])


def test_operator_puts_gets_finds_and_records_on_the_command_line(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables for people, JSON for programs, and an exit code where there is none."""
    monkeypatch.setenv("MEMSTILL_API_URL", served.url)
    monkeypatch.setenv("MEMSTILL_API_KEY", served.make_key("t-cli").text)
    run = CliRunner().invoke
    whose = ["--user", "alice"]
    assert run(app, ["procedures", "put", DEPLOY, "make", "push", *whose]).exit_code == 0
    assert run(app, ["procedures", "record", DEPLOY, "--worked", *whose]).exit_code == 0
    shown = run(app, ["procedures", "get", DEPLOY, "--versions", *whose])
    assert "2. push" in shown.stdout
    found = json.loads(run(app, ["procedures", "find", "billing", "--json", *whose]).stdout)
    assert [(item["name"], item["successes"]) for item in found] == [(DEPLOY, 1)]
    assert run(app, ["procedures", "get", "nothing", *whose]).exit_code == 1


def test_procedures_are_erased_with_their_user_and_a_late_one_is_refused(served: Served) -> None:
    """Written down or learned: nothing of the user is left, and no save of before comes back."""
    flows, before = served.container, SystemClock().now() - timedelta(minutes=1)
    owner = Owner("t-erase", "alice")
    with _client(served, "t-erase") as client:
        made = client.put_procedure(DEPLOY, ["make"], "alice")
        client.record_outcome(made.id, "run-1", "alice", worked=True)
        kept = client.put_procedure(DEPLOY, ["make"], "bob")
        shared = client.put_procedure(DEPLOY, ["make"])
        client.record_outcome(shared.id, "run-1 of alice", "alice", worked=True)
        flows.erase.start(Subject(owner), "test")
        assert client.procedure(DEPLOY, "alice") == shared
        assert client.procedure(DEPLOY, "bob") == kept
    with pytest.raises(ErasedMeanwhile):
        flows.procedures.store.put(owner, Instruction(DEPLOY, ("make",)), before)
    with pytest.raises(ErasedMeanwhile):
        flows.procedures.store.record(owner, ProcedureId(shared.id), "run-2", before, worked=True)
    with flows.database.transaction() as connection:
        for table in ("procedures", "procedure_outcomes", "procedure_readings"):
            left = connection.exec_driver_sql(
                f"SELECT count(*) FROM {table} WHERE (tenant_id, user_id) = ('t-erase', 'alice')"
            )
            assert left.scalar_one() == 0


def test_procedures_of_an_erased_session_go_with_it(served: Served) -> None:
    """What was learned from a session is forgotten with the session, its memories' or not."""
    flows = served.container
    with _client(served, "t-session") as client:
        for session, text in (
            ("s1", "To deploy the billing service, run make build, then push the tag."),
            ("s2", "Deploying the billing service failed because the tag was missing."),
        ):
            client.enqueue(
                user_id="alice", session_id=session, messages=[{"role": "user", "content": text}]
            )
            served.work()
        flows.learn_procedures.run()
        [learned] = client.find_procedures("billing", "alice")
        assert (learned.steps, learned.failures) == (("run make build", "push the tag"), 1)
        assert learned.learned_from is not None
        flows.erase.start(Subject(Owner("t-session", "alice"), "s2"), "test")
        assert [0] == [item.failures for item in client.find_procedures("billing", "alice")]
        flows.erase.start(Subject(Owner("t-session", "alice"), "s1"), "test")
        assert client.find_procedures("billing", "alice") == ()
