"""Distilling again on real workers that are really killed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipelines.adapters.postgres import PostgresGenerations, PostgresInbox, PostgresMemoryStore
from pipelines.adapters.prompts import load_prompt
from pipelines.flows.redistill import Redistill
from pipelines.model import MemoryState, Owner
from pipelines.ports import Recipe
from pipelines.testing.surroundings import RecordingWaker
from tests.acceptance.deployment import wait_until
from tests.builders import day, make_transcript
from workers.clock import SystemClock

if TYPE_CHECKING:
    from tests.acceptance.deployment import Deployment
    from tests.endpoint import ScriptedEndpoint

USERS, SESSIONS = 4, 6


def tell(deployment: Deployment) -> None:
    """Sessions of several users, all distilled and merged."""
    sessions = [
        make_transcript(
            f"I have been to city{number}of{user}.",
            owner=Owner("default", f"user{user}"),
            session=f"s{number}",
            at=day(number),
        )
        for user in range(USERS)
        for number in range(SESSIONS)
    ]
    inbox = PostgresInbox(deployment.database)
    receipts = [item.receipt for item in inbox.accept(sessions, datetime.now(UTC))]
    wait_until(lambda: set(inbox.states("default", receipts)) == {"done"}, "all are done")


def outline(deployment: Deployment) -> list[tuple[str, str, int]]:
    """What each user knows: statements and how much they rest on."""
    return sorted(
        (memory.owner.user_id, memory.statement, len(memory.evidence))
        for user in range(USERS)
        for memory in deployment.memories(f"user{user}")
        if memory.state is MemoryState.ACTIVE
    )


def test_generation_gets_through_though_workers_are_killed_on_the_way(
    modelled: Deployment, endpoint: ScriptedEndpoint
) -> None:
    """Killed while copying, distilling, switching and dropping: nothing lost, nothing twice."""
    modelled.env |= {
        **{f"MEMSTILL_{work}_LEASE_SECONDS": "3" for work in ("DISTILL", "CONSOLIDATE", "PROJECT")},
        "MEMSTILL_VERBATIM": "off",
    }
    modelled.start_beat()
    worker = modelled.start_worker()
    tell(modelled)
    before = outline(modelled)
    flow = Redistill(
        PostgresGenerations(modelled.database),
        PostgresMemoryStore(modelled.database),
        RecordingWaker(),
        SystemClock(),
    )
    prompt = load_prompt("distill", "v1")
    recipe = Recipe("model", "another-model", "v1", prompt.text)

    flow.start("default", recipe, day(0))
    paid = len(endpoint.chat_calls)
    wait_until(lambda: len(endpoint.chat_calls) > paid, "the generation is being distilled")
    modelled.kill(worker)
    worker = modelled.start_worker()
    wait_until(lambda: flow.read_progress("default").is_settled, "the shadow is whole")
    assert before == outline(modelled)

    flow.switch("default")
    wait_until(
        lambda: bool(modelled.query("SELECT 1 FROM generation_users WHERE step <> 'shadow'")),
        "the switch has begun",
    )
    modelled.kill(worker)
    worker = modelled.start_worker()
    wait_until(lambda: flow.read_progress("default").is_settled, "all are switched")

    assert before == outline(modelled)
    assert {"another-model"} == {
        call.body["model"] for call in endpoint.chat_calls[paid:] if not call.is_judgement
    }
    flow.drop("default")
    modelled.kill(worker)
    modelled.start_worker()
    wait_until(lambda: not modelled.query("SELECT 1 FROM generations"), "it is dropped")
    wait_until(lambda: not modelled.query("SELECT 1 FROM outbox"), "the index knows")
    assert before == outline(modelled)
    assert len(before) == modelled.query("SELECT count(*) FROM memories")[0][0]
