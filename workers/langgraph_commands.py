"""``memstill checkpoints clean --langgraph``: what LangGraph's own tables no longer need."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from config.settings import Settings
from pipelines.errors import ConfigurationError
from workers.command_options import AsJson, err, out, print_json
from workers.moments import read_span

if TYPE_CHECKING:
    from config.langgraph import LangGraphPolicy
    from pipelines.flows.clean_threads import Cleaned
    from pipelines.ports.threads import Amount

LangGraphUrl = Annotated[
    str | None,
    typer.Option(
        "--langgraph",
        metavar="ADDRESS",
        help="PostgreSQL that holds LangGraph's tables; MEMSTILL_LANGGRAPH_URL if not given.",
    ),
]
Keep = Annotated[
    int | None,
    typer.Option(min=1, help="So many of the newest stay, of each thread and namespace: 5."),
]
OlderThan = Annotated[
    str | None,
    typer.Option(
        metavar="SPAN",
        help="One goes when as many as stay are older than this: 30m, 7d; 1h if not given.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")]


def clean(
    langgraph: LangGraphUrl = None,
    *,
    keep: Keep = None,
    older_than: OlderThan = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take old checkpoints out of LangGraph's tables, beside the graphs that write them."""
    from workers.langgraph import make_clean_threads

    flow = make_clean_threads(Settings(), langgraph)
    if flow is None:
        raise ConfigurationError(
            "no database of LangGraph is named: give --langgraph or set MEMSTILL_LANGGRAPH_URL"
        )
    flow = replace(flow, policy=_chosen(flow.policy, keep, older_than))
    if dry_run:
        with err.status("looking"):
            before, found = flow.preview()
        _show(before, before - found.amount, found, as_json=as_json, is_dry=True)
    else:
        with err.status("cleaning"):
            before, found, after = flow.clean_all()
        _show(before, after, found, as_json=as_json, is_dry=False)


def _chosen(policy: LangGraphPolicy, keep: int | None, older_than: str | None) -> LangGraphPolicy:
    settle = policy.settle if older_than is None else read_span(older_than, "--older-than")
    return replace(policy, keep=keep or policy.keep, settle=settle)


def _show(before: Amount, after: Amount, found: Cleaned, *, as_json: bool, is_dry: bool) -> None:
    gone = found.amount
    if as_json:
        rows = {"before": before, "gone": gone, "after": after}
        counts = {"threads": found.threads, "left": found.left, "is_dry_run": is_dry}
        print_json(rows | counts)
        return
    out.print(_table({"before": before, "would go" if is_dry else "gone": gone, "after": after}))
    if found.left:
        err.print(f"{found.left} threads were left as they are: they change, or are foreign")
    if not is_dry and found.threads:
        err.print("PostgreSQL uses the space again; its files shrink only with VACUUM FULL")


def _table(rows: dict[str, Amount]) -> Table:
    table = Table("", "checkpoints", "writes", "blobs", "bytes", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, amount in rows.items():
        numbers = (amount.checkpoints, amount.writes, amount.blobs, amount.size_bytes)
        table.add_row(name, *(f"{number:,}" for number in numbers))
    return table
