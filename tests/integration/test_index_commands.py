"""``memstill reconcile`` and ``memstill reindex`` over the API, and what they say of the queue."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import redis
from pydantic import SecretStr
from typer.testing import CliRunner

from config.settings import Settings
from memstill_client.wire import stream_key
from pipelines.errors import QueueUnavailable
from pipelines.model import Owner
from tests.acceptance.deployment import free_port, wait_until
from workers.api import make_server
from workers.app import make_app
from workers.cli import app
from workers.container import Container, open_container
from workers.embedded.children import is_listening
from workers.intake import GROUP, make_intake
from workers.queue_check import check_queue

if TYPE_CHECKING:
    from collections.abc import Iterator

ALICE = Owner("default", "alice")
SESSION = {
    "schema_version": 1,
    "user_id": "alice",
    "session_id": "s1",
    "started_at": "2026-03-02T09:00:00Z",
    "messages": [{"role": "user", "content": "I live in Berlin. I like green tea."}],
}


@pytest.fixture
def container(database_url: str, redis_url: str, key_prefix: str) -> Iterator[Container]:
    settings = Settings(
        database_url=database_url,
        redis_url=redis_url,
        key_prefix=key_prefix,
        index_url="pgvector",
        api_port=free_port(),
    )
    opened = open_container(settings, make_app(settings))
    yield opened
    opened.close()


@pytest.fixture
def api_url(container: Container) -> Iterator[str]:
    server = make_server(container)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    port = container.settings.api_port
    wait_until(lambda: is_listening("127.0.0.1", port), "the API listens")
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive()


def push(container: Container) -> None:
    with redis.Redis.from_url(container.settings.redis_url.get_secret_value()) as client:
        client.xadd(stream_key(container.settings.key_prefix), {"transcript": json.dumps(SESSION)})


def work(container: Container) -> None:
    """What workers would do with what lies due."""
    table, clock = container.sweep.work, container.sweep.clock
    for receipt in table.find_due(clock.now(), 10).transcripts:
        container.distill.run(receipt)
    for owner in table.find_due(clock.now(), 10).owners:
        container.consolidate.run(owner)
    container.project.run()


def run(api_url: str, *words: str) -> tuple[int, Any]:
    done = CliRunner().invoke(app, [*words, "--json", "--api", api_url])
    # The server logs into the same stream, before.
    return done.exit_code, json.loads(done.stdout[done.stdout.index("{\n") :])


def test_commands_find_mend_and_build_anew(container: Container, api_url: str) -> None:
    """A lost index ends with 1, is mended on demand, and can be built anew without a gap."""
    push(container)
    intake = make_intake(container)
    intake.prepare()
    intake.read_once()
    work(container)
    count = container.index.count(ALICE)
    assert count >= 2
    container.index.remove_owner(ALICE)

    code, found = run(api_url, "reconcile")
    assert (1, {"missing": count}, 0) == (code, found["found"], found["repaired"])
    assert count == len(found["examples"]["missing"])

    code, found = run(api_url, "reconcile", "--repair")
    assert (0, count) == (code, found["repaired"])
    container.project.run()
    code, found = run(api_url, "reconcile")
    assert (0, {}, count) == (code, found["found"], found["compared"])

    code, found = run(api_url, "reindex")
    assert (0, "switched", count) == (code, found["state"], found["compared"])
    assert count == container.index.count(ALICE)
    assert "switched" == run(api_url, "reindex", "--cancel")[1]["state"]
    for words in (["reconcile"], ["reindex"]):
        shown = CliRunner().invoke(app, [*words, "--api", api_url])
        assert 0 == shown.exit_code
        assert f"{count} memories" in shown.stdout


def test_check_finds_what_a_dead_consumer_had_read_and_takes_it_over(container: Container) -> None:
    """An entry that nobody gets done is reported, and ends in the inbox when it is repaired."""
    key = stream_key(container.settings.key_prefix)
    push(container)
    make_intake(container).prepare()
    with redis.Redis.from_url(container.settings.redis_url.get_secret_value()) as client:
        client.xreadgroup(GROUP, "dead", {key: ">"})
        assert (1, 0) == _stream(container)
        (entry,) = client.xpending_range(key, GROUP, "-", "+", 5)
        client.xclaim(key, GROUP, "dead", 0, [entry["message_id"]], idle=3_600_000)

        assert (1, 1) == _stream(container)
        check_queue(container, repairs=True)

        assert (0, 0) == _stream(container)
    after = check_queue(container, repairs=False)
    assert 1 == after.due["distill"]
    assert after.woken["distill"] >= 1


def _stream(container: Container) -> tuple[int, int]:
    found = check_queue(container, repairs=False)
    return found.entries, found.stranded


def test_check_says_so_when_redis_is_away(container: Container) -> None:
    """What cannot be looked at is an outage of Redis, not a difference."""
    settings = container.settings.model_copy(
        update={"redis_url": SecretStr("redis://127.0.0.1:1/0")}
    )
    moved = replace(container, ground=replace(container.ground, settings=settings))
    with pytest.raises(QueueUnavailable):
        check_queue(moved, repairs=False)
