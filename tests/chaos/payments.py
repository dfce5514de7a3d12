"""Whether a model was paid twice: what it answered against what was stored and booked."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.adapters.paid_chat import request_hash
from pipelines.model import Owner
from pipelines.ports import ChatRequest, PaidFor, Purpose
from tests.chaos.sessions import TENANT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from tests.chaos.endpoint import Answered, BadDayEndpoint
    from tests.chaos.truth import Reader

_REPLIES = """
SELECT request_hash, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 AS kept_at
FROM replies
"""
_BOOKED = "SELECT coalesce(sum(calls), 0)::int AS calls FROM ledger"
_ASKED_AGAIN = ("Your answer could not be used. ", "\nAnswer again, in full.")


@dataclass(frozen=True, slots=True)
class Payments:
    """What was paid.

    Attributes:
        answered: Whole answers that went out.
        replies: Stored ones.
        booked: Calls in the ledger.
        unkept: Answers to requests of which no reply was ever stored: their worker died.
        raced: Further answers to a request that arrived before its first reply was stored.
        overtaken: Further answers to a request that arrived after its reply was stored; each
            is a violation.
    """

    answered: int
    replies: int
    booked: int
    unkept: int
    raced: int
    overtaken: int

    @property
    def problems(self) -> list[str]:
        """What must not be."""
        found = []
        if self.booked != self.replies:
            found.append(f"{self.booked} calls are booked for {self.replies} stored replies")
        if self.overtaken:
            found.append(f"paid again although the reply was stored: {self.overtaken}")
        if self.replies > self.answered:
            found.append(f"{self.replies} replies are stored, but {self.answered} were answered")
        return found


def count_payments(endpoint: BadDayEndpoint, truth: Reader, users: Collection[str]) -> Payments:
    """Compare the endpoint's own count with the replies, request by request."""
    kept_at = {row["request_hash"]: row["kept_at"] for row in truth.rows(_REPLIES)}
    answers: defaultdict[str, list[Answered]] = defaultdict(list)
    for answered in endpoint.answered:
        answers[answered.key].append(answered)
    unkept = raced = overtaken = 0
    for key, given in answers.items():
        hashes = _hashes(endpoint.bodies[key], users)
        stored = [kept_at[name] for name in hashes if name in kept_at]
        # The same words of two users are two requests.
        late = sum(item.arrived_at > max(stored) for item in given) if stored else 0
        unkept += 0 if stored else len(given)
        overtaken += late
        raced += len(given) - late - len(stored) if stored else 0
    booked = int(truth.rows(_BOOKED)[0]["calls"])
    return Payments(len(endpoint.answered), len(kept_at), booked, unkept, raced, overtaken)


def _hashes(body: Mapping[str, Any], users: Collection[str]) -> Iterator[str]:
    """The names under which a reply to this body is stored, for whichever user it was asked."""
    schema = body["response_format"]["json_schema"]
    system, question, *rest = body["messages"]
    request = ChatRequest(
        system["content"],
        question["content"],
        schema["name"],
        schema["schema"],
        tuple(_read_repairs(rest)),
    )
    for user in users:
        paid_for = PaidFor(Owner(TENANT, user), Purpose.DISTILL)
        yield request_hash(body["model"], request, paid_for)


def _read_repairs(messages: list[dict[str, str]]) -> Iterator[tuple[str, str]]:
    answer = ""
    for message in messages:
        if message["role"] == "assistant":
            answer = message["content"]
        else:
            before, after = _ASKED_AGAIN
            yield answer, message["content"].removeprefix(before).removesuffix(after)
            answer = ""
