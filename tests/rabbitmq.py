"""A RabbitMQ of one's own: free ports, own cookie, own folder; ended by its id."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Self

from pipelines.adapters.intake_queue import open_rabbitmq
from tests.acceptance.deployment import free_port

UNPACKED = Path(__file__).parents[1] / ".venv" / "rabbitmq"
START_SECONDS = 60.0
STOP_SECONDS = 30.0
# A scheduler that is idle does not spin: other tests run on the same cores.
ERLANG_OPTIONS = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -start_epmd false"
_LEADER = "candidate -> leader"
SETTINGS = """
listeners.tcp.1 = 127.0.0.1:{port}
loopback_users = none
disk_free_limit.absolute = 50MB
"""


class RabbitMq:
    """One node, until the block ends; it can be killed and started again with what it has."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._env = self._make_env()
        self._epmd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self._port}//"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGTERM)
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait(STOP_SECONDS)

    def start(self, *queues: str) -> None:
        """Start, and wait until it answers and these quorum queues have a leader again."""
        before = self._read_log().count(_LEADER)
        if self._epmd is None:
            self._epmd = self._run("epmd", find("epmd"))
        self._server = self._run("rabbitmq", find("rabbitmq-server"))
        deadline = time.monotonic() + START_SECONDS
        while not (self._answers() and self._leads(queues, before)):
            assert self._server.poll() is None, self._read_log()
            assert time.monotonic() < deadline, self._read_log()
            time.sleep(0.1)

    def stop(self, by: signal.Signals) -> None:
        """End it and all that it has started: its process group is its own."""
        if self._server is not None:
            os.killpg(self._server.pid, by)
            try:
                self._server.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self._server.pid, signal.SIGKILL)
                self._server.wait(STOP_SECONDS)
            self._server = None

    def _leads(self, queues: tuple[str, ...], before: int) -> bool:
        since = self._read_log().split(_LEADER)[before:-1]
        return all(any(f"'{queue}'" in line for line in since) for queue in queues)

    def _read_log(self) -> str:
        path = self._folder / "rabbitmq.log"
        return path.read_text() if path.exists() else ""

    def _answers(self) -> bool:
        try:
            with closing(open_rabbitmq(self.url, 2.0)) as connection:
                connection.connect()
        except OSError:
            return False
        return True

    def _run(self, name: str, program: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [program],
                env=self._env,
                cwd=self._folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _make_env(self) -> dict[str, str]:
        cookie = self._folder / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)
        (self._folder / "rabbitmq.conf").write_text(SETTINGS.format(port=self._port))
        programs = [str(UNPACKED / "usr/lib/erlang/bin"), os.environ["PATH"]]
        return os.environ | {
            "PATH": os.pathsep.join(programs),
            "HOME": str(self._folder),
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"memstill-{self._port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_BASE": str(self._folder),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(self._folder / "pid"),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self._folder / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERLANG_OPTIONS,
        }


def find(program: str) -> str:
    """The one that was unpacked, else that of this machine; a missing one is a failure."""
    places = [
        UNPACKED / "usr/lib/erlang/bin",
        *(UNPACKED / "usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin"),
    ]
    path = os.pathsep.join([*map(str, places), os.environ["PATH"]])
    found = shutil.which(program, path=path)
    assert found, f"{program} is missing: `make rabbitmq` fetches it"
    return found
