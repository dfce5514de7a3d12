"""Handing out what one process, or several, have recorded."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from config.settings import Settings
from pipelines.errors import ConfigurationError
from tests.acceptance.deployment import free_port
from tests.scraping import look
from workers.metrics.children import ChildrensFigures
from workers.metrics.handing_out import handing_out
from workers.metrics.reading import read_look

if TYPE_CHECKING:
    from pathlib import Path

RECORD = """
from workers.metrics import catalogue
catalogue.WAKE_UPS.labels("memstill.distill").inc(3)
catalogue.BREAKER_OPEN.labels("index").set(1)
"""


def test_counts_of_children_that_have_ended_stay_and_their_states_go(tmp_path: Path) -> None:
    """A child is replaced now and then; what it took for away then says nothing."""
    env = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", RECORD], env=env, check=True, timeout=60)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ChildrensFigures(tmp_path))

    found = read_look([generate_latest(registry).decode()])

    assert 6 == found.sum("memstill_wake_ups_total", task="memstill.distill")
    assert [] == found.values_of("memstill_breaker_open", "dependency")


def test_port_that_is_taken_is_refused_by_its_setting() -> None:
    """Each process of a host takes one of its own."""
    settings = Settings(metrics_port=free_port())
    assert settings.metrics_port is not None

    with handing_out(settings, with_stored=False):
        assert "process_cpu_seconds_total" in look(settings.metrics_port).names
        with (
            pytest.raises(ConfigurationError, match="MEMSTILL_METRICS_PORT: cannot listen"),
            handing_out(settings, with_stored=False),
        ):
            pass

    assert not look(settings.metrics_port).names
