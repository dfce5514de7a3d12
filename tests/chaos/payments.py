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
    from collections.abc import Collection, Iterator, Mapping, Sequence

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
        overtaken: Further answers to a request that arrived after its reply was stored, each
            with who asked; each is a violation.
    """

    answered: int
    replies: int
    booked: int
    unkept: int
    raced: int
    overtaken: tuple[str, ...]

    @property
    def problems(self) -> list[str]:
        """What must not be."""
        found = []
        if self.booked != self.replies:
            found.append(f"{self.booked} calls are booked for {self.replies} stored replies")
        if self.overtaken:
            found.append(f"paid again although the reply was stored: {'; '.join(self.overtaken)}")
        if self.replies > self.answered:
            found.append(f"{self.replies} replies are stored, but {self.answered} were answered")
        return found


def count_payments(
    endpoint: BadDayEndpoint,
    truth: Reader,
    users: Collection[str],
    thawed_at: Mapping[str, Sequence[float]],
) -> Payments:
    """Compare the endpoint's own count with the replies, request by request.

    Args:
        endpoint: What was answered, and to whom.
        truth: The stored replies.
        users: All who may have been distilled for.
        thawed_at: When a process went on after a freeze, by its name.
    """
    kept_at = {row["request_hash"]: row["kept_at"] for row in truth.rows(_REPLIES)}
    answers: defaultdict[str, list[Answered]] = defaultdict(list)
    for answered in endpoint.answered:
        answers[answered.key].append(answered)
    unkept = raced = 0
    overtaken: list[str] = []
    for key, given in answers.items():
        hashes = _hashes(endpoint.bodies[key], users)
        stored = [kept_at[name] for name in hashes if name in kept_at]
        # The same words of two users are two requests.
        if not stored:
            unkept += len(given)
            continue
        late = [item for item in given if item.arrived_at > max(stored)]
        overtaken += [_describe(item, max(stored), thawed_at) for item in late]
        raced += len(given) - len(late) - len(stored)
    booked = int(truth.rows(_BOOKED)[0]["calls"])
    return Payments(len(endpoint.answered), len(kept_at), booked, unkept, raced, tuple(overtaken))


def _describe(answered: Answered, kept_at: float, thawed_at: Mapping[str, Sequence[float]]) -> str:
    """Who asked how long after; a worker that was frozen over its call could not know better."""
    text = f"by {answered.caller} {answered.arrived_at - kept_at:.2f} s after"
    thaws = [at for at in thawed_at.get(answered.caller, ()) if at <= answered.arrived_at]
    return (
        f"{text}, {answered.arrived_at - max(thaws):.2f} s after its last thaw" if thaws else text
    )


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
