"""``make bench``: what memstill carries, each figure beside its ceiling in the same run.

python -m benchmarks.load [--full] [--only road]

Ends with 1 where a limit is missed. The figures are kept in ``benchmarks/results`` and shown beside
those of the next run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from benchmarks.load.growth import measure_growth
from benchmarks.load.intake import measure_intake
from benchmarks.load.latency import measure_latency
from benchmarks.load.picture import draw
from benchmarks.load.place import open_place
from benchmarks.load.recall import MANY, MOST, measure_recall
from benchmarks.load.report import PICTURE, keep, load_before, show
from benchmarks.load.road import measure_road
from benchmarks.load.scaling import measure_scaling
from config.logs import configure_logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.load.figures import Figure
    from benchmarks.load.place import Place


@dataclass(frozen=True, slots=True)
class Scenario:
    """Something that is played on a place of its own.

    Attributes:
        latency: Seconds that the endpoint thinks.
        play: Takes the place and how many times as long as usual it may go on.
    """

    title: str
    latency: float
    play: Callable[[Place, int], Iterator[Figure]]


SCENARIOS = {
    "intake": Scenario(
        "Pushing and taking in", 0.0, lambda place, times: measure_intake(place, 2_000 * times)
    ),
    "recall-pgvector": Scenario(
        "Recalling, pgvector",
        0.0,
        lambda place, times: measure_recall(place, "pgvector", with_most=times > 1),
    ),
    "recall-edge": Scenario(
        "Recalling, Qdrant Edge",
        0.0,
        lambda place, times: measure_recall(place, "edge", with_most=times > 1),
    ),
    "growth-pgvector": Scenario(
        "One more session beside many memories, pgvector",
        0.0,
        lambda place, times: measure_growth(place, "pgvector", MOST if times > 1 else MANY),
    ),
    "growth-edge": Scenario(
        "One more session beside many memories, Qdrant Edge",
        0.0,
        lambda place, times: measure_growth(place, "edge", MOST if times > 1 else MANY),
    ),
    "latency": Scenario(
        "From a push to its memories, the model answers at once",
        0.0,
        lambda place, times: measure_latency(place, 200 * times),
    ),
    "scaling": Scenario(
        "One worker process and two, the model answers after 500 ms",
        0.5,
        lambda place, times: measure_scaling(place, rounds=times),
    ),
    "road": Scenario(
        "From the Stream into the index, the model answers after 500 ms",
        0.5,
        lambda place, times: measure_road(place, users=600, parts=17 if times > 1 else 1),
    ),
}
FULL = 5

console = Console(highlight=False, soft_wrap=True, width=130)


def main(
    *,
    full: Annotated[bool, typer.Option("--full", help="So much that growth is seen.")] = False,
    only: Annotated[list[str] | None, typer.Option(help="Scenarios; all if left out.")] = None,
) -> None:
    """Measure."""
    configure_logs("error", "console")
    unknown = set(only or ()) - SCENARIOS.keys()
    if unknown:
        raise typer.BadParameter(f"no scenario is named {', '.join(sorted(unknown))}")
    before = load_before()
    figures: list[Figure] = []
    for name, scenario in SCENARIOS.items():
        if not only or name in only:
            console.rule(f"[bold]{name}[/bold]: {scenario.title}", align="left")
            with open_place(scenario.latency) as place:
                found = list(scenario.play(place, FULL if full else 1))
            show(console, found, before)
            figures += found
    if not only:
        picture = draw(figures, before, PICTURE)
        console.print(f"kept in {keep(figures)} and {picture}")
    raise typer.Exit(0 if all(figure.is_met for figure in figures) else 1)


if __name__ == "__main__":
    typer.run(main)
