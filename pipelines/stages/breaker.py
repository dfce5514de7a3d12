"""A circuit breaker: whether a server is asked, as a function of how it answered until now.

Closed, everything is asked. After some failures in a row it opens: nothing is asked until a time
at which one probe is let through. The probe closes it again, or it stays open for longer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from config.outages import OutagePolicy


@dataclass(frozen=True, slots=True)
class Circuit:
    """How a server has answered lately.

    Attributes:
        answered_at: When it last answered; None if it never did.
        failures: In a row, up to now.
        failing_since: When the first of them was.
        probes: How many have failed since it opened.
        probe_at: When the next one is due; None while it is closed.
        probing_until: A probe is on its way, and given up by then.
    """

    answered_at: datetime | None = None
    failures: int = 0
    failing_since: datetime | None = None
    probes: int = 0
    probe_at: datetime | None = None
    probing_until: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether the server counts as away."""
        return self.probe_at is not None


@dataclass(frozen=True, slots=True)
class Asked:
    """A call that was let through; ``is_probe`` decides whether the server is back."""

    is_probe: bool


def may_ask(circuit: Circuit, now: datetime) -> bool:
    """Whether a call would be let through now."""
    if circuit.probe_at is None:
        return True
    is_taken = circuit.probing_until is not None and now < circuit.probing_until
    return now >= circuit.probe_at and not is_taken


def ask(circuit: Circuit, now: datetime, policy: OutagePolicy) -> tuple[Circuit, Asked | None]:
    """Let a call through, as the probe where it has to be one; None where it may not be made."""
    if not circuit.is_open:
        return circuit, Asked(is_probe=False)
    if not may_ask(circuit, now):
        return circuit, None
    return replace(circuit, probing_until=now + policy.probe_lease), Asked(is_probe=True)


def note_success(now: datetime) -> Circuit:
    """The server answered, whatever it said."""
    return Circuit(answered_at=now)


def note_failure(
    circuit: Circuit, asked: Asked, now: datetime, policy: OutagePolicy, jitter: float
) -> Circuit:
    """The server did not answer.

    Args:
        circuit: As it stands now.
        asked: The call that failed.
        now: When it failed.
        policy: When to open, and how to wait.
        jitter: From 0 to 1, by chance.
    """
    failed = replace(
        circuit, failures=circuit.failures + 1, failing_since=circuit.failing_since or now
    )
    if asked.is_probe:
        wait = _wait(circuit.probes + 2, policy, jitter)
        return replace(failed, probes=circuit.probes + 1, probe_at=now + wait, probing_until=None)
    if circuit.is_open or failed.failures < policy.failures:
        # What was under way when it opened says nothing new.
        return failed
    return replace(failed, probe_at=now + _wait(1, policy, jitter))


def note_nothing(circuit: Circuit, asked: Asked) -> Circuit:
    """The call ended without telling anything about the server."""
    return replace(circuit, probing_until=None) if asked.is_probe else circuit


def is_excused(circuit: Circuit, now: datetime, policy: OutagePolicy) -> bool:
    """Whether one more failure says nothing about what was asked, as nobody was answered lately.

    What fails while others succeed is to blame itself, sooner or later: its failure is the first
    after an answer, or not long after one.
    """
    if circuit.failing_since is not None and now - circuit.failing_since >= policy.patience:
        return False
    if circuit.is_open or circuit.answered_at is None:
        return True
    return circuit.failures > 0 and now - circuit.answered_at > policy.recent


def wait_seconds(circuit: Circuit, now: datetime) -> float:
    """How long until the next probe is due; 0 if it is, or none is needed."""
    due_at = max((at for at in (circuit.probe_at, circuit.probing_until) if at), default=now)
    return max((due_at - now).total_seconds(), 0.0)


def _wait(number: int, policy: OutagePolicy, jitter: float) -> timedelta:
    return policy.probe_delay(number) * (1 + policy.jitter * jitter)
