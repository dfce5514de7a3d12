"""What a campaign found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.outline import Difference
    from tests.chaos.payments import Payments
    from tests.chaos.pulse import Weight
    from tests.chaos.pushing import Pushes


@dataclass(slots=True)
class Findings:
    """What a campaign found; it passed if there is no problem.

    Attributes:
        hits: Faults that were carried out, by kind of target and action.
        ended_alone: Processes that ended although nobody had hit them, by target and exit code.
        drain_seconds: From the last fault until nothing was on its road any more.
    """

    problems: list[str] = field(default_factory=list)
    hits: Counter[str] = field(default_factory=Counter)
    ended_alone: Counter[str] = field(default_factory=Counter)
    pushes: Pushes | None = None
    recalls: Counter[str] = field(default_factory=Counter)
    weather: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)
    payments: Payments | None = None
    difference: Difference | None = None
    weights: dict[str, Weight] = field(default_factory=dict)
    drain_seconds: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
