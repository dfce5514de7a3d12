"""Lets a worker die, its servers go away, or others go first, at any call of any port."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class WorkerDied(BaseException):
    """The process is gone: no ``except`` of its own sees it, and nothing more it does is seen."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to a worker, and when.

    Attributes:
        at: Before (even) or after (odd) which of its calls, counted from 0.
        what: ``dies``, ``away``, or what others do meanwhile.
    """

    at: int
    what: str


class Interruption:
    """Counts the calls of one worker and brings its fault about.

    What others do meanwhile happens inside, and is not counted.
    """

    def __init__(self, meanwhile: Callable[[str], None]) -> None:
        self._meanwhile = meanwhile
        self._fault: Fault | None = None
        self._passed = 0
        self._is_dead = False
        self._is_inside = False

    @contextmanager
    def of(self, fault: Fault | None) -> Iterator[None]:
        """A piece of the worker's work, to which this happens; a new worker comes after it."""
        self._fault, self._passed, self._is_dead = fault, 0, False
        try:
            yield
        except WorkerDied:
            pass
        finally:
            self._fault, self._is_dead = None, False

    def pass_by(self, away: Callable[[], Exception]) -> None:
        """One end of a call; whoever is dead calls nobody.

        Raises:
            WorkerDied: Now, or before.
            Exception: The server is away, as its adapter says it.
        """
        if self._is_inside:
            return
        if self._is_dead:
            raise WorkerDied
        place, self._passed = self._passed, self._passed + 1
        if self._fault is not None and self._fault.at == place:
            self._happen(self._fault.what, away)

    def _happen(self, what: str, away: Callable[[], Exception]) -> None:
        if what == "dies":
            self._is_dead = True
            raise WorkerDied
        if what == "away":
            raise away()
        self._is_inside = True
        try:
            self._meanwhile(what)
        finally:
            self._is_inside = False


class Watched:
    """A port whose calls can be interrupted at both ends."""

    def __init__(
        self, port: object, interruption: Interruption, away: Callable[[], Exception]
    ) -> None:
        self._port = port
        self._interruption = interruption
        self._away = away

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the port has
        found = getattr(self._port, name)
        if name == "ledger":
            return Watched(found, self._interruption, self._away)
        return self._around(found) if callable(found) else found

    def _around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def interrupted(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as the port has it
            self._interruption.pass_by(self._away)
            answer = call(*arguments, **named)
            self._interruption.pass_by(self._away)
            return answer

        return interrupted
