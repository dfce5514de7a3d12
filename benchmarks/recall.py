"""How much of the evidence recall brings up, offline and with recorded model outputs.

python -m benchmarks.recall DATASET_DIR

The data set is evaluated twice on a memstill of its own each time: with the offline distiller, and
with the model distiller on an endpoint that answers what a real model once found.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.recorded_endpoint import RecordedEndpoint
from benchmarks.recording import load_recording
from config.logs import configure_logs
from pipelines.adapters.minilm import MiniLmEmbedder
from workers.evaluation.evaluate import Plan, evaluate
from workers.evaluation.scores import NAMES
from workers.evaluation.summary import summary_sheet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.evaluation.summary import Summary

OFFLINE = {"MEMSTILL_DISTILLER": "offline"}
DEFAULT_OUT = Path(".eval")

_console = Console(highlight=False, soft_wrap=True)


def main(
    dataset: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = DEFAULT_OUT,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many sessions.")] = None,
) -> None:
    """Evaluate a data set with and without a model, and compare."""
    configure_logs("warning", "console")
    found = {
        "offline": _run(Plan(dataset, out / "offline", limit=limit, env=OFFLINE)),
        "recorded": _run_recorded(dataset, out / "recorded", limit),
    }
    _console.print(_comparison(found))
    raise typer.Exit(0 if all(summary.is_complete for summary in found.values()) else 1)


def _run(plan: Plan) -> Summary:
    summary = evaluate(plan, _console)
    _console.print(summary_sheet(summary), "")
    return summary


def _run_recorded(dataset: Path, out: Path, limit: int | None) -> Summary:
    recorded = load_recording(dataset)
    with RecordedEndpoint(recorded, tokens=MiniLmEmbedder()) as endpoint:
        env = {
            "MEMSTILL_DISTILLER": "model",
            "MEMSTILL_MODEL_BASE_URL": endpoint.base_url,
            "MEMSTILL_MODEL_NAME": "recorded",
        }
        summary = _run(Plan(dataset, out, limit=limit, env=env))
        counts, missing = endpoint.counts, endpoint.recording.missing
    _console.print(
        f"at the endpoint: {counts.calls:,} calls, {counts.judgements:,} of them about "
        f"{counts.pairs:,} pairs; {counts.prompt_tokens:,} prompt tokens, "
        f"{counts.tokens_by_chars:,} by characters; {missing:,} sessions were not recorded\n"
    )
    return summary


def _comparison(found: Mapping[str, Summary]) -> Table:
    """Side by side; calls and prompt tokens are those of one session."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("", "memories", *NAMES, "calls", "prompt", "p50 ms", "p95 ms"):
        table.add_column(name, justify="right" if name else "left")
    for name, summary in found.items():
        scores = summary.scores["overall"].values if summary.scores else {}
        latency = summary.latency
        table.add_row(
            name,
            f"{sum(summary.memories.values()):,}",
            *(f"{scores[column]:.3f}" if scores else "" for column in NAMES),
            f"{summary.calls_per_session:.2f}",
            f"{summary.prompt_tokens_per_session:,.0f}",
            *(
                f"{value:.1f}"
                for value in ((latency.p50_ms, latency.p95_ms) if latency else (0.0, 0.0))
            ),
        )
    return table


if __name__ == "__main__":
    typer.run(main)
