"""``memstill reconcile`` and ``memstill reindex``: the index as the rows say it should be."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from workers.command_options import ApiUrl, AsJson, DataDir, connect, err, out, print_json

if TYPE_CHECKING:
    from memstill_client.index_replies import QueueState, Rebuild, ReconcilePage

EXAMPLES = 10
PAUSE_SECONDS = 0.2


@dataclass(slots=True)
class _Total:
    """All parts together."""

    compared: int = 0
    repaired: int = 0
    found: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    queue: QueueState | None = None

    def add(self, page: ReconcilePage) -> None:
        self.compared += page.compared
        self.repaired += page.repaired
        self.found.update(page.found)
        for kind, keys in page.examples.items():
            known = self.examples.setdefault(kind, [])
            known += map(str, keys[: EXAMPLES - len(known)])
        self.queue = page.queue

    def as_json(self) -> dict[str, Any]:
        return {
            "compared": self.compared,
            "found": self.found,
            "examples": self.examples,
            "repaired": self.repaired,
            "queue": self.queue,
        }

    def is_well(self, *, repaired: bool) -> bool:
        """Whether nothing is left to do."""
        stranded = self.queue.stranded if self.queue else 0
        return repaired or not (self.found.total() or stranded)


def reconcile(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what differs.")] = False,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
) -> None:
    """Compare the index with the rows that it is derived from, and the queue with the work.

    Ends with 1 where something differs and was not mended.
    """
    total = _Total()
    with connect(api, data, None) as client, err.status("") as line:
        for page in client.reconcile(repair=repair):
            total.add(page)
            line.update(f"{total.compared} memories compared, {total.found.total()} differ")
    if as_json:
        print_json(total.as_json())
    else:
        out.print(_sheet(total, repaired=repair))
    raise typer.Exit(0 if total.is_well(repaired=repair) else 1)


def reindex(
    cancel: Annotated[bool, typer.Option("--cancel", help="Give up one under way.")] = False,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
) -> None:
    """Build the index anew beside the live one, and put it in its place.

    Recall and all other work go on meanwhile. One that was interrupted goes on where it was.
    """
    with connect(api, data, None) as client, err.status("") as line:
        found = client.cancel_reindex() if cancel else client.reindex()
        while found.state == "building":
            line.update(f"{found.compared} of {found.expected} memories are in the new index")
            time.sleep(PAUSE_SECONDS)
            found = client.proceed_reindex()
    if as_json:
        print_json(found)
    else:
        out.print(_ending(found, is_cancelled=cancel))


def _ending(found: Rebuild, *, is_cancelled: bool) -> str:
    if found.state == "cancelled":
        return "the rebuild was given up; the index is as it was"
    late = "nothing to give up: " if is_cancelled else ""
    return f"{late}the index was built anew from {found.compared} memories, and is in place"


def _sheet(total: _Total, *, repaired: bool) -> Group:
    lines = [Text(f"{total.compared} memories compared with the index", style="bold")]
    lines += [
        Text.assemble((f"  {kind} {count}", "red"), ("   " + _listed(total, kind), "dim"))
        for kind, count in sorted(total.found.items())
    ]
    if not total.found:
        lines.append(Text("  no difference", style="green"))
    elif repaired:
        lines.append(Text(f"  {total.repaired} of them are being projected anew", style="green"))
    else:
        lines.append(Text("  --repair has them projected anew", style="dim"))
    return Group(*lines, *_queue_lines(total.queue))


def _listed(total: _Total, kind: str) -> str:
    keys = total.examples.get(kind, [])
    return ", ".join(keys) + (" …" if total.found[kind] > len(keys) else "")


def _queue_lines(queue: QueueState | None) -> list[Text | Table]:
    if queue is None:
        return []
    if queue.error:
        return [Text(f"the queue could not be looked at: {queue.error}", style="yellow")]
    style = "red" if queue.stranded else ""
    head = Text(f"{queue.entries} entries in the Stream, {queue.stranded} stranded", style=style)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2))
    for name in ("work", "due and not taken", "wake-ups not taken"):
        table.add_column(name)
    for kind, count in queue.due.items():
        table.add_row(kind, str(count), str(queue.woken.get(kind, 0)))
    return [head, table]
