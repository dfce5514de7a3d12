"""Becomes a command that must not outlive its parent.

Run by path with ``python -I -S``, so it imports the standard library alone::

    guard.py LIFELINE STOP_SIGNAL GRACE_SECONDS RECORD command argument...

It writes RECORD, leaves a watcher in its process group and then becomes the command: the pid
stays. The watcher reads the lifeline, a pipe whose other end only the parent holds. The pipe ends
when the parent lets go of it or is dead, whatever killed it; then the watcher stops the command
and kills what is left of the group. As a member of the group it keeps the group's number from
being given to anything else, so it can hit no stranger.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

POLL_SECONDS = 0.05
_PROC = Path("/proc")


def birth_of(pid: int) -> str | None:
    """When a live process began, as a text no later process of that number can have.

    None when there is no such process, or only its corpse that nobody has collected yet.
    """
    if not (_PROC / "self" / "stat").exists():
        return _birth_by_ps(pid)
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    boot = (_PROC / "sys" / "kernel" / "random" / "boot_id").read_text().strip()
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else f"{boot}/{fields[18]}"


def command_of(pid: int) -> str:
    """The command line of a process; empty if there is no such process."""
    if not (_PROC / "self" / "stat").exists():
        return _ask_ps(pid, "command=")
    try:
        return (_PROC / str(pid) / "cmdline").read_text(errors="replace").replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _birth_by_ps(pid: int) -> str | None:
    state, _, birth = _ask_ps(pid, "state=,lstart=").partition(" ")
    return None if not birth or state.startswith("Z") else birth.strip()


def _ask_ps(pid: int, columns: str) -> str:
    """What there is to know of a process where there is no /proc."""
    import subprocess

    asked = ["/bin/ps", "-o", columns, "-p", str(pid)]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603 - fixed
    return answer.stdout.strip()


def write_record(path: Path) -> None:
    """Note who this process is, for a parent that comes after the present one."""
    draft = path.with_name(path.name + ".new")
    draft.write_text(f"{os.getpid()} {birth_of(os.getpid())}\n")
    draft.replace(path)


def read_record(path: Path) -> int | None:
    """The pid of the process that wrote the record, if that very process still lives."""
    try:
        number, _, birth = path.read_text().strip().partition(" ")
    except FileNotFoundError:
        return None
    is_alive = number.isdecimal() and birth_of(int(number)) == birth
    return int(number) if is_alive else None


def main(arguments: list[str]) -> None:
    """Take the place of this process; see the module."""
    lifeline, stop_signal, grace_seconds, record, *command = arguments
    write_record(Path(record))
    _leave_watcher(int(lifeline), signal.Signals(int(stop_signal)), float(grace_seconds))
    os.close(int(lifeline))
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


def _leave_watcher(lifeline: int, stop_signal: signal.Signals, grace_seconds: float) -> None:
    """Fork twice: PostgreSQL would take the death of an unknown child for a crash."""
    command = os.getpid()
    middle = os.fork()
    if middle:
        os.waitpid(middle, 0)
    elif os.fork():
        os._exit(0)
    else:
        _watch(command, lifeline, stop_signal, grace_seconds)


def _watch(command: int, lifeline: int, stop_signal: signal.Signals, grace_seconds: float) -> None:
    """Wait for the end of the lifeline, then end the command and this group."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.read(lifeline, 1)
    _stop(command, stop_signal, grace_seconds)
    os.killpg(0, signal.SIGKILL)


def _stop(pid: int, stop_signal: signal.Signals, grace_seconds: float) -> None:
    deadline = time.monotonic() + grace_seconds
    try:
        os.kill(pid, stop_signal)
    except ProcessLookupError:
        return
    while birth_of(pid) is not None and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1:])
