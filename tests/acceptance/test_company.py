"""Sessions of one user that share a model call, with real workers that are really killed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipelines.adapters.postgres import PostgresInbox
from pipelines.model import Owner, TranscriptState
from tests import endpoint as script
from tests.acceptance.deployment import wait_until
from tests.builders import day, make_transcript

if TYPE_CHECKING:
    from memstill_client import Receipt
    from pipelines.model import ReceiptId
    from pipelines.ports import Status
    from tests.acceptance.deployment import Deployment
    from tests.endpoint import ScriptedEndpoint

ALICE = Owner("default", "alice")
CITIES = ("Oslo", "Riga", "Bern", "Rome")


def leave_waiting(deployment: Deployment, *said: str) -> list[ReceiptId]:
    """Sessions that lie in the inbox and of which no worker was told, the oldest first."""
    transcripts = [
        make_transcript(text, owner=ALICE, session=f"s{number}", at=day(number))
        for number, text in enumerate(said)
    ]
    answers = PostgresInbox(deployment.database).accept(transcripts, datetime.now(UTC))
    return [answer.receipt for answer in answers]


def push(deployment: Deployment, text: str) -> Receipt:
    """One more session, whose wake-up a worker gets."""
    with deployment.client() as client:
        return client.enqueue(
            {
                "schema_version": 1,
                "user_id": "alice",
                "session_id": "last",
                "started_at": "2026-05-02T09:00:00Z",
                "messages": [{"role": "user", "content": text}],
            }
        )


def wait_final(deployment: Deployment, receipts: list[ReceiptId]) -> list[Status]:
    inbox = PostgresInbox(deployment.database)
    wait_until(lambda: set(inbox.states("default", receipts)) <= {"done", "dead"}, "all are final")
    return [inbox.status("default", receipt) for receipt in receipts]


def test_shared_reply_is_not_paid_again_when_the_worker_dies_after_it(
    modelled: Deployment, endpoint: ScriptedEndpoint
) -> None:
    """One call for five sessions; killed before any is committed, no second one is made."""
    modelled.env |= {"MEMSTILL_DISTILL_LEASE_SECONDS": "3"}
    waiting = leave_waiting(modelled, *(f"I have been to {city}." for city in CITIES))
    with modelled.database.transaction() as connection:
        # Holds up the commit of the facts, after the reply was stored.
        connection.exec_driver_sql("LOCK TABLE facts IN ACCESS EXCLUSIVE MODE")
        doomed = modelled.start_worker()
        last = push(modelled, "I have been to Lima.")
        wait_until(
            lambda: modelled.query("SELECT cardinality(receipts) FROM replies") == [(5,)],
            "the reply for all five is stored",
        )
        modelled.kill(doomed)
    # It would fit into the same call, but the paid one is found by those that it was paid for.
    waiting += leave_waiting(modelled, "I have been to Cairo.")
    modelled.start_beat()
    modelled.start_worker()

    statuses = [*wait_final(modelled, waiting), *modelled.wait_final(last)]

    assert [TranscriptState.DONE] * 6 == [status.state for status in statuses]
    said = {f"I have been to {city}." for city in (*CITIES, "Lima", "Cairo")}
    memories = modelled.memories("alice")
    assert (said, 6) == ({memory.statement for memory in memories}, len(memories))
    assert [5, 1] == [len({line["session"] for line in it.lines}) for it in endpoint.chat_calls]


def test_poisonous_session_does_not_take_its_company_down(
    modelled: Deployment, endpoint: ScriptedEndpoint
) -> None:
    """The shared call fails for good: every other session is done at its first attempt."""
    waiting = leave_waiting(modelled, *(f"I have been to {city}." for city in CITIES))
    endpoint.fail_on("poison", script.completion("no JSON"))
    modelled.start_worker()
    poison = push(modelled, "This one is poison.")
    modelled.start_beat()

    statuses = wait_final(modelled, waiting)

    assert [(TranscriptState.DONE, 1)] * 4 == [(it.state, it.attempts) for it in statuses]
    (dead,) = modelled.wait_final(poison)
    assert (TranscriptState.DEAD, "BadReply") == (dead.state, dead.reason)
