"""The orders of ``memstill redistill``."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from workers.cli import app


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--tenant", "acme", "drop"], "put --tenant behind drop"),
        (["--since", "2026-01-01", "switch"], "put --since behind switch"),
        (["--json", "diff"], "put --json behind diff"),
    ],
)
def test_option_before_an_order_is_refused(options: list[str], named: str) -> None:
    """It would be lost, and the order meant for one tenant be given to another."""
    result = CliRunner().invoke(app, ["redistill", *options], env={"COLUMNS": "200"})

    assert 2 == result.exit_code
    assert named in result.output


def test_redistill_alone_shows_what_it_can_do() -> None:
    """Without a date nothing is begun."""
    result = CliRunner().invoke(app, ["redistill"])

    assert 2 == result.exit_code
    for order in ("--since", "status", "diff", "switch", "back-out", "drop"):
        assert order in result.output
