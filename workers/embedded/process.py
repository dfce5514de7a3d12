"""A child process that never outlives the process that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from workers.embedded import guard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

POLL_SECONDS = 0.02
_HURRIED_SECONDS = 1.0
_ORPHAN_SECONDS = 10.0
_TAIL_LINES = 20
_LONGEST_LOG_BYTES = 10 * 1024 * 1024


def never() -> bool:
    """Nobody is in a hurry."""
    return False


class GuardedProcess:
    """One child at a time, in a session of its own, with its output in a log.

    When this process dies, by whatever signal, a watcher beside the child stops it (see
    ``guard``). Should both have been killed, the next launch ends the child by its record.

    Args:
        name: How people call it.
        directory: Where it runs and where its record is kept; created if missing, private.
        log: File that its output is added to.
        stop_signal: What it understands as a clean end.
        grace_seconds: How long a clean end may take before it is killed; 10 at most where
            this process is dead.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        log: Path,
        *,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace_seconds: float = 15.0,
    ) -> None:
        self.name = name
        self.directory = directory.absolute()
        self._log = log
        self._stop_signal = stop_signal
        self._grace_seconds = grace_seconds
        self._record = self.directory / f"{name}.pid"
        self._child: subprocess.Popen[bytes] | None = None
        self._lifeline: int | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """Number of the child last launched; None before the first launch."""
        return None if self._child is None else self._child.pid

    @property
    def exit_code(self) -> int | None:
        """How the child last launched ended, negative for a signal; None while it runs."""
        return None if self._child is None else self._child.poll()

    @property
    def is_running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def launch(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Start it without waiting for anything; a child left by a dead parent is ended first."""
        self.end_leftover()
        self._release()
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        theirs, self._lifeline = os.pipe()
        try:
            with self._open_log() as log:
                self._child = subprocess.Popen(  # noqa: S603 - argv is ours, no shell
                    [*self._guard(theirs), *argv],
                    cwd=self.directory,
                    env=dict(env),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(theirs,),
                )
        finally:
            os.close(theirs)

    def stop(self, is_hurried: Callable[[], bool] = never) -> None:
        """End it cleanly, or by force when its grace is over or ``is_hurried`` turns true."""
        if self.is_running:
            self._signal(self._stop_signal)
            self._wait_patiently(is_hurried)
        self.kill()

    def kill(self) -> None:
        """End it and its group at once, as a crash would."""
        self._signal(signal.SIGKILL)
        self._release()

    def wait(self, seconds: float) -> int | None:
        """Its exit code; None if it still runs after so many seconds."""
        deadline = time.monotonic() + seconds
        while self.is_running and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        return self.exit_code

    def end_leftover(self) -> None:
        """End the child of a parent that died; nothing happens while our own child runs."""
        pid = None if self.is_running else guard.read_record(self._record)
        for number in (self._stop_signal, signal.SIGKILL):
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
                self._wait_for_end(pid)
                pid = guard.read_record(self._record)

    def tail(self) -> str:
        """The last lines that the present child wrote."""
        if not self._log.exists():
            return ""
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])

    def _guard(self, lifeline: int) -> list[str]:
        script = [sys.executable, "-I", "-S", guard.__file__]
        grace = min(self._grace_seconds, _ORPHAN_SECONDS)
        stop = [str(int(self._stop_signal)), str(grace)]
        return [*script, str(lifeline), *stop, str(self._record)]

    def _open_log(self) -> IO[bytes]:
        self._log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._log.exists() and self._log.stat().st_size > _LONGEST_LOG_BYTES:
            self._log.replace(self._log.with_name(self._log.name + ".1"))
        log = self._log.open("ab")
        self._log_start = log.tell()
        return log

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None:
            self._child.send_signal(number)

    def _wait_patiently(self, is_hurried: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self._grace_seconds
        while self.is_running and time.monotonic() < deadline:
            if is_hurried():
                deadline = min(deadline, time.monotonic() + _HURRIED_SECONDS)
                is_hurried = never
            time.sleep(POLL_SECONDS)

    def _wait_for_end(self, pid: int) -> None:
        deadline = time.monotonic() + self._grace_seconds
        while guard.birth_of(pid) is not None and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def _release(self) -> None:
        """Collect the dead child and let its watcher end the rest of its group."""
        if self._child is not None:
            self._child.wait()
            self._record.unlink(missing_ok=True)
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
