"""The figures of an evaluation, and how they look on the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from workers.evaluation.scores import NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from workers.evaluation.scores import Score
    from workers.evaluation.spending import Spending


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of a recall within its usual limits, as its caller sees them."""

    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Summary:
    """What an evaluation found; written as ``summary.json``.

    Attributes:
        distilled_by: Distillers and prompt versions of the memories.
        sessions: Transcripts that the pipeline took; ``refused`` were not.
        dead_letters: How many failed for good, for each reason.
        states: How many of them stand in each state.
        seconds: From the first push until all were done.
        memories: How many in each state; ``session`` are active ones that stayed in theirs.
        spending: By purpose, and of ``all``.
        kept: The share of the questions' evidence that current memories rest on.
        scores: Of all questions (``overall``) and by category.
    """

    dataset: str
    distilled_by: tuple[str, ...]
    sessions: int
    refused: int
    dead_letters: Mapping[str, int]
    states: Mapping[str, int]
    seconds: float
    memories: Mapping[str, int]
    spending: Mapping[str, Spending]
    calls_per_session: float
    prompt_tokens_per_session: float
    completion_tokens_per_session: float
    questions: int
    latency: Latency | None
    kept: float | None
    scores: Mapping[str, Score]

    @property
    def is_complete(self) -> bool:
        """Every session went through."""
        return self.refused == 0 and self.states.get("done", 0) == self.sessions


def measure_latency(seconds: Sequence[float]) -> Latency | None:
    """Percentiles that were really measured; None where nothing was."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    at = (ordered[ceil(share * len(ordered)) - 1] for share in (0.5, 0.95))
    return Latency(*(round(1000 * value, 2) for value in at))


def summary_sheet(summary: Summary) -> RenderableType:
    """The figures as a person reads them."""
    return Group(*_lines(summary), Text(""), _score_table(summary))


def _lines(summary: Summary) -> list[Text]:
    distilled = ", ".join(summary.distilled_by) or "nothing"
    cost = (
        f"{summary.calls_per_session:.2f} model calls, "
        f"{summary.prompt_tokens_per_session:,.0f} prompt and "
        f"{summary.completion_tokens_per_session:,.0f} completion tokens a session"
    )
    lines = [
        _line(summary.dataset, f"{summary.sessions:,} sessions in {summary.seconds:.1f} s"),
        _line("distilled by", distilled),
        _line("sessions", _counts(summary.states)),
        _line("memories", _counts(summary.memories)),
        _line("cost", cost),
        *(_line(f"  {name}", _spent(item)) for name, item in summary.spending.items()),
    ]
    if summary.dead_letters:
        lines.append(Text(f"dead letters: {_counts(summary.dead_letters)}", style="red"))
    if summary.refused:
        lines.append(Text(f"{summary.refused:,} transcripts refused", style="red"))
    if summary.latency:
        taken = f"{summary.latency.p50_ms:.1f} ms (p50), {summary.latency.p95_ms:.1f} ms (p95)"
        lines.append(_line("recall", taken))
    if summary.kept is not None:
        lines.append(_line("evidence", f"{summary.kept:.3f} of it is what a memory rests on"))
    return lines


def _line(label: str, text: str) -> Text:
    return Text.assemble((f"{label:<14}", "bold"), text)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items())) or "none"


def _spent(item: Spending) -> str:
    guessed = f", {item.estimated_calls:,} calls estimated" if item.estimated_calls else ""
    return (
        f"{item.calls:,} calls, {item.prompt_tokens:,} prompt and "
        f"{item.completion_tokens:,} completion tokens{guessed}"
    )


def _score_table(summary: Summary) -> RenderableType:
    if not summary.scores:
        return Text("no question has evidence here", style="dim")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("questions", overflow="fold")
    for name in ("n", *NAMES):
        table.add_column(name, justify="right")
    for name, score in summary.scores.items():
        values = (f"{score.values[column]:.3f}" for column in NAMES)
        style = "bold" if name == "overall" else ""
        table.add_row(Text(name), f"{score.questions:,}", *values, style=style)
    return table
