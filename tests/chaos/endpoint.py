"""A model endpoint with bad days: refusals, errors, garbage and silence beside its answers."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.chaos.story import distil, judge
from tests.endpoint import Call, Scripted, ScriptedEndpoint, completion, garbage, status, truncated

if TYPE_CHECKING:
    import random
    from typing import Any

EMBEDDING_SIZE = 64
CHAT = "/v1/chat/completions"
# Longer than any caller waits; then it is an error, so that nobody takes it for an answer.
_HANG_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Weather:
    """Which share of requests gets which fault."""

    busy: float = 0.10
    failing: float = 0.05
    garbled: float = 0.03
    hanging: float = 0.02


FAIR = Weather(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Answered:
    """A whole answer that went out to a chat request: what a provider would charge for.

    Attributes:
        caller: The process that asked.
        arrived_at: Seconds of the Unix epoch.
    """

    key: str
    caller: str
    arrived_at: float


class BadDayEndpoint(ScriptedEndpoint):
    """Answers as ``story`` says, after a while, and counts what it was asked and what it sent.

    Which request meets a fault depends on their order of arrival; what a request is answered
    does not.
    """

    def __init__(self, weather: Weather, dice: random.Random) -> None:
        super().__init__(distil, EMBEDDING_SIZE, judge=judge)
        self._weather = weather
        self._dice = dice
        self._guard = threading.Lock()
        self._arrivals: dict[int, float] = {}
        self.bodies: dict[str, dict[str, Any]] = {}
        self.answered: list[Answered] = []
        self.given: Counter[str] = Counter()

    def clear_up(self) -> None:
        """No more faults."""
        self._weather = FAIR

    def answer(self, call: Call) -> Scripted:
        with self._guard:
            self._arrivals[id(call)] = time.time()
            chance, pause = self._dice.random(), self._dice.uniform(0.02, 0.3)
            name, fault = self._draw(chance)
            self.given[name] += 1
        if fault is not None:
            return fault
        usual = self._usual_answer(call)
        takes_long = call.path == CHAT and self._weather is not FAIR
        return Scripted(usual.status, usual.body, hang_seconds=pause if takes_long else 0.0)

    def note_sent(self, call: Call, answer: Scripted) -> None:
        """A useless completion is paid for as well."""
        with self._guard:
            arrived_at = self._arrivals.pop(id(call))
            if call.path != CHAT or not _is_completion(answer):
                return
            key = _name(call.body)
            self.bodies.setdefault(key, call.body)
            caller = call.headers["authorization"].removeprefix("Bearer ")
            self.answered.append(Answered(key, caller, arrived_at))

    def _draw(self, chance: float) -> tuple[str, Scripted | None]:
        weather = self._weather
        for name, share in (
            ("busy", weather.busy),
            ("failing", weather.failing),
            ("garbled", weather.garbled),
            ("hanging", weather.hanging),
        ):
            if chance < share:
                return name, self._fault(name)
            chance -= share
        return "answered", None

    def _fault(self, name: str) -> Scripted:
        if name == "busy":
            return status(429, retry_after=self._dice.choice((None, "0.2", "1")))
        if name == "failing":
            return status(self._dice.choice((500, 502, 503)))
        if name == "hanging":
            return Scripted(504, hang_seconds=_HANG_SECONDS)
        said = self._dice.choice(("Here are your facts:", '{"facts": "none"}', '{"facts": [{'))
        return self._dice.choice((garbage(), truncated(), completion(said)))


def _name(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _is_completion(answer: Scripted) -> bool:
    is_whole = answer.declared_length is None
    return answer.status == 200 and is_whole and answer.content_type == "application/json"
