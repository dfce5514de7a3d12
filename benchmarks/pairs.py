"""What becomes of pairs of statements: merged, handed to the judge, vetoed, or too far apart.

    python -m benchmarks.pairs PAIRS_DIR

``PAIRS_DIR`` holds ``minimal/minimal_pairs.jsonl`` (one pair a line: a, b, label, kind) and
``stsb/stsb-en-test.csv`` (a, b, and how alike people find them, from 0 to 5), or one of them. The
embedding model, the rules and the thresholds are those that are shipped.
"""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from config.policy import DedupPolicy
from pipelines.adapters.minilm import MiniLmEmbedder
from pipelines.stages.merging.relate import Relations, Said

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pipelines.model import Vector
    from pipelines.ports import Embedder

MINIMAL = Path("minimal") / "minimal_pairs.jsonl"
STSB = Path("stsb") / "stsb-en-test.csv"
MIN_DUPLICATE_SCORE = 4.5
DUPLICATE, DIFFERENT = "duplicate", "different"
_ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)

_console = Console(highlight=False, soft_wrap=True)


class Fate(StrEnum):
    """What becomes of two statements of one subject."""

    MERGED = "merged"
    ASKED = "asked"
    VETOED = "vetoed"
    FAR = "far"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two statements, whether they say the same, and in what they differ if they do."""

    a: str
    b: str
    label: str
    kind: str


@dataclass(frozen=True, slots=True)
class Counted:
    """How many pairs of one label and kind met each fate."""

    label: str
    kind: str
    fates: Counter[Fate]

    def share(self, *fates: Fate) -> float:
        """Of all of them."""
        return sum(self.fates[fate] for fate in fates) / self.fates.total()


def decide_fates(pairs: Sequence[Pair], embedder: Embedder, policy: DedupPolicy) -> list[Fate]:
    """The fate of each pair, by the rules that consolidation goes by."""
    texts = list({text for pair in pairs for text in (pair.a, pair.b)})
    vectors = dict(zip(texts, embedder.embed(texts), strict=True))
    return [_decide(pair, vectors.__getitem__, policy) for pair in pairs]


def _decide(pair: Pair, vector_of: Callable[[str], Vector], policy: DedupPolicy) -> Fate:
    relations = Relations(policy, vector_of)
    if relations.are_same(_said(pair.a), _said(pair.b)):
        return Fate.MERGED
    if relations.open:
        return Fate.ASKED
    is_far = float(vector_of(pair.a) @ vector_of(pair.b)) < policy.min_ask
    return Fate.FAR if is_far else Fate.VETOED


def _said(statement: str) -> Said:
    return Said(statement, "User", None, None, _ANY_TIME, statement)


def count_fates(pairs: Iterable[Pair], fates: Iterable[Fate]) -> list[Counted]:
    """By label and kind, duplicates last."""
    counted: defaultdict[tuple[str, str], Counter[Fate]] = defaultdict(Counter)
    for pair, fate in zip(pairs, fates, strict=True):
        counted[pair.label, pair.kind][fate] += 1
    return [Counted(label, kind, counted[label, kind]) for label, kind in sorted(counted)]


def load_minimal(path: Path) -> list[Pair]:
    """Pairs that differ in one respect, or in none."""
    lines = path.read_text("utf-8").splitlines()
    return [Pair(**json.loads(line)) for line in lines if line.strip()]


def load_stsb(path: Path) -> list[Pair]:
    """Pairs of sentences; the alike ones are duplicates."""
    with path.open(encoding="utf-8", newline="") as source:
        return [
            Pair(a, b, DUPLICATE if float(score) >= MIN_DUPLICATE_SCORE else DIFFERENT, "sentences")
            for a, b, score in csv.reader(source)
        ]


def main(
    folder: Annotated[Path, typer.Argument(help="Folder of the pairs.")],
    show: Annotated[bool, typer.Option(help="Name the minimal pairs, too.")] = False,
) -> None:
    """Print what becomes of the pairs, and how well automatic merges hit."""
    embedder, policy = MiniLmEmbedder(threads=2), DedupPolicy()
    if (folder / MINIMAL).is_file():
        pairs = load_minimal(folder / MINIMAL)
        fates = decide_fates(pairs, embedder, policy)
        _console.print(f"minimal pairs ({len(pairs)})", style="bold")
        _console.print(_table(count_fates(pairs, fates)), "")
        if show:
            _show(pairs, fates)
    if (folder / STSB).is_file():
        pairs = load_stsb(folder / STSB)
        counted = count_fates(pairs, decide_fates(pairs, embedder, policy))
        _console.print(
            f"STS-B test ({len(pairs)}), duplicate = {MIN_DUPLICATE_SCORE}", style="bold"
        )
        _console.print(_table(counted), _verdict(counted))


def _table(counted: Iterable[Counted]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("label", "kind", "n", *Fate):
        table.add_column(name, justify="left" if name in {"label", "kind"} else "right")
    for row in counted:
        fates = (str(row.fates[fate]) for fate in Fate)
        table.add_row(row.label, row.kind, str(row.fates.total()), *fates)
    return table


def _show(pairs: Iterable[Pair], fates: Iterable[Fate]) -> None:
    for pair, fate in zip(pairs, fates, strict=True):
        _console.print(f"{fate:<7} {pair.kind:<10} {pair.a} | {pair.b}", markup=False)
    _console.print()


def _verdict(counted: Sequence[Counted]) -> str:
    found = {row.label: row.fates for row in counted}
    merged = {label: found[label][Fate.MERGED] for label in found}
    asked = {label: found[label][Fate.ASKED] for label in found}
    total = found[DUPLICATE].total()
    hits = merged[DUPLICATE]
    return (
        f"automatic merges: precision {hits / max(1, sum(merged.values())):.3f}, "
        f"recall {hits / total:.3f}; with all that the judge is asked about, recall "
        f"{(hits + asked[DUPLICATE]) / total:.3f} for {sum(asked.values())} questions"
    )


if __name__ == "__main__":
    typer.run(main)
