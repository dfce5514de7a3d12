"""What is started, answers, and is stopped: a server or another child of the stack."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pipelines.errors import DependencyUnavailable
from workers.embedded.process import POLL_SECONDS, GuardedProcess, never

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def go_on() -> None:
    """Nothing stands against waiting longer."""


class Service(ABC):
    """A guarded process with a way to tell that it is up.

    Starting, stopping and killing belong to one thread at a time.
    """

    def __init__(self, process: GuardedProcess, *, ready_seconds: float = 60.0) -> None:
        self._process = process
        self._ready_seconds = ready_seconds

    @property
    def name(self) -> str:
        return self._process.name

    @property
    def title(self) -> str:
        """How it is called before people."""
        return self.name

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.exit_code

    @property
    def is_running(self) -> bool:
        return self._process.is_running

    def start(self, on_wait: Callable[[], None] = go_on) -> None:
        """Launch it and return once it answers; nothing happens if it runs already.

        Args:
            on_wait: Called between two looks; what it raises ends the attempt.

        Raises:
            ConfigurationError: It cannot be started as things are; the message has the remedy.
            DependencyUnavailable: It ended or stayed silent; the message has its last lines.
        """
        if self.is_running:
            return
        with ExitStack() as undo:
            undo.callback(self.stop)
            self._process.launch(self._prepare(), self._env())
            self._await_answer(on_wait)
            undo.pop_all()

    def stop(self, is_hurried: Callable[[], bool] = never) -> None:
        """End it cleanly, by force when that takes too long; nothing happens if it is dead."""
        self._process.stop(is_hurried)

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()

    def end_leftover(self) -> None:
        """End what a dead parent left of it."""
        self._process.end_leftover()

    def is_alive(self) -> bool:
        """Whether it gives a sign of life now; one that runs may hang. Must return soon."""
        return True

    @abstractmethod
    def _prepare(self) -> Sequence[str]:
        """Make ready what it needs and say its command."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it does its work; must return soon."""

    def _env(self) -> Mapping[str, str]:
        return os.environ

    def _await_answer(self, on_wait: Callable[[], None]) -> None:
        deadline = time.monotonic() + self._ready_seconds
        while not self._answers():
            if not self.is_running:
                raise self._failure(f"ended with status {self.exit_code} while it was starting")
            if time.monotonic() > deadline:
                raise self._failure(f"did not answer within {self._ready_seconds:g} s")
            on_wait()
            time.sleep(POLL_SECONDS)

    def _failure(self, problem: str) -> DependencyUnavailable:
        return DependencyUnavailable(f"{self.name} {problem}\n{self._process.tail()}".rstrip())
