"""The whole road, with real workers that are really killed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.model import MemoryState, TranscriptState
from tests import endpoint as script
from tests.acceptance.deployment import free_port, wait_until
from tests.scraping import look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.ports import Status
    from tests.acceptance.deployment import Deployment
    from tests.endpoint import ScriptedEndpoint


def session(name: str, *said: str, user: str = "alice", at: str = "2026-03-02") -> dict[str, Any]:
    return {
        "schema_version": 1,
        "user_id": user,
        "session_id": name,
        "started_at": f"{at}T09:00:00Z",
        "messages": [{"role": "user", "content": text} for text in said],
    }


def outcome(statuses: Sequence[Status]) -> list[str]:
    return [status.state.value for status in statuses]


def test_ten_concurrent_enqueues_of_one_transcript_leave_one_set_of_memories(
    deployment: Deployment,
) -> None:
    """The same push, ten times at once over the Stream, is one session with one effect."""
    ports = [free_port(), free_port()]
    for port in ports:
        deployment.env["MEMSTILL_METRICS_PORT"] = str(port)
        deployment.start_worker()
    pushed = session("s1", "I live in Berlin.", "I prefer short answers.")

    with deployment.client() as client, ThreadPoolExecutor(10) as pool:
        receipts = list(pool.map(lambda _: client.enqueue(pushed), range(10)))

    assert 1 == len({receipt.id for receipt in receipts})
    (status,) = deployment.wait_final(receipts[0])
    assert TranscriptState.DONE is status.state
    assert [(1,)] == deployment.query("SELECT count(*) FROM transcripts")
    memories = deployment.memories("alice")
    assert len(status.facts) == len(memories) >= 2
    assert [1] * len(memories) == [len(memory.evidence) for memory in memories]

    def count(outcome: str) -> float:
        return sum(look(port).sum("memstill_transcripts_total", outcome=outcome) for port in ports)

    assert [1, 9, 1] == [count(outcome) for outcome in ("accepted", "duplicate", "distilled")]


def test_session_ends_once_when_its_worker_is_killed_mid_distill(
    modelled: Deployment, endpoint: ScriptedEndpoint
) -> None:
    """SIGKILL during the model call: another worker finishes the session, exactly once."""
    modelled.env |= {"MEMSTILL_DISTILL_LEASE_SECONDS": "3", "MEMSTILL_MODEL_TIMEOUT_SECONDS": "20"}
    modelled.start_beat()
    doomed = modelled.start_worker()
    endpoint.fail_on("Lisbon", script.hang(60))
    with modelled.client() as client:
        receipt = client.enqueue(session("s1", "I live in Lisbon."))
        wait_until(lambda: bool(endpoint.chat_calls), "the model is being asked")

        modelled.kill(doomed)
        endpoint.heal()
        modelled.start_worker()
        (status,) = modelled.wait_final(receipt)

    assert (TranscriptState.DONE, 2) == (status.state, status.attempts)
    assert {"inserted": 1} == status.counts
    assert ["I live in Lisbon."] == [memory.statement for memory in modelled.memories("alice")]
    assert 2 == len(endpoint.chat_calls)


def test_stored_reply_is_not_paid_again_when_the_worker_dies_after_it(
    modelled: Deployment, endpoint: ScriptedEndpoint
) -> None:
    """A worker that dies between reply and commit costs no second model call."""
    modelled.env |= {"MEMSTILL_DISTILL_LEASE_SECONDS": "3"}
    modelled.start_beat()
    modelled.query("SELECT 1")
    with modelled.database.transaction() as connection, modelled.client() as client:
        # Holds up the commit of the facts, after the reply was stored.
        connection.exec_driver_sql("LOCK TABLE facts IN ACCESS EXCLUSIVE MODE")
        doomed = modelled.start_worker()
        receipt = client.enqueue(session("s1", "I live in Lisbon."))
        wait_until(
            lambda: modelled.query("SELECT count(*) FROM replies") == [(1,)], "a reply is stored"
        )
        modelled.kill(doomed)
    modelled.start_worker()

    (status,) = modelled.wait_final(receipt)

    assert (TranscriptState.DONE, {"inserted": 1}) == (status.state, status.counts)
    assert 1 == len(endpoint.chat_calls)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (script.status(500), "ModelUnavailable"),
        (script.garbage(), "BadReply"),
        (script.hang(5), "ModelUnavailable"),
    ],
    ids=["500", "garbage", "silence"],
)
def test_failing_model_ends_in_a_dead_letter_while_the_others_go_on(
    modelled: Deployment, endpoint: ScriptedEndpoint, fault: script.Scripted, reason: str
) -> None:
    """A session whose calls always fail is retried, then kept with the reason; others pass."""
    modelled.start_beat()
    modelled.start_worker()
    endpoint.fail_on("poison", fault)
    with modelled.client() as client:
        bad = client.enqueue(session("bad", "This one is poison."))
        good = [
            client.enqueue(session(f"good-{n}", f"I have {n} cats.", user=f"user-{n}"))
            for n in range(5)
        ]
        statuses = modelled.wait_final(bad, *good)

    assert ["dead", *["done"] * 5] == outcome(statuses)
    dead = statuses[0]
    assert dead.reason == reason
    assert dead.last_error
    assert 2 <= dead.attempts <= 3
    poisoned = [call for call in endpoint.chat_calls if "poison" in str(call.body)]
    assert len(poisoned) >= dead.attempts


def test_model_that_recovers_leaves_no_dead_letter(
    modelled: Deployment, endpoint: ScriptedEndpoint
) -> None:
    """A fault that passes costs time and nothing else."""
    modelled.start_beat()
    modelled.start_worker()
    endpoint.fail_on("Lisbon", script.status(503))
    with modelled.client() as client:
        receipt = client.enqueue(session("s1", "I live in Lisbon."))
        wait_until(lambda: bool(endpoint.chat_calls), "the model is being asked")
        endpoint.heal()
        (status,) = modelled.wait_final(receipt)

    assert TranscriptState.DONE is status.state


def test_lost_wake_up_is_made_good_by_the_sweep(deployment: Deployment) -> None:
    """Rows without any message are found: the message is only a wake-up."""
    with deployment.client() as client:
        worker = deployment.start_worker()
        first = client.enqueue(session("s1", "I live in Berlin."))
        deployment.wait_final(first)
        deployment.kill(worker)
    deployment.query(
        "UPDATE transcripts SET state = 'queued', lease_until = NULL, finished_at = NULL"
        " RETURNING 1"
    )
    deployment.query("DELETE FROM facts RETURNING 1")

    deployment.start_beat()
    deployment.start_worker()

    (status,) = deployment.wait_final(first)
    assert TranscriptState.DONE is status.state


def test_sessions_that_finish_together_are_consolidated_in_event_order(
    deployment: Deployment,
) -> None:
    """Pushed newest first, on two workers: the newest city is current, the others history."""
    cities = ["Berlin", "Lisbon", "Oslo", "Madrid"]
    months = ["2026-01-05", "2026-02-05", "2026-03-05", "2026-04-05"]
    deployment.start_worker()
    deployment.start_worker()
    deployment.start_beat()
    with deployment.client() as client:
        receipts = client.enqueue_many(
            session(f"s-{city}", f"I live in {city}.", at=month)
            for city, month in reversed(list(zip(cities, months, strict=True)))
        )
        deployment.wait_final(*receipts)

    memories = sorted(deployment.memories("alice"), key=lambda memory: memory.valid_from)
    assert cities == [memory.value for memory in memories]
    assert [*[MemoryState.SUPERSEDED] * 3, MemoryState.ACTIVE] == [m.state for m in memories]
    assert [memory.id for memory in memories[1:]] == [m.superseded_by for m in memories[:-1]]


def test_unreadable_stream_entry_is_a_dead_letter_and_holds_nothing_up(
    deployment: Deployment,
) -> None:
    """Garbage from another language is kept with field and reason; the next entry passes."""
    import redis

    deployment.start_worker()
    with redis.Redis.from_url(deployment.env["MEMSTILL_REDIS_URL"]) as raw:
        key = f"{deployment.env['MEMSTILL_KEY_PREFIX']}:transcripts"
        raw.xadd(key, {"transcript": '{"schema_version": 9, "user_id": "a"}'})
        with deployment.client() as client:
            receipt = client.enqueue(session("s1", "I live in Berlin."))
        (status,) = deployment.wait_final(receipt)
        wait_until(lambda: raw.xlen(key) == 0, "the Stream is empty")

    assert TranscriptState.DONE is status.state
    ((reason,),) = deployment.query("SELECT reason FROM transcripts WHERE state = 'dead'")
    assert "schema_version" in reason
