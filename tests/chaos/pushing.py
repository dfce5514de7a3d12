"""Agents: they push what they have until it is acknowledged, and sometimes once more."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from memstill_client import Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from uuid import UUID

    from memstill_client import Receipt, TranscriptV1
    from tests.chaos.sessions import Errand

_AGENTS = 6
_AGAIN_SECONDS = 0.2


class Pusher(Protocol):
    """Takes transcripts in."""

    def enqueue(self, transcript: TranscriptV1, /) -> Receipt:
        """Push one."""


class Intakes(Protocol):
    """Whom agents push to."""

    def client(self, intake: str) -> AbstractContextManager[Pusher]:
        """An agent's client, over ``stream`` or ``http``."""


@dataclass(slots=True)
class Pushes:
    """What became of the pushes.

    Attributes:
        receipts: What was acknowledged first, by the number of the session.
        acknowledged: Acknowledgements by intake, those of second pushes too.
        unavailable: Pushes that nobody took, by intake; each was repeated.
        problems: Receipts that changed, and refusals.
    """

    receipts: dict[int, UUID] = field(default_factory=dict)
    acknowledged: Counter[str] = field(default_factory=Counter)
    unavailable: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


class Agents:
    """Threads that run errands at their times."""

    def __init__(
        self, stack: Intakes, sessions: Sequence[TranscriptV1], errands: Sequence[Errand]
    ) -> None:
        self.pushes = Pushes()
        self._stack = stack
        self._sessions = sessions
        self._waiting = list(reversed(errands))
        self._guard = threading.Lock()
        self._closing = threading.Event()
        self._started = time.monotonic()
        self._threads = [
            threading.Thread(target=self._run, name=f"agent-{number}", daemon=True)
            for number in range(_AGENTS)
        ]

    @property
    def is_busy(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def start(self) -> None:
        """Begin; the times of the errands count from here."""
        self._started = time.monotonic()
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Give up what was not pushed yet."""
        self._closing.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        with self._stack.client("stream") as stream, self._stack.client("http") as http:
            clients = {"stream": stream, "http": http}
            while (errand := self._take()) is not None:
                left = self._started + errand.at - time.monotonic()
                if self._closing.wait(max(left, 0.0)):
                    return
                self._push(clients[errand.intake], errand)

    def _take(self) -> Errand | None:
        with self._guard:
            return self._waiting.pop() if self._waiting else None

    def _push(self, client: Pusher, errand: Errand) -> None:
        began = time.monotonic()
        while not self._closing.is_set():
            try:
                receipt = client.enqueue(self._sessions[errand.number])
            except Unavailable:
                with self._guard:
                    self.pushes.unavailable[errand.intake] += 1
                self._closing.wait(_AGAIN_SECONDS)
            except Refused as refusal:
                with self._guard:
                    self.pushes.problems.append(f"session {errand.number} was refused: {refusal}")
                return
            else:
                self._note(errand, receipt.id, time.monotonic() - began)
                return

    def _note(self, errand: Errand, receipt: UUID, seconds: float) -> None:
        with self._guard:
            self.pushes.acknowledged[errand.intake] += 1
            self.pushes.seconds.append(seconds)
            first = self.pushes.receipts.setdefault(errand.number, receipt)
        if first != receipt:
            self.pushes.problems.append(f"session {errand.number} has two receipts")
