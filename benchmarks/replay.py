"""How many memories grow when what is known is told again, in the same words or in others.

    python -m benchmarks.replay DATASET_DIR

The first recorded facts of a data set are distilled once. Then the same sessions arrive again as
new ones, later, and the endpoint answers the same statements, or reworded ones. Reworded ones are
told twice: to a judge who knows which statements come from the same recorded fact, and to one who
never finds two statements the same. PostgreSQL, Redis, the embedding model and every rule are real.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path  # noqa: TC003 - typer reads signatures at run time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.pairs import Fate, Pair, decide_fates
from benchmarks.recorded_endpoint import RecordedEndpoint, as_recorded
from benchmarks.recording import Truth, first_facts, load_recording
from benchmarks.rewording import make_rewording
from benchmarks.stage import open_stage, tell
from config.logs import configure_logs
from config.policy import DedupPolicy
from memstill_client import parse_transcript
from pipelines.adapters.minilm import MiniLmEmbedder
from pipelines.model import MemoryState, receipt_id
from pipelines.stages.verbatim import VERBATIM
from workers.payloads import to_transcript

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from benchmarks.recording import RecordedSession, Wording
    from benchmarks.stage import Stage
    from pipelines.model import Transcript
    from workers.container import Container

FACTS = 527
# Whole weeks: a "last Friday" is a Friday again.
LATER = timedelta(weeks=52)
BASE = "base"

_console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Retelling:
    """How the sessions are told a second time, and who judges."""

    name: str
    wording: Wording
    judge: Callable[[dict[str, object]], str]


@dataclass(frozen=True, slots=True)
class Growth:
    """What the second telling did.

    Attributes:
        before: Memories of recorded facts that held until then.
        added: Memories more that hold now.
        beside: Memories more of what was only said beside the facts; told a year later, a
            "yesterday" is another day.
        outcomes: What became of the recorded facts of the second telling.
        pairs: How many pairs the judge was asked about.
    """

    name: str
    before: int
    added: int
    beside: int
    outcomes: Counter[str]
    pairs: int


def main(
    dataset: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    facts: Annotated[int, typer.Option(min=1, help="How many recorded facts.")] = FACTS,
    show: Annotated[int, typer.Option(min=0, help="Reworded statements to print.")] = 0,
) -> None:
    """Tell recorded sessions twice, and count the memories that the second time adds."""
    configure_logs("error", "console")
    sessions = first_facts(load_recording(dataset), facts)
    names = {fact.speaker for session in sessions for fact in session.facts}
    reworded = make_rewording(names)
    truth = Truth(sessions, [as_recorded, reworded])
    retellings = [
        Retelling("the same words", as_recorded, truth.judge),
        Retelling("other words", reworded, truth.judge),
        Retelling("other words, a judge who never says same", reworded, lambda _: "both"),
    ]
    transcripts = load_transcripts(dataset / "transcripts.jsonl", sessions)
    with open_stage() as stage:
        found = _measure(stage, sessions, transcripts, retellings)
    _console.print(_table(found), "")
    _describe_rewording(sessions, reworded, show)


def load_transcripts(path: Path, sessions: Iterable[RecordedSession]) -> list[Transcript]:
    """The transcripts of these sessions, in the order of the file."""
    wanted = {(session.user_id, session.session_id) for session in sessions}
    now = datetime.now(UTC)
    lines = path.read_text("utf-8").splitlines()
    read = (to_transcript(parse_transcript(line, now=now), default_tenant="eval") for line in lines)
    return [item for item in read if (item.owner.user_id, item.session_id) in wanted]


def _measure(
    stage: Stage,
    sessions: Sequence[RecordedSession],
    transcripts: Sequence[Transcript],
    retellings: Sequence[Retelling],
) -> list[Growth]:
    stage.make_database(BASE)
    truth = Truth(sessions, [as_recorded])
    with (
        RecordedEndpoint(sessions, judge=truth.judge) as endpoint,
        stage.open(BASE, endpoint.base_url) as container,
    ):
        tell(container, transcripts)
        outcomes = count_outcomes(container, transcripts, _wordings(sessions, as_recorded))
        _console.print(f"told once: {_counts(outcomes)}")
    found: list[Growth] = []
    for number, retelling in enumerate(retellings):
        name = f"retelling_{number}"
        stage.make_database(name, like=BASE)
        found.append(_retell(stage, name, sessions, transcripts, retelling))
    return found


def _retell(
    stage: Stage,
    database: str,
    sessions: Sequence[RecordedSession],
    transcripts: Sequence[Transcript],
    retelling: Retelling,
) -> Growth:
    again = [tell_later(item) for item in transcripts]
    with (
        RecordedEndpoint(sessions, wording=retelling.wording, judge=retelling.judge) as endpoint,
        stage.open(database, endpoint.base_url) as container,
    ):
        before = count_current(container, transcripts)
        tell(container, again)
        added = count_current(container, transcripts)
        added.subtract(before)
        return Growth(
            retelling.name,
            before[False],
            added[False],
            added[True],
            count_outcomes(container, again, _wordings(sessions, retelling.wording)),
            endpoint.counts.pairs,
        )


def tell_later(transcript: Transcript) -> Transcript:
    """The same messages as a new session, a year later."""
    key = f"{transcript.idempotency_key}-again"
    return replace(
        transcript,
        id=receipt_id(transcript.owner, key),
        session_id=f"{transcript.session_id}-again",
        idempotency_key=key,
        content_hash=f"{transcript.content_hash}-again",
        started_at=transcript.started_at + LATER,
        messages=tuple(
            replace(message, created_at=message.created_at + LATER)
            for message in transcript.messages
        ),
    )


def count_current(container: Container, transcripts: Iterable[Transcript]) -> Counter[bool]:
    """Memories that hold, of all these users; under True those of what was said beside facts."""
    return Counter(
        memory.distilled_by == VERBATIM
        for owner in {item.owner for item in transcripts}
        for memory in container.store.export_memories(owner.tenant_id, owner.user_id, None, 100_000)
        if memory.state is MemoryState.ACTIVE
    )


def _wordings(sessions: Iterable[RecordedSession], wording: Wording) -> set[str]:
    return {" ".join(wording(fact.text).split()) for item in sessions for fact in item.facts}


def count_outcomes(
    container: Container, transcripts: Iterable[Transcript], statements: Collection[str]
) -> Counter[str]:
    """What became of these statements in these sessions."""
    counted: Counter[str] = Counter()
    for item in transcripts:
        status = container.inbox.status(item.owner.tenant_id, item.id)
        counted.update(fact.outcome for fact in status.facts if fact.statement in statements)
        if status.state.value != "done":
            counted[f"session {status.state.value}"] += 1
    return counted


def _table(found: Iterable[Growth]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("told again in")
    for name in ("before", "added", "%", "beside", "pairs judged"):
        table.add_column(name, justify="right")
    table.add_column("facts")
    for item in found:
        table.add_row(
            item.name,
            f"{item.before:,}",
            f"+{item.added:,}",
            f"{100 * item.added / item.before:.1f}",
            f"+{item.beside:,}",
            f"{item.pairs:,}",
            _counts(item.outcomes),
        )
    return table


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))


def _describe_rewording(sessions: Iterable[RecordedSession], reworded: Wording, shown: int) -> None:
    """How far the other words are from the first ones, and what the rules say to them alone."""
    texts = [fact.text for session in sessions for fact in session.facts]
    pairs = [Pair(text, reworded(text), "duplicate", "reworded") for text in texts]
    embedder = MiniLmEmbedder(threads=2)
    fates = decide_fates(pairs, embedder, DedupPolicy())
    ones, others = embedder.embed(texts), embedder.embed([pair.b for pair in pairs])
    cosines = sorted(float(one @ other) for one, other in zip(ones, others, strict=True))
    tenths = (cosines[int(share * (len(cosines) - 1))] for share in (0.0, 0.1, 0.5))
    least, tenth, median = (f"{value:.2f}" for value in tenths)
    _console.print(f"each statement against its other wording: {_counts(Counter(fates))}")
    _console.print(f"cosine: {least} at least, a tenth below {tenth}, half below {median}")
    for pair, fate in list(zip(pairs, fates, strict=True))[:: max(1, len(pairs) // max(1, shown))]:
        if shown:
            _console.print(f"{fate:<7} {pair.a}\n        {pair.b}", markup=False)
    for pair, fate in zip(pairs, fates, strict=True):
        if fate in {Fate.FAR, Fate.VETOED}:
            _console.print(f"{fate:<7} {pair.a}\n        {pair.b}", markup=False)


if __name__ == "__main__":
    typer.run(main)
