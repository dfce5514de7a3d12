"""The processes of the manifests, started with their own command lines, do the whole work."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.acceptance.deployment import REPOSITORY, wait_until
from tests.unit.kubernetes.rendering import command_of, container_of, of_kind, render

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.deployment import Deployment
    from tests.unit.kubernetes.rendering import Resource

PROGRAMS = {
    "celery": (sys.executable, "-m", "celery"),
    "memstill": (sys.executable, "-m", "workers.cli"),
}
# One of threads, one of processes, and beat: every probe is the same command.
PROBED = ("memstill-intake", "memstill-consolidate", "memstill-beat")


def local(command: list[str], folder: Path) -> list[str]:
    """The command line of a container as this machine runs it."""
    program, *rest = command
    return [*PROGRAMS[program], *(it.replace("/tmp/", f"{folder}/") for it in rest)]


def heartbeat_of(folder: Path) -> dict[str, str]:
    return {"MEMSTILL_HEARTBEAT_FILE": str(folder / "heartbeat")}


def start(deployment: Deployment, name: str, resource: Resource, folder: Path) -> None:
    """Start a process with its own pool of connections and its own file."""
    folder.mkdir()
    own = {it["name"]: it.get("value", "") for it in container_of(resource)["env"]}
    shared, pool = deployment.env, own.get("MEMSTILL_DATABASE_POOL", "4")
    deployment.env = shared | heartbeat_of(folder) | {"MEMSTILL_DATABASE_POOL": pool}
    deployment.run(name, *local(command_of(resource), folder))
    deployment.env = shared


def probe(deployment: Deployment, resource: Resource, folder: Path) -> int:
    """The exit code of its liveness probe."""
    command = container_of(resource)["livenessProbe"]["exec"]["command"]
    env = os.environ | deployment.env | heartbeat_of(folder)
    done = subprocess.run(local(command, folder), env=env, cwd=REPOSITORY, check=False, timeout=60)
    return done.returncode


def test_processes_of_the_manifests_make_memories_together(
    modelled: Deployment, tmp_path: Path
) -> None:
    """Each with its queues and its pool, and none with all; their probes pass."""
    modelled.env["MEMSTILL_BEAT"] = "frequent"
    resources = of_kind(render("production"), "Deployment")
    del resources["memstill-api"]
    for name, resource in resources.items():
        start(modelled, name, resource, tmp_path / name)

    with modelled.client() as client:
        said = [{"role": "user", "content": "I live in Lisbon."}]
        receipt = client.enqueue(user_id="alice", session_id="s-1", messages=said)
    modelled.wait_final(receipt)

    def is_indexed() -> bool:
        kept = modelled.memories("alice")
        return bool(kept) and modelled.query("SELECT count(*) FROM outbox") == [(0,)]

    wait_until(is_indexed, "its memories are kept and in the index")
    for name in PROBED:
        assert 0 == probe(modelled, resources[name], tmp_path / name), name
