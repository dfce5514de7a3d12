"""Backfill: a file of old transcripts, pushed in chunks and followed to the end."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from memstill_client import InvalidTranscript, Receipt, TranscriptV1, parse_transcript

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    from rich.console import Console

    from memstill_client import Memstill

CHUNK = 200
ASK_AT_ONCE = 5_000
POLL_SECONDS = 0.3
FINAL = ("done", "dead")
SET_ASIDE = ("parked", "batched")

Line = tuple[int, TranscriptV1]


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that breaks the wire format; it was not pushed."""

    line: int
    field: str
    reason: str


@dataclass(slots=True)
class Backfill:
    """What a backfill did.

    Attributes:
        states: How many of the pushed sessions stand in each state at the end.
        receipts: Of the pushed sessions.
    """

    fresh: int = 0
    duplicate: int = 0
    refused: list[Refused] = field(default_factory=list)
    states: dict[str, int] = field(default_factory=dict)
    receipts: list[Receipt] = field(default_factory=list)
    seconds: float = 0.0


def run(client: Memstill, file: Path, console: Console, *, wait: bool) -> Backfill:
    """Push every good line, and wait until all sessions are done, dead letters, or set aside.

    What is parked waits for a budget, what is batched for the model's provider; that takes
    hours, and it goes on by itself.

    Pushing again is harmless: a session that is known is answered with its first receipt.
    """
    started = time.monotonic()
    result = Backfill()
    with make_progress(console) as progress:
        receipts = _push(client, file, result, progress)
        result.receipts = list(receipts.values())
        if wait and receipts:
            _follow(client, receipts, result, progress)
    result.seconds = time.monotonic() - started
    return result


def make_progress(console: Console) -> Progress:
    """Bars of what is done, how many of how many, and since when."""
    return Progress(
        TextColumn("{task.description:>10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def _push(
    client: Memstill, file: Path, result: Backfill, progress: Progress
) -> dict[UUID, Receipt]:
    task = progress.add_task("pushed", total=sum(1 for _ in _lines(file)))
    receipts: dict[UUID, Receipt] = {}
    for chunk in _chunks(file, result):
        answers = client.enqueue_each((item for _, item in chunk), lane="backfill")
        for (line, _), answer in zip(chunk, answers, strict=True):
            if isinstance(answer, Receipt):
                # A session that stands in the file twice is one session.
                result.duplicate += bool(answer.is_duplicate)
                result.fresh += not answer.is_duplicate
                receipts[answer.id] = answer
            else:
                field = answer.field.partition("].")[2] or answer.field
                result.refused.append(Refused(line, field, answer.reason))
        pushed = result.fresh + result.duplicate + len(result.refused)
        progress.update(task, completed=pushed)
    return receipts


def _chunks(file: Path, result: Backfill) -> Iterator[list[Line]]:
    chunk: list[Line] = []
    for number, line in _lines(file):
        try:
            chunk.append((number, parse_transcript(line, now=datetime.now(UTC))))
        except InvalidTranscript as error:
            result.refused.append(Refused(number, error.field, error.reason))
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _lines(file: Path) -> Iterator[tuple[int, bytes]]:
    with file.open("rb") as source:
        for number, line in enumerate(source, 1):
            if line.strip():
                yield number, line


def _follow(
    client: Memstill, receipts: dict[UUID, Receipt], result: Backfill, progress: Progress
) -> None:
    task = progress.add_task("distilled", total=len(receipts))
    while True:
        states = _count_states(client, receipts)
        finished = sum(states.get(name, 0) for name in FINAL)
        progress.update(task, completed=finished)
        set_aside = sum(states.get(name, 0) for name in SET_ASIDE)
        if finished + set_aside == len(receipts):
            result.states = states
            return
        time.sleep(POLL_SECONDS)


def _count_states(client: Memstill, receipts: dict[UUID, Receipt]) -> dict[str, int]:
    by_tenant: defaultdict[str | None, list[Receipt]] = defaultdict(list)
    for receipt in receipts.values():
        by_tenant[receipt.tenant_id].append(receipt)
    total: Counter[str] = Counter()
    for tenant_id, theirs in by_tenant.items():
        for start in range(0, len(theirs), ASK_AT_ONCE):
            chunk = theirs[start : start + ASK_AT_ONCE]
            total.update(client.states(chunk, tenant_id=tenant_id))
    return dict(total)
