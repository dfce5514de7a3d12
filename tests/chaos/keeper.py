"""One process under fire: whoever hits it and whoever brings it back is the same thread."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import MemstillError
from tests.chaos.plan import Action, Fault, kind_of

if TYPE_CHECKING:
    import random

    from workers.embedded.service import Service

SERVERS = ("redis", "postgres")
_LOOK_SECONDS = 0.05


class Closing(Exception):
    """The campaign is over: nothing is started any more."""


class Keeper:
    """Keeps one process running, except while a fault says otherwise.

    Attributes:
        suffered: How often each action hit it.
        thawed_at: When it went on after a freeze, in seconds of the Unix epoch.
        ended_alone: How it ended when nobody had touched it: exit codes with their number.
    """

    def __init__(self, service: Service, name: str, dice: random.Random) -> None:
        self.service = service
        self.name = name
        self.suffered: Counter[Action] = Counter()
        self.ended_alone: Counter[str] = Counter()
        self.thawed_at: list[float] = []
        self.failed_starts = 0
        self._dice = dice
        self._faults: queue.Queue[Fault] = queue.Queue()
        self._closing = threading.Event()
        self._is_idle = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"keeper-{name}", daemon=True)

    @property
    def pid(self) -> int | None:
        """Number of the process, if it runs."""
        return self.service.pid if self.service.is_running else None

    @property
    def is_settled(self) -> bool:
        """Whether it runs and no fault is on its way."""
        return self._is_idle.is_set() and self._faults.empty() and self.service.is_running

    def start(self) -> None:
        """Look after it from now on."""
        self._thread.start()

    def hit(self, fault: Fault) -> None:
        """Let this happen to it, after what is happening to it now."""
        self._is_idle.clear()
        self._faults.put(fault)

    def close(self) -> None:
        """End the process, a server cleanly; a frozen one is thawed before."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        if kind_of(self.name) in SERVERS:
            self.service.stop()
        else:
            self.service.kill()

    def _run(self) -> None:
        with suppress(Closing):
            while True:
                self._look()

    def _look(self) -> None:
        try:
            fault = self._faults.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            self._check_closing()
            if self.service.is_running:
                self._is_idle.set()
            else:
                self._revive()
            return
        self._suffer(fault)
        self.suffered[fault.action] += 1

    def _revive(self) -> None:
        """Something was started and ended again: by itself, or by what another fault did."""
        if self.service.pid is not None:
            self.ended_alone[str(self.service.exit_code)] += 1
            self.service.stop()
        self._wait(self._dice.uniform(0.05, 1.0))
        self._bring_back()

    def _suffer(self, fault: Fault) -> None:
        if fault.action is Action.FREEZE:
            self._freeze(fault.seconds)
            return
        if fault.action is Action.KILL:
            self.service.kill()
        else:
            self.service.stop()
        self._wait(fault.seconds)
        self._bring_back()

    def _freeze(self, seconds: float) -> None:
        pid = self.pid
        if pid is None:
            return
        # The parent first: it can start no child that would be missed.
        _signal([pid], signal.SIGSTOP)
        children = _children_of(pid) if kind_of(self.name) == "postgres" else []
        _signal(children, signal.SIGSTOP)
        try:
            self._wait(seconds)
        finally:
            self.thawed_at.append(time.time())
            _signal([*children, pid], signal.SIGCONT)

    def _bring_back(self) -> None:
        while True:
            try:
                self.service.start(self._check_closing)
            except (MemstillError, OSError):
                self.failed_starts += 1
                self._wait(0.3)
            else:
                return

    def _wait(self, seconds: float) -> None:
        if self._closing.wait(seconds):
            raise Closing

    def _check_closing(self) -> None:
        if self._closing.is_set():
            raise Closing


def wait_settled(keepers: list[Keeper], seconds: float) -> bool:
    """Wait until all of them run and are left alone; False if that takes too long."""
    deadline = time.monotonic() + seconds
    while not all(keeper.is_settled for keeper in keepers):
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _children_of(parent: int) -> list[int]:
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(number) for number in found.split()]
