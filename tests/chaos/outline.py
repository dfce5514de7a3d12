"""All that is known at the end, without what depends on when it was learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.chaos.truth import Reader, Row

_MEMORIES = "SELECT * FROM memories WHERE state <> 'merged'"
_EVIDENCE = "SELECT memory_id, receipt, message_index, quote, event_at FROM evidence"
_FIELDS = (
    "tenant_id", "user_id", "statement", "subject", "kind", "importance", "scope", "session_id",
    "slot_subject", "slot_attribute", "slot_member", "value", "ends", "state", "valid_from",
    "valid_to", "confirmed_at",
)  # fmt: skip

Known = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Outline:
    """Memories by all that they say, with the id of each."""

    ids: Mapping[Known, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """What two outlines do not share.

    Attributes:
        other_ids: Memories that both have, under different ids: an id is kept by whichever fact
            came first, so these are counted and allowed.
    """

    missing: tuple[str, ...]
    additional: tuple[str, ...]
    same: int
    other_ids: int

    @property
    def problems(self) -> list[str]:
        """What must not be."""
        return [
            *(f"only without faults: {line}" for line in self.missing),
            *(f"only with faults: {line}" for line in self.additional),
        ]


def read_outline(truth: Reader) -> Outline:
    """Everything current and everything that once was, of all users."""
    cited: dict[object, set[Known]] = {}
    for row in truth.rows(_EVIDENCE):
        key = row.pop("memory_id")
        cited.setdefault(key, set()).add(tuple(row.values()))
    rows = truth.rows(_MEMORIES)
    return Outline({_know(row, cited.get(row["id"], set())): str(row["id"]) for row in rows})


def compare(reference: Outline, found: Outline) -> Difference:
    """What the one knows and the other does not."""
    shared = reference.ids.keys() & found.ids.keys()
    return Difference(
        tuple(sorted(map(_show, reference.ids.keys() - found.ids.keys()))),
        tuple(sorted(map(_show, found.ids.keys() - reference.ids.keys()))),
        len(shared),
        sum(reference.ids[known] != found.ids[known] for known in shared),
    )


def _know(row: Row, cited: Iterable[Known]) -> Known:
    return (*(row[name] for name in _FIELDS), frozenset(cited))


def _show(known: Known) -> str:
    named = dict(zip(_FIELDS, known, strict=False))
    cited = known[-1]
    number = len(cited) if isinstance(cited, frozenset) else 0
    return (
        f"{named['user_id']}: {named['statement']!r} {named['scope']} {named['state']}"
        f" from {named['valid_from']} to {named['valid_to']} confirmed {named['confirmed_at']}"
        f" importance {named['importance']} with {number} pieces of evidence"
    )
