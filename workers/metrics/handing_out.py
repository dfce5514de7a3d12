"""Handing metrics out: on a port of its own in every process, and as a route of the API."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Final

import structlog

from pipelines.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import CollectorRegistry

    from config.settings import Settings

log = structlog.get_logger(__name__)

_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"


def make_registry(settings: Settings, *, with_stored: bool) -> CollectorRegistry:
    """All that this process hands out.

    Args:
        settings: Of the servers.
        with_stored: Also what only the servers know.
    """
    from prometheus_client import GCCollector, ProcessCollector

    registry = _recorded()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    if with_stored:
        from workers.metrics.stored import StoredFigures

        registry.register(StoredFigures(settings))
    return registry


def _recorded() -> CollectorRegistry:
    """What was recorded, by this process or by all that it has forked."""
    from prometheus_client import CollectorRegistry

    from workers.metrics.catalogue import REGISTRY
    from workers.metrics.children import ChildrensFigures

    made = CollectorRegistry(auto_describe=False)
    folder = os.environ.get(_FOLDER)
    made.register(ChildrensFigures(Path(folder)) if folder else REGISTRY)
    return made


@contextmanager
def shared_with_children() -> Iterator[None]:
    """Let what children of this process record be handed out by it.

    Entered before anything is recorded: then each process writes to a file in one folder.
    """
    folder = tempfile.mkdtemp(prefix="memstill-metrics-")
    os.environ[_FOLDER] = folder
    try:
        yield
    finally:
        os.environ.pop(_FOLDER, None)
        rmtree(folder, ignore_errors=True)


@contextmanager
def handing_out(settings: Settings, *, with_stored: bool) -> Iterator[None]:
    """Answer ``/metrics`` on ``MEMSTILL_METRICS_PORT`` in a thread, if that is set.

    Raises:
        ConfigurationError: The port is taken.
    """
    if settings.metrics_port is None:
        yield
        return
    from prometheus_client import start_http_server

    registry = make_registry(settings, with_stored=with_stored)
    host, port = settings.metrics_host, settings.metrics_port
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise ConfigurationError(
            f"MEMSTILL_METRICS_PORT: cannot listen on {host}:{port} ({error.strerror}): name a "
            "port of its own for each process of this host"
        ) from None
    log.info("metrics_handed_out", host=host, port=port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
