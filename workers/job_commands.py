"""``memstill jobs`` and ``memstill run``: what runs by the clock, and running it by hand."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from workers.command_options import ApiUrl, AsJson, DataDir, connect, err, out, print_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memstill_client.jobs import JobStatus, JobTurn

STYLES = {"done": "green", "failed": "red", "running": "cyan", "waiting": "cyan"}
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def jobs(as_json: AsJson = False, data: DataDir = None, api: ApiUrl = None) -> None:
    """Show what runs by the clock: how often, when it ran last, what came of it, when next.

    Ends with 1 where the latest run of a job has failed.
    """
    with connect(api, data, None) as client:
        found = client.jobs()
    if as_json:
        print_json(found)
    else:
        out.print(_sheet(found, datetime.now(UTC)))
    raise typer.Exit(1 if any(job.state == "failed" for job in found) else 0)


def run(
    job: Annotated[str, typer.Argument(help="As `memstill jobs` names it.")],
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
) -> None:
    """Run a job now, unless it has run in this slot of its schedule: then there is nothing to do.

    For a CronJob, or a hand; firing it twice is harmless.
    """
    with connect(api, data, None) as client, err.status(f"{job} ...") as line:
        turn = client.run_job(job)
        while turn.state == "waiting":
            line.update(f"{job}: {_counted(turn.counts)} so far")
            time.sleep(turn.delay_seconds or 0)
            turn = client.run_job(job)
    if as_json:
        print_json(turn)
    else:
        out.print(_ending(job, turn))


def _ending(job: str, turn: JobTurn) -> str:
    if turn.state == "skipped":
        return f"{job}: {turn.note}"
    return f"{job}: {_counted(turn.counts)}"


def _sheet(found: tuple[JobStatus, ...], now: datetime) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("job", "every", "state", "last done", "took", "next", "what came of it"):
        table.add_column(name, overflow="fold")
    for job in found:
        state = job.state or "never ran"
        table.add_row(
            Text(job.job),
            Text(_span(job.interval_seconds)),
            Text(state, style=STYLES.get(state, "dim")),
            Text(_ago(job.succeeded_at, now)),
            Text("" if job.took_seconds is None else f"{job.took_seconds:.2f} s"),
            Text(_until(job.next_at, now)),
            Text(_came_of(job), style="" if job.state == "failed" else "dim"),
        )
    return table


def _came_of(job: JobStatus) -> str:
    if job.state is None:
        return job.purpose
    return job.note or _counted(job.counts)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "nothing to do"


def _ago(at: datetime | None, now: datetime) -> str:
    return "never" if at is None else f"{_span((now - at).total_seconds())} ago"


def _until(at: datetime, now: datetime) -> str:
    seconds = (at - now).total_seconds()
    return "due" if seconds <= 0 else f"in {_span(seconds)}"


def _span(seconds: float) -> str:
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{max(0.0, seconds):.3g} s"
