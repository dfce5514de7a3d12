"""What ``memstill top`` shows, from two looks at the metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from workers.metrics.reading import Look

OLD_SECONDS = 60.0
MANY = 10_000
HUNDRED = 100
# Shown always; of jobs those that ran.
ROAD = ("ingest", "distill", "consolidate", "project")
# As the alert has it.
LATE_INTERVALS, LATE_SECONDS = 3, 600
TOP_REASONS = 5


@dataclass(frozen=True, slots=True)
class Moment:
    """What happened between two looks.

    Attributes:
        now: The later one.
        added: What was counted between them.
        seconds: How far they lie apart.
    """

    now: Look
    added: Look
    seconds: float

    def rate(self, name: str, **labels: str) -> float:
        """How often in a second."""
        return self.added.sum(name, **labels) / self.seconds


def as_data(moment: Moment) -> dict[str, Any]:
    """All that is shown, for ``--json``."""
    return {
        "queues": {queue: _queue(moment.now, queue) for queue in _queues(moment.now)},
        "sessions_per_second": _rates(moment, "memstill_transcripts_total", "outcome"),
        "facts_per_second": _rates(moment, "memstill_facts_settled_total", "outcome"),
        "refused_facts_per_second": _rates(moment, "memstill_facts_refused_total", "reason"),
        "stages": {stage: _stage(moment, stage) for stage in _stages(moment.now)},
        "models": {model: _model(moment, model) for model in _models(moment.now)},
        "servers_away": _away(moment.now),
        "memories": _memories(moment.now),
        "dead_letters": int(moment.now.max("memstill_dead_letters")),
        "parked": int(moment.now.max("memstill_transcripts_parked")),
        "late_jobs": _late(moment.now),
    }


def top_sheet(moment: Moment, title: str) -> RenderableType:
    """All of it for people."""
    shown = as_data(moment)
    return Group(
        Text(title, style="bold"),
        _attention(shown),
        _queue_table(shown["queues"]),
        Text(),
        _line("sessions/s", shown["sessions_per_second"]),
        _line("facts/s", shown["facts_per_second"]),
        _line("refused/s", shown["refused_facts_per_second"], TOP_REASONS),
        _line("memories", shown["memories"]),
        Text(),
        _stage_table(shown["stages"]),
        *(_model_line(name, model) for name, model in shown["models"].items()),
    )


# ---- what is read -----------------------------------------------------------------------------


def _queues(look: Look) -> list[str]:
    return look.values_of("memstill_queue_due", "queue")


def _queue(look: Look, queue: str) -> dict[str, float]:
    return {
        "due": int(look.max("memstill_queue_due", queue=queue)),
        "held": int(look.max("memstill_queue_leased", queue=queue)),
        "oldest_seconds": look.max("memstill_queue_age_seconds", queue=queue),
    }


def _rates(moment: Moment, name: str, label: str) -> dict[str, float]:
    found = moment.now.values_of(name, label)
    return {value: moment.rate(name, **{label: value}) for value in found}


def _stages(look: Look) -> list[str]:
    return look.values_of("memstill_stage_seconds_count", "stage")


def _stage(moment: Moment, stage: str) -> dict[str, float | None]:
    name = "memstill_stage_seconds"
    counts = {
        outcome: moment.rate(f"{name}_count", stage=stage, outcome=outcome)
        for outcome in ("done", "skipped", "snoozed", "deferred", "failed")
    }
    return {
        **counts,
        "p50": moment.added.quantile(0.5, name, stage=stage, outcome="done"),
        "p99": moment.added.quantile(0.99, name, stage=stage, outcome="done"),
    }


def _models(look: Look) -> list[str]:
    return look.values_of("memstill_model_calls_total", "model")


def _model(moment: Moment, model: str) -> dict[str, float]:
    return {
        "calls_per_second": moment.rate("memstill_model_calls_total", model=model),
        "tokens_per_second": moment.rate("memstill_model_tokens_total", model=model),
        "money_per_hour": moment.rate("memstill_model_cost_total", model=model) * 3600,
    }


def _away(look: Look) -> list[str]:
    breakers = look.values_of("memstill_breaker_open", "dependency")
    servers = look.values_of("memstill_server_up", "server")
    return [
        *(name for name in breakers if look.max("memstill_breaker_open", dependency=name)),
        *(name for name in servers if not look.max("memstill_server_up", server=name)),
    ]


def _memories(look: Look) -> dict[str, int]:
    name = "agent_memory_entries_total"
    scopes = look.values_of(name, "scope")
    return {scope: int(look.max(name, scope=scope, layer="structured")) for scope in scopes}


def _late(look: Look) -> list[str]:
    def is_late(job: str) -> bool:
        interval = look.max("memstill_job_interval_seconds", job_name=job)
        age = look.max("memstill_job_age_seconds", job_name=job)
        # One that this installation does not run has no interval.
        return interval > 0 and age > LATE_INTERVALS * interval + LATE_SECONDS

    return [job for job in look.values_of("memstill_job_age_seconds", "job_name") if is_late(job)]


# ---- how it is shown --------------------------------------------------------------------------


def _attention(shown: dict[str, Any]) -> Text:
    told = [
        *(f"{name} is away" for name in shown["servers_away"]),
        *(f"job {job} is late" for job in shown["late_jobs"]),
    ]
    if shown["dead_letters"]:
        told.append(f"{_many(shown['dead_letters'])} dead letters")
    if shown["parked"]:
        told.append(f"{_many(shown['parked'])} sessions parked for a budget")
    return Text("; ".join(told), style="yellow") if told else Text("all is well", style="green")


def _queue_table(queues: dict[str, dict[str, float]]) -> Table:
    table = _table("queue", "due", "held", "oldest")
    for name, queue in queues.items():
        age = queue["oldest_seconds"]
        style = "red" if age > OLD_SECONDS and name != "backfill" else ""
        table.add_row(
            name, _many(queue["due"]), _many(queue["held"]), Text(_seconds(age), style=style)
        )
    return table


def _stage_table(stages: dict[str, dict[str, float | None]]) -> Table:
    table = _table("stage", "done/s", "skipped/s", "put off/s", "failed/s", "p50", "p99")
    for name, stage in stages.items():
        if name not in ROAD and not any(stage.values()):
            continue
        failed = stage["failed"] or 0.0
        put_off = (stage["snoozed"] or 0.0) + (stage["deferred"] or 0.0)
        table.add_row(
            name,
            _rate(stage["done"]),
            _rate(stage["skipped"]),
            Text(_rate(put_off), style="yellow" if put_off else ""),
            Text(_rate(failed), style="red" if failed else ""),
            _seconds(stage["p50"]),
            _seconds(stage["p99"]),
        )
    return table


def _model_line(name: str, model: dict[str, float]) -> Text:
    return Text(
        f"{name}  {_rate(model['calls_per_second'])} calls/s  "
        f"{model['tokens_per_second']:,.0f} tokens/s  {model['money_per_hour']:,.2f} an hour"
    )


def _line(title: str, values: dict[str, float], most: int | None = None) -> Text:
    first = sorted(values.items(), key=lambda item: -item[1])[:most]
    told = "  ".join(f"{name} {_rate(value)}" for name, value in first)
    return Text.assemble((f"{title:<12}", "dim"), told or "-")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    return table


def _many(count: float) -> str:
    return f"{count:,.0f}{'+' if count >= MANY else ''}"


def _rate(value: float | None) -> str:
    if not value:
        return "0"
    return f"{value:,.0f}" if value >= HUNDRED else f"{value:.2g}"


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < OLD_SECONDS else f"{value / 60:.0f} min"
