"""What the vector indexes have in common: the collection's name, its fields, merged hits."""

from __future__ import annotations

import hashlib
import math
import re
import uuid
from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pipelines.errors import EmbeddingMismatch
from pipelines.model import MemoryId, MemoryState, Owner, Scope
from pipelines.ports import Hit, IndexedPoint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from pipelines.ports import IndexPoint, Removal

DENSE = "dense"
LEXICAL = "lexical"
# A collection without this field is of an earlier layout: nothing in it would be found.
LAYOUT_FIELD = "state"
# What a scan reads of a point.
SCANNED_FIELDS = ("tenant_id", "user_id", "scope", "version", "state")

# For the end of what has none: later than any time that can be written.
_NO_END = 253_402_300_800

# PostgreSQL cuts longer names silently.
MAX_NAME = 63
_LAST_ID = 2**128 - 1
_POSITIVE = 2**63 - 1


def collection_name(prefix: str, model: str, size: int) -> str:
    """Name of the one collection of an installation and an embedding model.

    Model and size are part of it, so vectors of two models never meet in one collection. The
    dot occurs nowhere else: no installation's name begins with another one's prefix and dot.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")
    name = f"{prefix}.{plain}-{size}"
    if len(name) <= MAX_NAME:
        return name
    tail = f"-{hashlib.sha256(model.encode()).hexdigest()[:8]}-{size}"
    return f"{prefix}.{plain}"[: MAX_NAME - len(tail)] + tail


def successor_name(name: str, token: str) -> str:
    """Name of what is built beside a collection, and stays when it has taken its place."""
    return f"{name}.{token}"


def plain_name(name: str) -> str:
    """Name of the collection that something is, or was built beside."""
    return ".".join(name.split(".")[:2])


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


@lru_cache(maxsize=4096)
def number_of(*names: str) -> int:
    """A number of 63 bits that stands for these names in an index, where they would be slow.

    It leads to what they name. Whose something is, the names say, beside it or in the truth.
    """
    digest = hashlib.blake2b("\0".join(names).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") & _POSITIVE


def group_by_version(points: Sequence[IndexPoint]) -> list[tuple[int, list[IndexPoint]]]:
    """Points that can be written under one condition, older versions first."""
    groups: dict[int, list[IndexPoint]] = defaultdict(list)
    for point in points:
        groups[point.version].append(point)
    return sorted(groups.items())


def group_removals(removals: Collection[Removal]) -> dict[int | None, list[MemoryId]]:
    """Memories that can be removed under one condition: the version, or none."""
    groups: dict[int | None, list[MemoryId]] = defaultdict(list)
    for removal in removals:
        groups[removal.version].append(removal.memory_id)
    return groups


def first_behind(after: MemoryId | None) -> uuid.UUID | None:
    """The smallest id that a scan behind ``after`` may give; None behind the last of all."""
    if after is None:
        return uuid.UUID(int=0)
    return uuid.UUID(int=after.int + 1) if after.int < _LAST_ID else None


def read_scanned(memory_id: object, fields: Mapping[str, Any]) -> IndexedPoint:
    """A point from the fields that a scan reads."""
    return IndexedPoint(
        MemoryId(uuid.UUID(str(memory_id))),
        Owner(fields["tenant_id"], fields["user_id"]),
        Scope(fields["scope"]),
        fields["version"],
        MemoryState(fields["state"]),
    )


def merge_hits(cosines: Mapping[MemoryId, float], lexical: Mapping[MemoryId, float]) -> list[Hit]:
    """Every scored candidate with both of its scores, best cosine first."""
    hits = [Hit(key, cosine, lexical.get(key)) for key, cosine in cosines.items()]
    return sorted(hits, key=lambda hit: (-hit.cosine, hit.memory_id.int))
