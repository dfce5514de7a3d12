"""What the API hands out at ``/metrics``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from prometheus_client import generate_latest
from typer.testing import CliRunner

from config.settings import Settings
from pipelines.errors import ConfigurationError, ModelUnavailable
from pipelines.stages.keys import KeyScope
from tests.acceptance.deployment import free_port
from tests.conftest import copied_database
from tests.integration.serving import Served, serve, session
from workers.cli import app
from workers.metrics import stored
from workers.metrics.handing_out import make_registry
from workers.metrics.reading import Look, read_look

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.embedded.postgres import PostgresServer
    from workers.embedded.redis import RedisServer


@pytest.fixture(scope="module")
def served(
    postgres_server: PostgresServer, template_database: str, redis_server: RedisServer
) -> Iterator[Served]:
    with (
        copied_database(postgres_server, template_database) as url,
        serve(url, redis_server.url, "metrics", "keys") as opened,
    ):
        yield opened


def look(served: Served) -> Look:
    answer = served.ask(served.make_key(), "GET", "/metrics")
    assert 200 == answer.status_code, answer.text
    assert answer.headers["Content-Type"].startswith("text/plain")
    return read_look([answer.text])


def test_metrics_count_what_becomes_of_sessions_facts_and_memories(served: Served) -> None:
    """Pushed twice it is a duplicate; what is said again reinforces, what changes supersedes."""
    key, before = served.make_key(), look(served)
    told = session("alice", "I live in Oslo.", name="s1")
    for pushed in (
        told,
        told,
        session("alice", "I live in Oslo.", name="s2", started_at="2026-03-03T09:00:00Z"),
        session("alice", "I live in Porto.", name="s3", started_at="2026-03-04T09:00:00Z"),
    ):
        served.ask(key, "POST", "/v1/transcripts", json=pushed)
    served.work()
    after = look(served)

    def more(name: str, **labels: str) -> float:
        return after.sum(name, **labels) - before.sum(name, **labels)

    assert 3 == more("memstill_transcripts_total", outcome="accepted")
    assert 1 == more("memstill_transcripts_total", outcome="duplicate")
    assert 3 == more("memstill_transcripts_total", outcome="distilled")
    assert 3 == more("memstill_facts_total")
    assert 2 == more("memstill_facts_settled_total", outcome="inserted")
    assert 1 == more("memstill_facts_settled_total", outcome="reinforced")
    assert 2 == more("memstill_memory_changes_total", change="insert")
    assert 1 == more("memstill_memories_superseded_total")
    assert 4 == more("memstill_stage_seconds_count", stage="ingest", outcome="done")
    assert 4 == more("memstill_http_request_seconds_count", route="/v1/transcripts", status="2xx")
    assert 0 < more("memstill_dependency_seconds_count", dependency="index", outcome="answered")


def test_metrics_tell_an_agent_that_goes_on_from_its_checkpoint(served: Served) -> None:
    """A save is timed, and a load is a recovery."""
    key, before = served.make_key(), look(served)
    thread = {"user_id": "alice", "thread_id": "t1"}
    served.ask(key, "POST", "/v1/checkpoints", json={**thread, "state": {"cart": ["tea"]}})
    served.ask(key, "GET", "/v1/checkpoints:latest", params=thread)
    after = look(served)

    saves, recoveries = "agent_checkpoint_save_seconds_count", "agent_recovery_total"
    assert 1 == after.sum(saves) - before.sum(saves)
    of = {"recovery_type": "checkpoint"}
    assert 1 == after.sum(recoveries, **of) - before.sum(recoveries, **of)


def test_metrics_tell_a_server_that_counts_as_away(served: Served) -> None:
    """Until it answers again."""
    breaker = served.container.breakers.of("model m", ModelUnavailable)
    assert 0 == look(served).sum("memstill_breaker_open", dependency="model m")

    for _ in range(10):
        if breaker.circuit.is_open:
            break
        with pytest.raises(ModelUnavailable), breaker.asking():
            raise ModelUnavailable("away")

    found = look(served)
    assert 1 == found.sum("memstill_breaker_open", dependency="model m")
    assert 0 < found.sum("memstill_dependency_seconds_count", dependency="model m", outcome="away")


def test_metrics_name_no_tenant_no_user_and_nothing_said(served: Served) -> None:
    """Whoever watches the process is no reader of memories."""
    key = served.make_key("secretive-tenant")
    pushed = session("secretive-user", "I live in Ulaanbaatar.", name="secretive-session")
    receipt = served.ask(key, "POST", "/v1/transcripts", json=pushed).json()["receipt"]
    served.work()
    served.ask(key, "GET", f"/v1/transcripts/{receipt}")
    served.ask(key, "GET", "/v1/secretive-path")
    served.ask(key, "PATCH", "/v1/profiles/secretive-user", json={})

    told = served.ask(served.make_key(), "GET", "/metrics").text

    assert all(word not in told for word in ("secretive", "Ulaanbaatar", receipt))


def test_metrics_open_to_operators_alone(served: Served) -> None:
    """They tell what all tenants together do, and spend."""
    everybody_else = served.make_key("acme", KeyScope.READ, KeyScope.WRITE, KeyScope.ADMIN)

    assert 403 == served.ask(everybody_else, "GET", "/metrics").status_code
    assert 401 == served.ask(None, "GET", "/metrics").status_code


def test_stored_figures_are_all_there_when_servers_answer(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that are nought."""
    monkeypatch.setattr(stored, "CACHE_SECONDS", -1)
    served.ask(served.make_key(), "POST", "/v1/jobs/sweep:run")
    found = look(served)

    # Memories are told by scope: where there are none, there is no scope.
    assert set(stored.GAUGES) - {"agent_memory_entries_total"} <= found.names
    assert ["backfill", "consolidate", "distill", "project"] == found.values_of(
        "memstill_queue_due", "queue"
    )
    assert 2 == found.sum("memstill_server_up")


def test_metrics_are_told_when_no_server_answers() -> None:
    """What a process knows of itself is never held up by what it cannot ask."""
    nowhere = f"127.0.0.1:{free_port()}"
    settings = Settings.model_validate(
        {"database_url": f"postgresql://x@{nowhere}/x", "redis_url": f"redis://{nowhere}/0"}
    )

    found = read_look([generate_latest(make_registry(settings, with_stored=True)).decode()])

    assert ["postgresql", "redis"] == found.values_of("memstill_server_up", "server")
    assert 0 == found.sum("memstill_server_up")
    assert "memstill_queue_age_seconds" not in found.names
    assert "process_cpu_seconds_total" in found.names


def test_top_shows_queues_when_it_has_the_key_of_an_operator(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one it says what is missing."""
    command = ["top", "--json", "--interval", "0.2", "--api", served.url]
    monkeypatch.setenv("MEMSTILL_API_KEY", served.make_key().text)
    shown = CliRunner().invoke(app, command)
    assert {"due": 0, "held": 0, "oldest_seconds": 0.0} == json.loads(shown.stdout)["queues"][
        "backfill"
    ]

    monkeypatch.setenv("MEMSTILL_API_KEY", served.make_key("acme", KeyScope.READ).text)
    with pytest.raises(ConfigurationError, match="scope `operate`"):
        CliRunner().invoke(app, command, catch_exceptions=False)


def test_top_says_what_to_check_when_nobody_answers() -> None:
    """The address that it asked."""
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ConfigurationError, match=f"nobody answers at {url}/metrics"):
        CliRunner().invoke(app, ["top", "--once", "--api", url], catch_exceptions=False)
