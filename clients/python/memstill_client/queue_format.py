"""What agents and workers have agreed on about the intake queue of RabbitMQ."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# What a message of RabbitMQ says of itself, by the name that the broker uses where it is told to.
PUSHED_AT_HEADER: Final = "timestamp_in_ms"
# Replicated and on disk before it is confirmed; whoever dies over a message gives it back, however
# often that happens: at the usual limit of 20 the broker would throw it away.
QUEUE_ARGUMENTS: Final[Mapping[str, str | int]] = MappingProxyType(
    {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000_000}
)


def intake_queue(key_prefix: str) -> str:
    """The intake queue of RabbitMQ."""
    return f"{key_prefix}.transcripts"
