"""What the vector indexes have in common: the collection's name, its fields, merged hits."""

from __future__ import annotations

import hashlib
import math
import re
from collections import defaultdict
from typing import TYPE_CHECKING

from pipelines.errors import EmbeddingMismatch
from pipelines.ports import Hit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipelines.model import MemoryId
    from pipelines.ports import IndexPoint

DENSE = "dense"
LEXICAL = "lexical"
# A collection without this field is of an earlier layout: nothing in it would be found.
LAYOUT_FIELD = "state"

# For the end of what has none: later than any time that can be written.
_NO_END = 253_402_300_800

# PostgreSQL cuts longer names silently.
_MAX_NAME = 63


def collection_name(prefix: str, model: str, size: int) -> str:
    """Name of the one collection of an installation and an embedding model.

    Model and size are part of it, so vectors of two models never meet in one collection. The
    dot occurs nowhere else: no installation's name begins with another one's prefix and dot.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")
    name = f"{prefix}.{plain}-{size}"
    if len(name) <= _MAX_NAME:
        return name
    tail = f"-{hashlib.sha256(model.encode()).hexdigest()[:8]}-{size}"
    return f"{prefix}.{plain}"[: _MAX_NAME - len(tail)] + tail


def check_sole_model(wanted: str, existing: Iterable[str]) -> None:
    """Refuse to start an empty collection beside one that another model filled.

    Args:
        wanted: The collection of the configured model.
        existing: Names of all collections; other installations' are not looked at.

    Raises:
        EmbeddingMismatch: Only another model's collection exists.
    """
    family = wanted[: wanted.index(".") + 1]
    others = sorted(name for name in existing if name.startswith(family))
    if others and wanted not in others:
        raise EmbeddingMismatch(
            f"the index holds the collection {others[0]!r}, but the configured embedding model "
            f"needs {wanted!r}: set the embedding model back, or start on an empty index"
        )


def payload_of(point: IndexPoint) -> dict[str, str | int]:
    """The fields by which a point is filtered; the statement itself stays in PostgreSQL."""
    return {
        "tenant_id": point.owner.tenant_id,
        "user_id": point.owner.user_id,
        "scope": str(point.scope),
        "session_id": point.session_id,
        "version": point.version,
        "state": point.state.value,
        "valid_from": math.floor(point.valid_from.timestamp()),
        "valid_to": _NO_END if point.valid_to is None else math.ceil(point.valid_to.timestamp()),
    }


def group_by_version(points: Sequence[IndexPoint]) -> list[tuple[int, list[IndexPoint]]]:
    """Points that can be written under one condition, older versions first."""
    groups: dict[int, list[IndexPoint]] = defaultdict(list)
    for point in points:
        groups[point.version].append(point)
    return sorted(groups.items())


def merge_hits(cosines: Mapping[MemoryId, float], lexical: Mapping[MemoryId, float]) -> list[Hit]:
    """Every scored candidate with both of its scores, best cosine first."""
    hits = [Hit(key, cosine, lexical.get(key)) for key, cosine in cosines.items()]
    return sorted(hits, key=lambda hit: (-hit.cosine, str(hit.memory_id)))
