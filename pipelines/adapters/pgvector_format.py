"""How a vector travels to PostgreSQL."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from psycopg import adapters
from psycopg.adapt import Dumper
from psycopg.pq import Format

if TYPE_CHECKING:
    from pipelines.model import Vector

_HEAD = struct.Struct(">HH")


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
