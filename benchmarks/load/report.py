"""Results as a table, as JSON and as a picture, beside those of the run before."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from benchmarks.load.figures import Figure

RESULTS = Path(__file__).parents[1] / "results"
LATEST, PICTURE = RESULTS / "latest.json", RESULTS / "latest.png"

Run = dict[str, Any]


def show(console: Console, figures: Sequence[Figure], before: Mapping[str, float]) -> None:
    """Print the figures of a scenario, each beside its ceiling, its limit and the run before."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("", "measured", "ceiling", "ratio", "limit", "before", ""):
        table.add_column(heading, justify="left" if not heading else "right")
    for figure in figures:
        table.add_row(
            figure.name,
            _say(figure.value, figure.unit),
            "" if figure.ceiling is None else _say(figure.ceiling, figure.unit),
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            "" if figure.limit is None else f"{figure.bound} {figure.limit:g}",
            "" if figure.name not in before else _say(before[figure.name], figure.unit),
            "" if figure.is_met else "missed",
        )
    console.print(table)


def load_before() -> dict[str, float]:
    """The values of the latest run that was kept, by name; none without one."""
    if not LATEST.exists():
        return {}
    run: Run = json.loads(LATEST.read_text())
    return {item["name"]: item["value"] for item in run["figures"]}


def keep(figures: Sequence[Figure]) -> Path:
    """Write them where the next run finds them; gives the file."""
    RESULTS.mkdir(exist_ok=True)
    run: Run = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "figures": [asdict(figure) | {"ratio": figure.ratio} for figure in figures],
    }
    LATEST.write_text(json.dumps(run, indent=1) + "\n")
    return LATEST


def _say(value: float, unit: str) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2  # noqa: PLR2004 - three digits each
    return f"{value:,.{digits}f} {unit}"
