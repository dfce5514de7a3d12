"""Traces from the push of a session to the index, for installations that collect them.

A transcript carries its trace in its row, as W3C trace context: the agent's, or that of the intake
where the agent has none. Each stage begins a span when it knows whose work it has taken up, as a
child of the first one's trace and with links to the others'. So nothing hangs on a wake-up, and a
stage that found nothing to do leaves no span.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from pipelines.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from config.settings import Settings

_TRACEPARENT: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Tracer(Protocol):
    """Spans of stages."""

    @property
    def is_on(self) -> bool:
        """Whether anything is traced: else nobody needs to look for what belongs to whom."""
        ...

    def turn(self, stage: str) -> AbstractContextManager[Callable[[str], None]]:
        """Around one turn of a stage; what it gives is told what came of the turn."""
        ...

    def take_up(self, traceparents: Iterable[str | None], *, is_first: bool = False) -> str | None:
        """The turn that is under way works for whom these were carried to it.

        Args:
            traceparents: Of each piece of work; None of one that nobody traces.
            is_first: A trace may begin here.

        Returns:
            What carries the trace on; None where nothing is traced.
        """
        ...

    def note_call(self, dependency: str, outcome: str, seconds: float) -> None:
        """A server was asked just now, within the turn that is under way."""
        ...

    def close(self) -> None:
        """Send what is left."""
        ...


class NoTracer:
    """Traces nothing, at no cost."""

    is_on = False

    @contextmanager
    def turn(self, stage: str) -> Iterator[Callable[[str], None]]:
        del stage
        yield _hear_nothing

    def take_up(self, traceparents: Iterable[str | None], *, is_first: bool = False) -> str | None:
        del traceparents, is_first
        return None

    def note_call(self, dependency: str, outcome: str, seconds: float) -> None:
        pass

    def close(self) -> None:
        pass


def make_tracer(settings: Settings) -> Tracer:
    """What traces this process.

    Raises:
        ConfigurationError: The packages for it are not installed.
    """
    if settings.traces_url is None:
        return NoTracer()
    try:
        from workers.tracing.otel import OtelTracer
    except ImportError as error:
        raise ConfigurationError(
            f"MEMSTILL_TRACES_URL: needs packages that are not installed ({error.name}): install "
            "`memstill[traces]`, or leave it out"
        ) from None
    return OtelTracer(settings.traces_url, settings.traces_share)


def read_traceparent(text: str | bytes | None) -> str | None:
    """A trace context as it is carried; None if it is none: a push is not refused for it."""
    found = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    return found if found and _TRACEPARENT.fullmatch(found) else None


def _hear_nothing(_: str) -> None:
    pass
