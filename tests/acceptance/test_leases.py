"""Workers that die or freeze over their work: nobody else suffers, and nothing is written late."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from pipelines.model import TranscriptState
from tests.acceptance.deployment import wait_until
from tests.acceptance.test_road import session
from tests.endpoint import FactDict, Line, ScriptedEndpoint, facts_of_user_messages, hang

if TYPE_CHECKING:
    from tests.acceptance.deployment import Deployment


def test_transcript_that_kills_its_worker_three_times_is_a_dead_letter_and_no_other(
    modelled: Deployment,
) -> None:
    """Whoever was in its company is done in the end, however often that company died."""
    kills: list[int] = []

    def fatal(lines: list[Line]) -> list[FactDict]:
        if any("poison" in line["content"] for line in lines):
            running = [process for process in modelled.processes[1:] if process.poll() is None]
            kills.extend(process.pid for process in running)
            for process in running:
                modelled.kill(process)
        return facts_of_user_messages(lines)

    with ScriptedEndpoint(fatal) as endpoint, modelled.client() as client:
        modelled.env |= {
            "MEMSTILL_MODEL_BASE_URL": endpoint.base_url,
            "MEMSTILL_DISTILL_LEASE_SECONDS": "2",
        }
        modelled.start_beat()
        modelled.start_worker()
        good = [
            client.enqueue(session(f"good-{n}", f"I have {n} cats.", user=f"user-{n}"))
            for n in range(12)
        ]
        bad = client.enqueue(session("bad", "This one is poison."))

        def is_over() -> bool:
            if modelled.processes[-1].poll() is not None:
                modelled.start_worker()
            return (found := modelled.status(bad)) is not None and found.state.value == "dead"

        wait_until(is_over, "the poison is a dead letter")
        dead, *others = modelled.wait_final(bad, *good)

    assert ("killed_its_worker", 3) == (dead.reason, len(kills))
    assert "3 times" in str(dead.last_error)
    assert {TranscriptState.DONE} == {status.state for status in others}


def test_worker_that_was_frozen_in_a_model_call_writes_nothing_late(
    modelled: Deployment, endpoint: ScriptedEndpoint
) -> None:
    """When it thaws the fence has moved on: the facts are those of the worker that took over."""
    modelled.env |= {"MEMSTILL_DISTILL_LEASE_SECONDS": "3", "MEMSTILL_MODEL_TIMEOUT_SECONDS": "20"}
    modelled.start_beat()
    frozen = modelled.start_worker()
    endpoint.fail_on("Lisbon", hang(60))
    with modelled.client() as client:
        receipt = client.enqueue(session("s1", "I live in Lisbon."))
        wait_until(lambda: bool(endpoint.chat_calls), "the model is being asked")
        ((first_fence,),) = modelled.query("SELECT fence - 1 FROM transcripts")
        os.kill(frozen.pid, signal.SIGSTOP)
        endpoint.heal()
        other = modelled.start_worker()
        (status,) = modelled.wait_final(receipt)
        row = "SELECT state, fence, attempts, deaths, finished_at FROM transcripts"
        ((state, fence, attempts, deaths, finished_at),) = modelled.query(row)
        assert ("done", first_fence + 2, 2, 1) == (state, fence, attempts, deaths)
        facts = modelled.query("SELECT id, xmin FROM facts ORDER BY id")
        modelled.kill(other)
        endpoint.release()
        os.kill(frozen.pid, signal.SIGCONT)
        wait_until(lambda: b"lease_lost" in modelled.log_of(frozen), "its late commit is refused")

    assert TranscriptState.DONE is status.state
    assert [("done", fence, attempts, deaths, finished_at)] == modelled.query(row)
    assert facts == modelled.query("SELECT id, xmin FROM facts ORDER BY id")
    assert ["I live in Lisbon."] == [memory.statement for memory in modelled.memories("alice")]
