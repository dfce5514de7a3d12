"""Counting what was paid twice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from pipelines.adapters.openai_chat import make_body
from pipelines.adapters.paid_chat import request_hash
from pipelines.model import Owner
from pipelines.ports import ChatRequest, PaidFor, Purpose
from tests.chaos.endpoint import Answered
from tests.chaos.payments import Payments, count_payments
from tests.chaos.sessions import TENANT

if TYPE_CHECKING:
    from tests.chaos.endpoint import BadDayEndpoint
    from tests.chaos.truth import Row

USERS = ["anna", "bela"]
ASKED = ChatRequest("system", "question", "schema", {"type": "object"})
REPAIRED = ChatRequest(
    "system", "question", "schema", {"type": "object"}, (("", "empty"), ("{}", "no facts"))
)


class Store:
    """What the database would answer: replies that were stored at second 10."""

    def __init__(self, *requests: ChatRequest, booked: int | None = None) -> None:
        self._replies = [
            {"request_hash": _hash(request, "bela"), "kept_at": 10.0} for request in requests
        ]
        self._booked = len(requests) if booked is None else booked

    def rows(self, query: str) -> list[Row]:
        return [{"calls": self._booked}] if "ledger" in query else self._replies


def _hash(request: ChatRequest, user: str) -> str:
    return request_hash("model", request, PaidFor(Owner(TENANT, user), Purpose.DISTILL))


def answering(*arrivals: float, request: ChatRequest = ASKED) -> BadDayEndpoint:
    """An endpoint that answered a request that arrived at these seconds."""
    answered = [Answered("key", "worker-0", at) for at in arrivals]
    bodies: dict[str, Any] = {"key": make_body("model", request)}
    return cast("BadDayEndpoint", SimpleNamespace(answered=answered, bodies=bodies))


@pytest.mark.parametrize("request_", [ASKED, REPAIRED], ids=["first", "repaired"])
def test_payments_find_the_reply_to_a_request(request_: ChatRequest) -> None:
    """What was sent leads to the row that was stored for it, repairs and all."""
    paid = count_payments(answering(9.0, request=request_), Store(request_), USERS, {})

    assert Payments(1, 1, 1, unkept=0, raced=0, overtaken=()) == paid
    assert [] == paid.problems


def test_payments_tell_a_lost_answer_from_one_that_was_stored_already() -> None:
    """A second answer is forgiven before the first reply was stored, and never after."""
    raced = count_payments(answering(8.0, 9.0), Store(ASKED), USERS, {})
    unkept = count_payments(answering(8.0, 9.0), Store(), USERS, {})
    overtaken = count_payments(answering(8.0, 11.0), Store(ASKED), USERS, {"worker-0": [10.5]})

    assert (1, 0, []) == (raced.raced, raced.unkept, raced.problems)
    assert (0, 2, []) == (unkept.raced, unkept.unkept, unkept.problems)
    assert (0, 0) == (overtaken.raced, overtaken.unkept)
    assert [
        (
            "paid again although the reply was stored: "
            "by worker-0 1.00 s after, 0.50 s after its last thaw"
        )
    ] == overtaken.problems


def test_payments_name_a_ledger_that_differs() -> None:
    """Booked twice for one reply is found, whatever the endpoint saw."""
    assert ["2 calls are booked for 1 stored replies"] == (
        count_payments(answering(9.0), Store(ASKED, booked=2), USERS, {}).problems
    )
