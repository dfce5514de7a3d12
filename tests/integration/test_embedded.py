"""The embedded servers and the stack, with real child processes that are really killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import redis
from sqlalchemy import create_engine, make_url, text

from pipelines.errors import ConfigurationError, DependencyUnavailable
from workers.embedded import guard
from workers.embedded.children import Child
from workers.embedded.endpoints import read_endpoints
from workers.embedded.postgres import PostgresServer
from workers.embedded.process import GuardedProcess
from workers.embedded.redis import RedisServer
from workers.embedded.stack import Stack
from workers.embedded.supervisor import RestartPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE_SECONDS = 60.0

# Writes its pid and its part of the environment, then stays.
SLEEPER = """
import json, os, pathlib, sys, time
mine = {name: value for name, value in os.environ.items() if name.startswith("MEMSTILL_")}
new = pathlib.Path(sys.argv[1] + ".new")
new.write_text(json.dumps({"pid": os.getpid(), "env": mine}))
new.rename(sys.argv[1])
time.sleep(600)
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEPER

# What `memstill up` does, with one child.
UP = """
import pathlib, sys
from workers.embedded.children import Child
from workers.embedded.stack import Stack
data, port, said, script = sys.argv[1:]
child = Child("sleeper", (sys.executable, "-c", script, said), pathlib.Path(said).exists,
              stop_seconds=120.0)
say = lambda line: print(line, flush=True)
stack = Stack(pathlib.Path(data), migrate=lambda url: None, children=[child], api_port=int(port),
              progress=say)
sys.exit(stack.run_until_stopped())
"""


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _pid_of(service: RedisServer | PostgresServer) -> int:
    assert service.pid is not None
    return service.pid


# ---- Redis ------------------------------------------------------------------------------------


@pytest.fixture
def redis_alone(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.stop()


def _remember(url: str, value: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.set("kept", value)


def _recalled(url: str) -> object:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        return client.get("kept")


def test_redis_keeps_its_data_when_it_is_stopped_and_started(redis_alone: RedisServer) -> None:
    """A clean stop loses nothing, and the address stays the same."""
    before = redis_alone.url
    _remember(before, "v")

    redis_alone.stop()
    assert not redis_alone.is_running
    redis_alone.start()

    assert (before, "v") == (redis_alone.url, _recalled(redis_alone.url))


def test_redis_keeps_its_data_when_it_is_killed(redis_alone: RedisServer) -> None:
    """What was answered is on disk, so SIGKILL loses nothing."""
    _remember(redis_alone.url, "v")

    redis_alone.kill()
    assert redis_alone.exit_code == -signal.SIGKILL
    redis_alone.start()

    assert _recalled(redis_alone.url) == "v"


def test_redis_refuses_rather_than_forgets_and_syncs_every_write(redis_alone: RedisServer) -> None:
    """The queue may fill up but never drop, and listens on the private socket alone."""
    with redis.Redis.from_url(redis_alone.url, decode_responses=True) as client:
        names = ("appendonly", "appendfsync", "maxmemory-policy", "save", "port", "unixsocketperm")
        found = {name: client.config_get(name)[name] for name in names}

    assert found == {
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory-policy": "noeviction",
        "save": "",
        "port": "0",
        "unixsocketperm": "700",
    }


def test_redis_ends_the_old_server_when_one_is_left_on_its_directory(
    redis_alone: RedisServer,
) -> None:
    """A living leftover is stopped cleanly before its files are used again."""
    _remember(redis_alone.url, "v")
    successor = RedisServer(redis_alone._directory)

    successor.start()

    assert not redis_alone.is_running
    assert _recalled(successor.url) == "v"
    successor.stop()


def test_redis_comes_up_when_the_directory_has_a_long_and_odd_name(tmp_path: Path) -> None:
    """Spaces, commas and more bytes than a socket path may have are no obstacle."""
    server = RedisServer(tmp_path / ("a, b" * 30))
    server.start()

    _remember(server.url, "v")

    assert _recalled(server.url) == "v"
    server.stop()
    assert not server._sockets.exists()


def test_redis_error_shows_the_log_when_it_cannot_start(redis_alone: RedisServer) -> None:
    """The last lines of the server stand in the error, so nobody must look for its log."""
    redis_alone.stop()
    manifest = next(redis_alone._directory.glob("appendonly*"))
    manifest.write_text("this is no append-only file\n")

    with pytest.raises(DependencyUnavailable, match=r"redis ended with status 1(.|\n)*file"):
        redis_alone.start()
    assert not redis_alone.is_running


# ---- PostgreSQL -------------------------------------------------------------------------------


def _make_cluster(directory: Path) -> None:
    server = PostgresServer(directory, durable=False)
    server.start()
    server.stop()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose cluster was made once; each test starts its own server on it."""
    directory = tmp_path_factory.mktemp("cluster")
    _make_cluster(directory)
    return directory


@pytest.fixture
def postgres_alone(cluster: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(cluster)
    server.start()
    yield server
    server.stop()


def _write_row(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (id int)")
        connection.execute("INSERT INTO kept VALUES (1)")


def _count_rows(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM kept").fetchone()
    assert row is not None
    count: int = row[0]
    return count


def test_postgres_keeps_its_data_when_it_is_stopped_and_started(
    postgres_alone: PostgresServer,
) -> None:
    """A clean stop loses nothing, and the address stays the same."""
    before = postgres_alone.url
    _write_row(before)
    rows = _count_rows(before)

    postgres_alone.stop()
    assert postgres_alone.exit_code == 0
    postgres_alone.start()

    assert (before, rows) == (postgres_alone.url, _count_rows(postgres_alone.url))


def test_postgres_keeps_its_data_when_it_is_killed_under_open_connections(
    postgres_alone: PostgresServer,
) -> None:
    """What was committed is there after SIGKILL, though clients were connected."""
    _write_row(postgres_alone.url)
    rows = _count_rows(postgres_alone.url)
    with psycopg.connect(postgres_alone.url):
        postgres_alone.kill()
        postgres_alone.start()

    assert rows == _count_rows(postgres_alone.url)


def test_postgres_ends_the_old_server_when_one_is_left_on_its_directory(
    postgres_alone: PostgresServer,
) -> None:
    """A living leftover is shut down cleanly before its files are used again."""
    _write_row(postgres_alone.url)
    rows = _count_rows(postgres_alone.url)
    successor = PostgresServer(postgres_alone._directory)

    successor.start()

    assert postgres_alone.exit_code == 0
    assert rows == _count_rows(successor.url)
    successor.stop()


@pytest.mark.parametrize("lock", ["data/postmaster.pid", "run/.s.PGSQL.5432.lock"])
def test_postgres_comes_up_when_a_dead_servers_pid_was_given_to_another(
    cluster: Path, lock: str
) -> None:
    """A stale lock that names a living stranger does not keep the server down."""
    (cluster / "run").mkdir(mode=0o700, exist_ok=True)
    (cluster / lock).write_text(f"{os.getpid()}\n{cluster}/data\n0\n5432\n{cluster}/run\n")
    server = PostgresServer(cluster)

    server.start()

    assert server.is_running
    server.stop()


def test_postgres_starts_over_when_its_first_start_was_cut_short(tmp_path: Path) -> None:
    """A cluster that was half made is made anew, never used."""
    (tmp_path / "data.new").mkdir()
    (tmp_path / "data.new" / "PG_VERSION").write_text("18\n")
    server = PostgresServer(tmp_path, durable=False)

    server.start()

    assert not (tmp_path / "data.new").exists()
    server.stop()


def test_postgres_is_private_and_durable_with_vectors(postgres_alone: PostgresServer) -> None:
    """No network, nothing of a row in the log, every commit on disk, pgvector ready."""
    with psycopg.connect(postgres_alone.url) as connection:
        names = ("listen_addresses", "fsync", "synchronous_commit", "log_error_verbosity")
        found = [connection.execute(f"SHOW {name}").fetchone() for name in names]
        distance = connection.execute("SELECT '[1,2]'::vector <-> '[1,3]'::vector").fetchone()
        lowered = connection.execute("SELECT lower('ÄÖ')").fetchone()

    assert found == [("",), ("on",), ("on",), ("terse",)]
    assert (distance, lowered) == ((1.0,), ("äö",))


def test_postgres_url_is_understood_by_sqlalchemy(postgres_alone: PostgresServer) -> None:
    """One address serves the driver and the toolkit above it."""
    engine = create_engine(make_url(postgres_alone.url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        found = connection.execute(text("SELECT current_database(), current_user")).one()
    engine.dispose()

    assert tuple(found) == ("memstill", "memstill")


def test_postgres_comes_up_when_the_directory_has_a_long_and_odd_name(tmp_path: Path) -> None:
    """Spaces, commas and more bytes than a socket path may have are no obstacle."""
    server = PostgresServer(tmp_path / ("a, b" * 30), durable=False)

    server.start()
    _write_row(server.url)

    assert _count_rows(server.url) == 1
    server.stop()


# ---- one guarded process ----------------------------------------------------------------------


def _launch(process: GuardedProcess, script: str, said: Path) -> None:
    said.unlink(missing_ok=True)
    process.launch([sys.executable, "-c", script, str(said)], os.environ)
    _wait_for(said.exists)


def test_process_takes_its_whole_group_along_when_it_is_stopped(tmp_path: Path) -> None:
    """What a child started itself does not stay behind either."""
    inner = tmp_path / "inner.json"
    script = (
        "import subprocess, sys; "
        f"subprocess.Popen([sys.executable, '-c', {STUBBORN!r}, {str(inner)!r}]); " + SLEEPER
    ).replace("; \nimport", "\nimport")
    process = GuardedProcess("outer", tmp_path, tmp_path / "outer.log")
    _launch(process, script, tmp_path / "outer.json")
    _wait_for(inner.exists)
    grandchild = json.loads(inner.read_text())["pid"]

    process.stop()

    _wait_for(lambda: guard.birth_of(grandchild) is None)


def test_process_is_killed_when_it_does_not_end_within_its_grace(tmp_path: Path) -> None:
    """A child that ignores SIGTERM is gone all the same."""
    process = GuardedProcess("deaf", tmp_path, tmp_path / "deaf.log", grace_seconds=0.2)
    _launch(process, STUBBORN, tmp_path / "deaf.json")

    process.stop()

    assert process.exit_code == -signal.SIGKILL


def test_process_ends_its_predecessor_when_one_is_left(tmp_path: Path) -> None:
    """A leftover that ignores SIGTERM is killed, so that two never run at once."""
    left, new = (
        GuardedProcess("deaf", tmp_path, tmp_path / "deaf.log", grace_seconds=0.2) for _ in range(2)
    )
    _launch(left, STUBBORN, tmp_path / "left.json")

    _launch(new, SLEEPER, tmp_path / "new.json")

    assert left.exit_code == -signal.SIGKILL
    assert new.is_running
    new.stop()
    left.stop()


def test_process_sets_a_long_log_aside_when_it_is_launched(tmp_path: Path) -> None:
    """A log does not grow for ever: one predecessor is kept."""
    log = tmp_path / "it.log"
    with log.open("wb") as file:
        file.truncate(11 * 1024 * 1024)
    process = GuardedProcess("it", tmp_path, log)

    process.launch([sys.executable, "-c", "print('fresh')"], os.environ)
    code = process.wait(DEADLINE_SECONDS)
    process.stop()

    assert (code, process.tail()) == (0, "fresh")
    assert (tmp_path / "it.log.1").stat().st_size == 11 * 1024 * 1024


# ---- the stack --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that the cluster is made once; each test starts its own stack on it."""
    directory = tmp_path_factory.mktemp("stack")
    _make_cluster(directory / "postgres")
    return directory


def _sleeper(said: Path, script: str = SLEEPER) -> Child:
    return Child(
        name="sleeper",
        argv=(sys.executable, "-c", script, str(said)),
        ready=said.exists,
        env={"MEMSTILL_EXTRA": "own"},
    )


def _stack(data_dir: Path, *children: Child, **more: object) -> Stack:
    options: dict[str, object] = {"migrate": lambda _url: None, "api_port": _free_port()}
    return Stack(data_dir, children=children, **(options | more))  # type: ignore[arg-type]


def test_stack_tells_children_and_neighbours_where_it_is_when_it_is_up(
    data_dir: Path, tmp_path: Path
) -> None:
    """Endpoints are published once all is up and withdrawn at the stop; order is kept."""
    lines: list[str] = []
    migrated: list[str] = []
    said = tmp_path / "said.json"
    port = _free_port()
    with _stack(
        data_dir, _sleeper(said), migrate=migrated.append, api_port=port, progress=lines.append
    ) as stack:
        found = read_endpoints(data_dir)
        env = json.loads(said.read_text())["env"]

    assert stack.endpoints == found
    assert (os.getpid(), f"http://127.0.0.1:{port}") == (found.pid, found.api_url)
    assert [found.database_url] == migrated
    assert {
        "MEMSTILL_DATABASE_URL": found.database_url,
        "MEMSTILL_REDIS_URL": found.redis_url,
        "MEMSTILL_INDEX_URL": f"edge:{data_dir}/index",
        "MEMSTILL_API_HOST": "127.0.0.1",
        "MEMSTILL_API_PORT": str(port),
        "MEMSTILL_EXTRA": "own",
    } == env
    assert lines == [
        "Redis is up",
        "PostgreSQL is up",
        "the database schema is current",
        "sleeper is up",
        "sleeper is down",
        "PostgreSQL is down",
        "Redis is down",
    ]
    with pytest.raises(ConfigurationError, match="is not running on"):
        read_endpoints(data_dir)


def test_stack_refuses_to_start_when_one_runs_on_its_directory(data_dir: Path) -> None:
    """The second one leaves the first one and its endpoints as they are."""
    with _stack(data_dir) as first:
        with pytest.raises(ConfigurationError, match="is already running on"):
            _stack(data_dir).run_until_stopped()

        assert first.endpoints == read_endpoints(data_dir)


def test_stack_refuses_to_start_when_its_port_is_taken(data_dir: Path) -> None:
    """The error names the address and the option, and no server is left running."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        stack = _stack(data_dir, api_port=other.getsockname()[1])
        with pytest.raises(ConfigurationError, match=r"cannot listen on .*name another port"):
            stack.start()

    assert stack.pid_of("redis") is None


def test_stack_stops_all_again_when_a_child_fails_to_start(data_dir: Path) -> None:
    """The error shows what the child said, the directory is free and nothing runs on."""
    failing = Child("broken", (sys.executable, "-c", "exit('no such thing')"), lambda: False)
    stack = _stack(data_dir, failing)

    with pytest.raises(DependencyUnavailable, match=r"broken ended with status 1.*\nno such thing"):
        stack.start()

    pids = [stack.pid_of(name) for name in ("redis", "postgres", "broken")]
    assert [guard.birth_of(pid) for pid in pids if pid is not None] == [None, None, None]
    with _stack(data_dir):
        pass


def test_stack_stops_all_again_when_a_child_stays_silent(data_dir: Path, tmp_path: Path) -> None:
    """Waiting for a child ends at its deadline, not never."""
    said = tmp_path / "said.json"
    silent = Child(
        "silent", (sys.executable, "-c", SLEEPER, str(said)), lambda: False, ready_seconds=0.3
    )
    stack = _stack(data_dir, silent)

    with pytest.raises(DependencyUnavailable, match=r"silent did not answer within 0\.3 s"):
        stack.start()
    assert guard.birth_of(stack.pid_of("silent") or 0) is None


@pytest.mark.parametrize("name", ["sleeper", "redis", "postgres"])
def test_stack_starts_a_child_again_when_it_was_killed(
    data_dir: Path, tmp_path: Path, name: str
) -> None:
    """Whatever dies is back under a new pid, and the data are still there."""
    restarts = RestartPolicy(first_seconds=0.05)
    lines: list[str] = []
    with _stack(
        data_dir, _sleeper(tmp_path / "said.json"), restarts=restarts, progress=lines.append
    ) as stack:
        _remember(stack.endpoints.redis_url, name)
        _write_row(stack.endpoints.database_url)
        rows = _count_rows(stack.endpoints.database_url)
        before = stack.pid_of(name)
        assert before is not None
        os.kill(before, signal.SIGKILL)
        _wait_for(lambda: lines[-1].endswith("is up again"))

        assert before != stack.pid_of(name)
        assert name == _recalled(stack.endpoints.redis_url)
        assert rows == _count_rows(stack.endpoints.database_url)


def test_stack_ends_a_child_that_hangs_and_starts_it_again(data_dir: Path, tmp_path: Path) -> None:
    """A stopped process runs and does nothing; its successor does."""
    hung: list[int] = []

    def is_alive() -> bool:
        # The first question may come before anything was stopped, and before the name is bound.
        return not hung or stack.pid_of("sleeper") not in hung

    child = replace(_sleeper(tmp_path / "said.json"), alive=is_alive)
    restarts = RestartPolicy(first_seconds=0.05, ask_seconds=0.05, max_silences=3)
    lines: list[str] = []
    with _stack(data_dir, child, restarts=restarts, progress=lines.append) as stack:
        before = stack.pid_of("sleeper")
        assert before is not None
        os.kill(before, signal.SIGSTOP)
        hung.append(before)
        _wait_for(lambda: lines[-1].endswith("is up again"))

        assert stack.pid_of("sleeper") not in {before, None}
        assert None is guard.birth_of(before)
    assert lines.count("sleeper hangs: ending it") == 1


# ---- the stack as a process of its own --------------------------------------------------------


class Up:
    """A process that runs a stack until it is told otherwise."""

    def __init__(self, data_dir: Path, folder: Path, script: str = SLEEPER) -> None:
        self.data_dir = data_dir
        self.said = folder / "said.json"
        self.output = folder / "up.log"
        argv = [sys.executable, "-c", UP, str(data_dir), str(_free_port()), str(self.said), script]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(argv, stdout=output, stderr=subprocess.STDOUT)

    def has_said(self, line: str) -> bool:
        assert self.process.poll() is None, self.output.read_text()
        return line in self.output.read_text().splitlines()

    def wait_until_up(self) -> None:
        _wait_for(lambda: self.has_said("sleeper is up"))
        _wait_for((self.data_dir / "endpoints.json").exists)

    def family(self) -> set[int]:
        """Its descendants and all that has its directory in the command line."""
        parents = {pid: _parent_of(pid) for pid in _all_pids()}
        family = {self.process.pid}
        while grown := {pid for pid, parent in parents.items() if parent in family} - family:
            family |= grown
        return (family | self.relatives()) - {self.process.pid}

    def is_gone(self) -> bool:
        return not self.relatives()

    def relatives(self) -> set[int]:
        named = {pid for pid in _all_pids() if str(self.data_dir) in guard.command_of(pid)}
        return named - {self.process.pid, os.getpid()}


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _parent_of(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(stat.rpartition(")")[2].split()[1])


@pytest.fixture
def start_up(data_dir: Path, tmp_path: Path) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def start(script: str = SLEEPER) -> Up:
        started.append(Up(data_dir, tmp_path, script))
        return started[-1]

    yield start
    for up in started:
        up.process.kill()
        up.process.wait()
        _wait_for(up.is_gone)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stack_ends_cleanly_when_it_is_asked_to(
    start_up: Callable[..., Up], number: signal.Signals
) -> None:
    """One signal: every child is stopped, the endpoints are withdrawn, the exit code is 0."""
    up = start_up()
    up.wait_until_up()
    family = up.family()

    up.process.send_signal(number)

    assert up.process.wait(DEADLINE_SECONDS) == 0, up.output.read_text()
    _wait_for(lambda: all(guard.birth_of(pid) is None for pid in family))
    assert not (up.data_dir / "endpoints.json").exists()


def test_stack_ends_cleanly_when_it_is_asked_to_while_it_starts(
    start_up: Callable[..., Up],
) -> None:
    """A stop request does not wait for a start that may take long."""
    up = start_up("import time; time.sleep(600)")
    _wait_for(lambda: up.has_said("the database schema is current"))

    up.process.send_signal(signal.SIGTERM)

    assert up.process.wait(DEADLINE_SECONDS) == 0, up.output.read_text()
    _wait_for(up.is_gone)


def test_stack_waits_less_when_it_is_asked_twice(start_up: Callable[..., Up]) -> None:
    """A child that ignores SIGTERM for two minutes is killed soon after the second signal."""
    up = start_up(STUBBORN)
    up.wait_until_up()

    up.process.send_signal(signal.SIGTERM)
    _wait_for(lambda: not (up.data_dir / "endpoints.json").exists())
    up.process.send_signal(signal.SIGTERM)

    assert up.process.wait(DEADLINE_SECONDS) == 0, up.output.read_text()


def test_stack_leaves_no_process_when_it_is_killed(start_up: Callable[..., Up]) -> None:
    """SIGKILL takes every child along, and the next start works on what is left."""
    up = start_up()
    up.wait_until_up()
    family = up.family()
    assert len(family) > 6

    up.process.kill()
    up.process.wait()

    _wait_for(lambda: all(guard.birth_of(pid) is None for pid in family))
    with pytest.raises(ConfigurationError, match="is not running on"):
        read_endpoints(up.data_dir)
    with _stack(up.data_dir) as successor:
        assert successor.endpoints == read_endpoints(up.data_dir)


def test_stack_comes_up_when_its_predecessor_was_killed_this_moment(
    start_up: Callable[..., Up], tmp_path: Path
) -> None:
    """A start does not trip over children that are still being taken down."""
    up = start_up()
    up.wait_until_up()
    _write_row(read_endpoints(up.data_dir).database_url)
    up.process.kill()
    up.process.wait()

    with _stack(up.data_dir, _sleeper(tmp_path / "again.json")) as successor:
        assert _count_rows(successor.endpoints.database_url) > 0
