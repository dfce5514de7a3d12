"""``memstill dead`` over HTTP on real servers, with a model that answers nonsense."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from memstill_client import AsyncMemstill, NotFound, Refused
from pipelines.errors import InputError
from pipelines.model import Owner
from tests import endpoint as script
from workers.cli import app

if TYPE_CHECKING:
    from typer.testing import Result

    from tests.integration.generations import World

ACME = Owner("acme", "")
NONSENSE = "no facts today"
TEXT = '{"schema_version": 1, "user_id": "dora", "session_id": "s7", "messages": [{"role": "%s", "content": "I live in Oslo."}]}'  # noqa: E501 - one line of JSON
MANY = """
    INSERT INTO transcripts (receipt, tenant_id, user_id, session_id, idempotency_key,
        content_hash, body, time_zone, started_at, ended_at, state, attempts, due_at, reason,
        last_error, received_at, finished_at)
    SELECT gen_random_uuid(), 'acme', 'user-' || number %% 50, 's-' || number, number, number,
        '{"schema_version": 1, "messages": [], "metadata": {}, "redactions": {}}', 'UTC',
        now(), now(), 'dead', 5, now(), 'ModelUnavailable', 'away', now(),
        now() - interval '1 hour'
    FROM generate_series(1, 5000) AS number RETURNING 1
"""


class Shell:
    """The command line on one API."""

    def __init__(self, world: World) -> None:
        settings = world.container.settings
        url = f"http://{settings.api_host}:{settings.api_port}"
        self.env = {"MEMSTILL_API_URL": url, "MEMSTILL_TENANT": "acme", "COLUMNS": "200"}

    def run(self, *words: str) -> Result:
        # ``main`` sends logs to standard error; nothing has here.
        with capture_logs():
            return CliRunner().invoke(app, ["dead", *words], env=self.env)

    def read(self, *words: str) -> Any:  # noqa: ANN401 - any JSON
        done = self.run(*words, "--json")
        assert 0 == done.exit_code, done.output
        return json.loads(done.stdout)


@pytest.fixture
def shell(world: World) -> Shell:
    return Shell(world)


def kill(world: World, text: str = "I live in Lisbon.", day: int = 2, user: str = "alice") -> str:
    """A session for which the model says nothing of use until it is given up."""
    world.endpoint.fail_on(text, script.completion(NONSENSE))
    receipt = world.tell(text, day=day, user=user)
    for _ in range(3):
        if "dead" == world.client.status(receipt).state:
            break
        world.work_at_once()
    world.endpoint.heal()
    return receipt


def asked(world: World) -> int:
    return len(world.endpoint.chat_calls)


def test_session_of_useless_answers_is_done_when_it_is_replayed(world: World, shell: Shell) -> None:
    """Stored nonsense is not read for ever: the model is asked once more, and only once."""
    receipt = kill(world)
    before = asked(world)

    done = shell.run("replay", receipt)
    world.work()

    assert (0, "1 on their road again\n") == (done.exit_code, done.stdout)
    assert "done" == world.client.status(receipt).state
    assert ["I live in Lisbon."] == world.told()
    assert before + 1 == asked(world)
    assert [] == shell.read("list")


def test_replay_pays_nothing_for_a_stored_answer_that_can_be_used(
    world: World, shell: Shell
) -> None:
    """Unless it is told to forget it."""
    receipt = world.tell("I live in Lisbon.", day=2)
    for fresh, calls in (((), 0), (("--fresh",), 1)):
        world.query(
            "UPDATE transcripts SET state = 'dead', finished_at = now(), reason = 'x' RETURNING 1"
        )
        world.query("DELETE FROM facts RETURNING 1")
        before = asked(world)

        shell.run("replay", receipt, *fresh)
        world.work()

        assert "done" == world.client.status(receipt).state
        assert before + calls == asked(world)


def test_dead_letter_shows_what_the_model_said(world: World, shell: Shell) -> None:
    """Its reason, and each answer that was paid for it."""
    receipt = kill(world)

    listed, sheet = shell.run("list").stdout, shell.run("show", receipt).stdout
    (letter,) = shell.read("list", "--reason", "BadReply", "--user", "alice")

    assert receipt == letter["receipt"]
    for told in (listed, sheet):
        assert receipt in told
        assert "BadReply" in told
        assert "user alice   session s2   attempts 3" in told
    assert NONSENSE not in listed
    assert NONSENSE in sheet
    assert "scripted-model answered (distill):" in sheet
    with pytest.raises(NotFound):
        world.client.dead_letter("00000000-0000-0000-0000-000000000000")


def test_unreadable_letter_becomes_a_transcript_when_it_can_be_read_now(
    world: World, shell: Shell
) -> None:
    """By the present parser; what still cannot be read stays, with the present reason."""
    ingest = world.container.ingest
    bad = ingest.refuse(ACME, TEXT % "robot", "an old reason")
    good = ingest.refuse(Owner("acme", "dora"), TEXT % "user", "a reason of an old release")
    assert TEXT % "user" in shell.run("show", str(good)).stdout

    would = shell.read("replay", "--all", "--dry-run")
    done = shell.run("replay", "--all")
    world.work()

    assert {"done": 1, "kept": {"unreadable": 1}, "others": {}} == would
    assert "1 on their road again" in done.stdout
    assert "cannot be read by this release either: 1" in done.stderr
    assert ["I live in Oslo."] == world.told("dora")
    (left,) = shell.read("list")
    assert (str(bad), True) == (left["receipt"], "messages[0].role" in left["reason"])


def test_receipts_that_are_no_dead_letters_stay_as_they_are(world: World, shell: Shell) -> None:
    """And are told by their state."""
    alive, nobody = world.tell("I have a cat.", day=1), "00000000-0000-0000-0000-000000000000"

    for order in ("replay", "drop"):
        found = shell.read(order, alive, nobody)
        assert {"done": 0, "kept": {}, "others": {"done": 1, "unknown": 1}} == found
    told = shell.run("drop", alive, nobody).stderr
    assert "1 done, no dead letter: unchanged" in told
    assert "1 unknown to this tenant: unchanged" in told
    assert "done" == world.client.status(alive).state


def test_dropped_letter_leaves_nothing(world: World, shell: Shell) -> None:
    """Neither the row nor what was answered for it."""
    receipt = kill(world)

    assert "1 would be deleted\n" == shell.run("drop", receipt, "--dry-run").stdout
    assert [(1,)] == world.query("SELECT count(*) FROM transcripts")
    assert "1 deleted\n" == shell.run("drop", "--all", "--user", "alice").stdout

    for table in ("transcripts", "replies"):
        assert [(0,)] == world.query(f"SELECT count(*) FROM {table}")


def test_thousands_are_replayed_and_dropped_at_once(world: World) -> None:
    """Five thousand in seconds, in turns of their users, and only those that fit."""
    world.query(MANY)
    started = time.monotonic()

    few = world.client.replay_dead(reason="modelunavailable", user_id="user-7", dry_run=True)
    run = world.client.replay_dead(reason="modelunavailable")

    assert (100, 5_000) == (few.done, run.done)
    assert 60 > time.monotonic() - started
    assert [("queued", 5_000, 0)] == world.query(
        "SELECT state, count(*), max(attempts) FROM transcripts WHERE turn_at IS NOT NULL"
        " GROUP BY state"
    )
    # Users stand side by side, each with a hundred turns.
    assert [(50, 100)] == world.query(
        "SELECT count(*), max(turns) FROM"
        " (SELECT count(DISTINCT turn_at) AS turns FROM transcripts GROUP BY user_id) AS users"
    )
    world.query("UPDATE transcripts SET state = 'dead', finished_at = now() RETURNING 1")
    assert 5_000 == world.client.drop_dead().done
    assert [(0,)] == world.query("SELECT count(*) FROM transcripts")


def test_order_without_receipts_or_with_both_is_refused(world: World, shell: Shell) -> None:
    """Nothing is deleted by leaving something out."""
    for words in (("drop",), ("drop", "x", "--all"), ("replay", "x", "--user", "alice")):
        assert isinstance(shell.run(*words).exception, InputError)
    with pytest.raises(Refused):
        world.client.drop_dead(["no-receipt"])
    with pytest.raises(Refused):
        world.client.drop_dead(since="soon")


def test_dead_letters_of_another_tenant_are_out_of_reach(world: World, shell: Shell) -> None:
    """By list, receipt and filter."""
    receipt = kill(world)
    shell.env["MEMSTILL_TENANT"] = "other"

    assert [] == shell.read("list")
    for order in ("replay", "drop"):
        assert 0 == shell.read(order, "--all")["done"]
        assert {"unknown": 1} == shell.read(order, receipt)["others"]
    assert "dead" == world.client.status(receipt).state


def test_copy_that_a_generation_could_not_distill_is_replayed_while_it_is_a_shadow(
    world: World, shell: Shell
) -> None:
    """It shows where it is asked for; once its generation took over without it, it stays."""
    one = world.tell("I live in Oslo.", day=5)
    two = world.tell("I live in Rome.", day=6)
    for city in ("Oslo", "Rome"):
        world.endpoint.fail_on(f"{city}.", script.completion(NONSENSE))
    world.client.redistill("2026-03-02", prompt="v2")
    while world.client.generation().sessions != {"dead": 2}:
        world.work_at_once()
    world.endpoint.heal()

    assert [] == shell.read("list")
    letters = {letter["copy_of"]: letter["receipt"] for letter in shell.read("list", "--shadow")}
    assert {one, two} == letters.keys()
    assert {"held": 1} == shell.read("drop", letters[one])["kept"]
    assert 1 == shell.read("replay", letters[one])["done"]
    world.work()
    assert {"dead": 1, "done": 1} == world.client.generation().sessions

    world.client.switch_generation()
    world.settle()

    assert {"held": 1} == shell.read("replay", letters[two])["kept"]
    assert ["Alice live in Oslo.", "I live in Rome."] == world.told()


def test_asynchronous_client_does_the_same(world: World) -> None:
    """List, show, replay, drop."""
    receipt = kill(world)
    settings = world.container.settings
    url = f"http://{settings.api_host}:{settings.api_port}"

    async def look() -> tuple[list[str], str, int, int]:
        async with AsyncMemstill(api_url=url, redis_url="", tenant_id="acme") as client:
            listed = [str(letter.receipt) async for letter in client.dead_letters(user_id="alice")]
            shown = (await client.dead_letter(receipt)).replies[0].text
            would = (await client.replay_dead([receipt], dry_run=True)).done
            dropped = (await client.drop_dead(error="badreply")).done
        return listed, shown, would, dropped

    assert ([receipt], NONSENSE, 1, 1) == asyncio.run(look())
