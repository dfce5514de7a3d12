"""Servers behind a circuit breaker: one that is away is not asked by everybody all the time."""

from __future__ import annotations

import random
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from pipelines.errors import DependencyUnavailable, MemstillError
from pipelines.ports import ANYWHERE, go_on
from pipelines.stages.breaker import (
    Asked,
    Circuit,
    ask,
    is_excused,
    may_ask,
    note_failure,
    note_nothing,
    note_success,
    wait_seconds,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from datetime import datetime

    from config.outages import OutagePolicy
    from pipelines.model import MemoryId, Owner, Vector
    from pipelines.ports import (
        ChatModel,
        ChatReply,
        ChatRequest,
        Clock,
        Embedder,
        Hit,
        IndexedPoint,
        IndexPoint,
        RebuildableIndex,
        Removal,
        Reranker,
        VectorIndex,
    )

log = structlog.get_logger(__name__)

ANSWERED: Final = "answered"
REFUSED: Final = "refused"
AWAY: Final = "away"


class CallMeter(Protocol):
    """Measures the calls of servers."""

    def note_call(self, dependency: str, outcome: str, seconds: float) -> None:
        """A server was asked, and ``answered``, ``refused``, or was ``away`` or out of breath."""
        ...

    def note_state(self, dependency: str, *, is_open: bool) -> None:
        """A server counts as away from now on, or does not any more."""
        ...


class Unmetered:
    """Measures nothing."""

    def note_call(self, dependency: str, outcome: str, seconds: float) -> None:
        """Nobody looks."""

    def note_state(self, dependency: str, *, is_open: bool) -> None:
        """Nobody looks."""


@dataclass(slots=True)
class Breaker:
    """The circuit of one server in one process, safe from many threads.

    Attributes:
        name: Of the server, for logs and health.
        unavailable: What is raised while it counts as away.
    """

    name: str
    unavailable: type[DependencyUnavailable]
    policy: OutagePolicy
    clock: Clock
    jitter: Callable[[], float] = random.random
    meter: CallMeter = field(default_factory=Unmetered)
    _circuit: Circuit = field(default_factory=Circuit)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def circuit(self) -> Circuit:
        """As it stands."""
        return self._circuit

    def may_ask(self) -> bool:
        """Whether a call would be let through now."""
        return may_ask(self._circuit, self.clock.now())

    def wait_seconds(self) -> float:
        """How long until a call would be let through, as far as can be told."""
        return wait_seconds(self._circuit, self.clock.now(), self.policy)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Around one call of the server.

        A failure that is the server's own is marked so: it uses up no attempt.

        Raises:
            DependencyUnavailable: The server is away, and was not asked.
        """
        asked = self._enter()
        began, said = perf_counter(), ANSWERED
        try:
            yield
        except DependencyUnavailable as error:
            said = AWAY
            # It answered, and asks for patience.
            self._leave(asked, error, is_answer=error.is_outage)
            raise
        except MemstillError:
            said = REFUSED
            self._succeed()
            raise
        except BaseException:
            said = REFUSED
            with self._lock:
                self._circuit = note_nothing(self._circuit, asked)
            raise
        else:
            self._succeed()
        finally:
            self.meter.note_call(self.name, said, perf_counter() - began)

    def _enter(self) -> Asked:
        now = self.clock.now()
        with self._lock:
            self._circuit, asked = ask(self._circuit, now, self.policy)
            if asked is None:
                raise self.unavailable(
                    f"{self.name} is away and will be tried again",
                    retry_after_seconds=wait_seconds(self._circuit, now, self.policy),
                    is_outage=is_excused(self._circuit, now, self.policy),
                )
        return asked

    def _leave(self, asked: Asked, error: DependencyUnavailable, *, is_answer: bool) -> None:
        if is_answer:
            self._succeed()
            return
        now = self.clock.now()
        with self._lock:
            before = self._circuit
            error.is_outage = is_excused(before, now, self.policy)
            self._circuit = note_failure(before, asked, now, self.policy, self.jitter())
            if error.is_outage and error.retry_after_seconds is None:
                error.retry_after_seconds = wait_seconds(self._circuit, now, self.policy)
            after = self._circuit
        if after.probe_at != before.probe_at:
            self.meter.note_state(self.name, is_open=True)
            log.warning(
                "dependency_away",
                dependency=self.name,
                failures=after.failures,
                probe_in_seconds=round(wait_seconds(after, now, self.policy), 1),
                error=str(error),
            )

    def _succeed(self) -> None:
        now = self.clock.now()
        with self._lock:
            before, self._circuit = self._circuit, note_success(now)
        if before.is_open:
            self.meter.note_state(self.name, is_open=False)
            log.info("dependency_back", dependency=self.name, failures=before.failures)


class Breakers:
    """The breakers of one process, one for each server, made when it is first asked for."""

    def __init__(self, policy: OutagePolicy, clock: Clock, meter: CallMeter | None = None) -> None:
        self._policy = policy
        self._clock = clock
        self._meter = meter or Unmetered()
        self._made: dict[str, Breaker] = {}
        self._lock = threading.Lock()

    def of(self, name: str, unavailable: type[DependencyUnavailable]) -> Breaker:
        """The breaker of the server with this name."""
        with self._lock:
            if name not in self._made:
                self._made[name] = Breaker(
                    name, unavailable, self._policy, self._clock, meter=self._meter
                )
                self._meter.note_state(name, is_open=False)
            return self._made[name]

    def all(self) -> list[Breaker]:
        """Those that were asked for, by name."""
        with self._lock:
            return [self._made[name] for name in sorted(self._made)]


class BreakingChatModel:
    """``ChatModel`` behind a breaker."""

    def __init__(self, chat: ChatModel, breaker: Breaker) -> None:
        self._chat = chat
        self._breaker = breaker

    @property
    def name(self) -> str:
        return self._chat.name

    def complete(self, request: ChatRequest, before_retry: Callable[[], None] = go_on) -> ChatReply:
        with self._breaker.asking():
            return self._chat.complete(request, before_retry)


class BreakingEmbedder:
    """``Embedder`` behind a breaker."""

    def __init__(self, embedder: Embedder, breaker: Breaker) -> None:
        self._embedder = embedder
        self._breaker = breaker

    @property
    def model(self) -> str:
        return self._embedder.model

    @property
    def size(self) -> int:
        return self._embedder.size

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        with self._breaker.asking():
            return self._embedder.embed(texts)


class BreakingReranker:
    """``Reranker`` behind a breaker."""

    def __init__(self, reranker: Reranker, breaker: Breaker) -> None:
        self._reranker = reranker
        self._breaker = breaker

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        with self._breaker.asking():
            return self._reranker.rerank(query, texts)


class BreakingIndex:
    """``RebuildableIndex`` behind a breaker.

    What builds a successor or graphs is asked for by people or by the clock: it is always tried.
    """

    def __init__(self, index: RebuildableIndex, breaker: Breaker) -> None:
        self._index = index
        self._breaker = breaker

    def prepare(self) -> None:
        with self._breaker.asking():
            self._index.prepare()

    def apply(self, upserts: Sequence[IndexPoint], removals: Collection[Removal]) -> None:
        with self._breaker.asking():
            self._index.apply(upserts, removals)

    def remove_owner(self, owner: Owner) -> None:
        with self._breaker.asking():
            self._index.remove_owner(owner)

    def scan(self, after: MemoryId | None, limit: int) -> list[IndexedPoint]:
        with self._breaker.asking():
            return self._index.scan(after, limit)

    def is_empty(self) -> bool:
        with self._breaker.asking():
            return self._index.is_empty()

    def search(
        self,
        owner: Owner,
        session_id: str | None,
        vector: Vector,
        text: str,
        limit: int,
        *,
        as_of: datetime | None = None,
    ) -> list[Hit]:
        with self._breaker.asking():
            return self._index.search(owner, session_id, vector, text, limit, as_of=as_of)

    def neighbours(
        self, owner: Owner, vectors: Sequence[Vector], limit: int, *, min_cosine: float = ANYWHERE
    ) -> list[list[MemoryId]]:
        with self._breaker.asking():
            return self._index.neighbours(owner, vectors, limit, min_cosine=min_cosine)

    def count(self, owner: Owner) -> int:
        with self._breaker.asking():
            return self._index.count(owner)

    def close(self) -> None:
        self._index.close()

    def tend(self) -> int:
        return self._index.tend()

    def successor(self, token: str) -> VectorIndex:
        return self._index.successor(token)

    def make_successor(self, token: str) -> bool:
        return self._index.make_successor(token)

    def is_switched(self, token: str) -> bool:
        return self._index.is_switched(token)

    def switch(self, token: str) -> None:
        self._index.switch(token)

    def drop_leftovers(self, keep: str | None) -> int:
        return self._index.drop_leftovers(keep)
