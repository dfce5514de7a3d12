"""What ``kubectl apply -k`` would send, by Kustomize itself."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

MANIFESTS = Path(__file__).parents[3] / "k8s"
OVERLAYS = ("dev", "production")
_RENDER = """
import asyncio, json, sys
import pykustomize
print(json.dumps(asyncio.run(pykustomize.build_json(sys.argv[1])).resources))
"""

Resource = dict[str, Any]


@lru_cache
def render(overlay: str) -> tuple[Resource, ...]:
    """The resources of an overlay, in order; an error of Kustomize is one of the test."""
    return render_folder(MANIFESTS / "overlays" / overlay)


def render_folder(folder: Path) -> tuple[Resource, ...]:
    """In a process of its own: the library brings Go's runtime along."""
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        return tuple(json.loads(_run(sys.executable, "-c", _RENDER, str(folder))))
    # The package holds the library for one platform alone.
    kustomize = shutil.which("kustomize")
    assert kustomize, "install kustomize 5: the locked package has it for Linux on x86-64 alone"
    return tuple(yaml.safe_load_all(_run(kustomize, "build", str(folder))))


def of_kind(resources: tuple[Resource, ...], *kinds: str) -> dict[str, Resource]:
    """Those of a kind by name."""
    return {it["metadata"]["name"]: it for it in resources if it["kind"] in kinds}


def pod_of(resource: Resource) -> Resource:
    """The pod that a resource makes, with its metadata."""
    spec: Resource = resource["spec"]
    if resource["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    found: Resource = spec["template"]
    return found


def container_of(resource: Resource) -> Resource:
    """Its one container."""
    (found,) = pod_of(resource)["spec"]["containers"]
    container: Resource = found
    return container


def command_of(resource: Resource) -> list[str]:
    """All that is run, as one list."""
    container = container_of(resource)
    return [*container.get("command", []), *container.get("args", [])]


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert 0 == done.returncode, done.stderr
    return done.stdout
