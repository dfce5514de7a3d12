"""Values and lines as compressed bytes (zstd), and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import zstandard

from pipelines.errors import StoreRefused

if TYPE_CHECKING:
    from collections.abc import Iterable

_LEVEL = 9


def pack(value: object) -> bytes:
    """A JSON value."""
    return zstandard.ZstdCompressor(level=_LEVEL).compress(orjson.dumps(value))


def unpack(packed: bytes) -> Any:  # noqa: ANN401 - JSON
    """The value again.

    Raises:
        StoreRefused: It is damaged.
    """
    return orjson.loads(_decompress(packed))


def pack_lines(lines: Iterable[bytes]) -> bytes:
    """Lines without their ends, as one file."""
    return zstandard.ZstdCompressor(level=_LEVEL).compress(b"".join(line + b"\n" for line in lines))


def unpack_lines(packed: bytes) -> list[bytes]:
    """The lines again.

    Raises:
        StoreRefused: The file is damaged.
    """
    return _decompress(packed).splitlines()


def _decompress(packed: bytes) -> bytes:
    try:
        return zstandard.ZstdDecompressor().decompress(packed)
    except zstandard.ZstdError:
        raise StoreRefused("what was compressed with zstd is damaged") from None
