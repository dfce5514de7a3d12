"""The figures as a picture: how far each is from its limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure as Picture

from benchmarks.load.figures import Bound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmarks.load.figures import Figure

_KEPT, _MISSED, _BEFORE = "#2f7d5b", "#c0563b", "#444444"
_INCHES_A_BAR, _WIDTH = 0.36, 11.0
_LEAST = 1 / 16


def draw(figures: Sequence[Figure], before: Mapping[str, float], file: Path) -> Path:
    """Write a PNG with a bar for each figure that has a limit; gives the file.

    A bar is the share of the limit that is used: up to 1 it is kept, whichever side of the limit
    the figure shall be on. A mark shows where the run before was.
    """
    shown = [figure for figure in figures if figure.limit is not None and figure.value > 0]
    size = (_WIDTH, 1.2 + _INCHES_A_BAR * len(shown))
    picture = Picture(figsize=size, layout="constrained")
    axes = picture.subplots()
    for place, figure in enumerate(shown):
        used = max(_used(figure, figure.value), 2 * _LEAST)
        axes.barh(place, used, color=_KEPT if figure.is_met else _MISSED, height=0.6)
        said = f" {figure.value:,.4g} {figure.unit}"
        axes.text(_LEAST, place, said, va="center", size=8, color="white")
        if before.get(figure.name, 0) > 0:
            earlier = _used(figure, before[figure.name])
            axes.plot([earlier, earlier], [place - 0.4, place + 0.4], color=_BEFORE, linewidth=2)
    axes.set_yticks(range(len(shown)), [figure.name for figure in shown], size=8)
    axes.invert_yaxis()
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(left=_LEAST)
    axes.axvline(1, color=_BEFORE, linestyle="--", linewidth=1)
    axes.set_xlabel("share of the limit that is used (a dark mark: the run before)")
    file.parent.mkdir(exist_ok=True)
    picture.savefig(file, dpi=130)
    return file


def _used(figure: Figure, value: float) -> float:
    limit = figure.limit or value
    return value / limit if figure.bound is Bound.AT_MOST else limit / value
