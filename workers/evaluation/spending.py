"""What the sessions of a data set cost, read from the ledger before and after."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import date

    from memstill_client import Memstill
    from memstill_client.replies import CostEntry

_CALLS, _PROMPT, _COMPLETION, _ESTIMATED = "calls", "prompt", "completion", "estimated"

Booked = Counter[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Spending:
    """Model calls of one purpose, or of all.

    Attributes:
        estimated_calls: Those whose tokens the endpoint did not report.
    """

    calls: int
    prompt_tokens: int
    completion_tokens: int
    estimated_calls: int


def read_booked(client: Memstill, users: Collection[str], since: date) -> Booked:
    """What the ledger holds of these users."""
    booked = Booked()
    for entry in _entries(client, users, since):
        booked[entry.purpose, _CALLS] += entry.calls
        booked[entry.purpose, _PROMPT] += entry.prompt_tokens
        booked[entry.purpose, _COMPLETION] += entry.completion_tokens
        booked[entry.purpose, _ESTIMATED] += entry.estimated_calls
    return booked


def _entries(client: Memstill, users: Collection[str], since: date) -> Iterable[CostEntry]:
    found = client.cost(since=since)
    if found.is_whole:
        return [entry for entry in found.entries if entry.user_id in users]
    return [entry for user in users for entry in client.cost(user, since).entries]


def spent_between(before: Booked, after: Booked) -> dict[str, Spending]:
    """What was added, ``all`` purposes first."""
    added = after - before
    purposes = sorted({purpose for purpose, _ in added})
    by_purpose = {purpose: _spending(added, [purpose]) for purpose in purposes}
    return {"all": _spending(added, purposes), **by_purpose}


def _spending(booked: Booked, purposes: Collection[str]) -> Spending:
    return Spending(
        *(
            sum(booked[purpose, field] for purpose in purposes)
            for field in (_CALLS, _PROMPT, _COMPLETION, _ESTIMATED)
        )
    )
