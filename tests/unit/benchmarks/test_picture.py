"""The figures as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.load.figures import Bound, Figure
from benchmarks.load.picture import draw

if TYPE_CHECKING:
    from pathlib import Path


def test_picture_shows_figures_with_a_limit_whatever_their_values(tmp_path: Path) -> None:
    """Kept, missed, far beyond, nearly nothing or none at all; with and without a run before."""
    figures = [
        Figure("kept", 19.5, "ms", limit=20),
        Figure("missed", 3.0, "/s", 100, limit=60, bound=Bound.AT_LEAST),
        Figure("far beyond", 9_000.0, "x", limit=1.3),
        Figure("nothing", 0.0, "MB", limit=10),
        Figure("below", -1.5, "MB", limit=10),
        Figure("only told", 4.0, "ms"),
    ]

    file = draw(figures, {"kept": 25.0, "missed": 0.0, "gone": 1.0}, tmp_path / "new" / "it.png")

    assert file.read_bytes().startswith(b"\x89PNG")
    assert file.stat().st_size > 5_000
