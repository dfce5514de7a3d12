"""The Compose file agrees with the code: what needs no Docker engine to be checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from config.settings import Settings
from workers.cli import app

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    content = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
    found: dict[str, dict[str, Any]] = content["services"]
    return found


def test_compose_starts_every_part(services: dict[str, dict[str, Any]]) -> None:
    """Servers, migration, API, worker and beat, each that serves with a health check."""
    assert {"redis", "postgres", "qdrant", "migrate", "api", "worker", "beat"} == set(services)
    for name in ("redis", "postgres", "qdrant", "api", "worker"):
        assert "healthcheck" in services[name], name


def test_compose_sets_only_settings_that_exist(services: dict[str, dict[str, Any]]) -> None:
    """A misspelt variable would be ignored in silence."""
    known = {f"MEMSTILL_{name.upper()}" for name in Settings.model_fields}

    for name, service in services.items():
        variables = {key for key in service.get("environment", {}) if key.startswith("MEMSTILL_")}
        assert variables <= known, name


def test_compose_api_asks_for_keys_unless_it_is_told_otherwise(
    services: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its container it listens everywhere, so the usual setting is not off."""
    env = services["api"]["environment"]
    assert "${MEMSTILL_AUTH:-auto}" == env["MEMSTILL_AUTH"]
    monkeypatch.setenv("MEMSTILL_API_HOST", env["MEMSTILL_API_HOST"])
    monkeypatch.setenv("MEMSTILL_AUTH", "auto")

    assert Settings().needs_keys


def test_compose_runs_commands_that_exist(services: dict[str, dict[str, Any]]) -> None:
    """Every ``memstill`` command of the file is one of the command line's."""
    commands = get_command(app)
    named = {
        match.group(1)
        for service in services.values()
        if (match := re.match(r"memstill (\S+)", service.get("command", "")))
    }

    assert {"migrate", "api"} == named
    assert named <= set(commands.commands)  # type: ignore[attr-defined]


def test_compose_scales_the_worker(services: dict[str, dict[str, Any]]) -> None:
    """``--scale worker=N`` works: no fixed name and no published port stand in its way."""
    assert not {"container_name", "ports"} & set(services["worker"])


def test_compose_redis_loses_nothing(services: dict[str, dict[str, Any]]) -> None:
    """The Stream must survive a crash, and a full memory must refuse rather than evict."""
    command = services["redis"]["command"]

    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
