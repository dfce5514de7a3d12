"""How vectors travel to PostgreSQL, and by which numbers terms are known there."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from psycopg import adapters
from psycopg.adapt import Dumper
from psycopg.pq import Format

from pipelines.adapters.collection import number_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.model import Owner, Vector

_HEAD = struct.Struct(">HH")
# Odd: no two terms of an owner get the same number (Knuth, multiplicative hashing).
_SPREAD = 0x9E3779B97F4A7C15
_POSITIVE = 2**63 - 1


def own_terms(owner: Owner, terms: Sequence[int]) -> list[int]:
    """Numbers that stand for these terms of this owner alone, in the same order.

    An index of them leads to one owner's rows, however many others use the same words.
    """
    first = owner_number(owner)
    return [(first + term * _SPREAD) & _POSITIVE for term in terms]


def owner_number(owner: Owner) -> int:
    """Stands for an owner in an index."""
    return number_of(*owner.names)


class BinaryVector:
    """A vector as pgvector sends and receives it: its length, then the numbers."""

    def __init__(self, vector: Vector) -> None:
        self.content = _HEAD.pack(len(vector), 0) + vector.astype(">f4").tobytes()


class _BinaryVectorDumper(Dumper):
    """Of no type by itself, because each database numbers the types of extensions its own way.

    The server takes it for what the statement casts it to.
    """

    format = Format.BINARY

    def dump(self, obj: BinaryVector) -> bytes:
        return obj.content


adapters.register_dumper(BinaryVector, _BinaryVectorDumper)
