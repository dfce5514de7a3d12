"""Spans by OpenTelemetry, sent by OTLP over HTTP."""

from __future__ import annotations

import os
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import time_ns
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.contextvars import bound_contextvars

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from opentelemetry.trace import Span, SpanContext

_NAMES: Final = "memstill"
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_NANOSECONDS: Final = 1_000_000_000
# Of a large batch some will do to find the others by.
_MAX_LINKS: Final = 128


@dataclass(slots=True)
class _Turn:
    """A turn of a stage; its span begins, in hindsight, when it is known whose work it is."""

    stage: str
    began_at_ns: int = field(default_factory=time_ns)
    span: Span | None = None
    leave: list[Callable[[], object]] = field(default_factory=list)


_turn: ContextVar[_Turn | None] = ContextVar("memstill_turn", default=None)


class OtelTracer:
    """``Tracer`` on OpenTelemetry.

    Args:
        url: Where traces are sent to.
        share: Of the traces that begin here; whoever pushes with a trace decides for it.
    """

    is_on = True

    def __init__(self, url: str, share: float) -> None:
        name = os.environ.get("OTEL_SERVICE_NAME", _NAMES)
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(share)),
            resource=Resource.create({SERVICE_NAME: name}),
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(url)))
        self._tracer = self._provider.get_tracer(_NAMES)

    @contextmanager
    def turn(self, stage: str) -> Iterator[Callable[[str], None]]:
        turn = _Turn(stage)
        token = _turn.set(turn)
        try:
            yield lambda outcome: _say(turn, outcome)
        except BaseException as error:
            if turn.span is not None:
                # Its text may hold what nobody shall read here.
                turn.span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            for leave in reversed(turn.leave):
                leave()
            _turn.reset(token)

    def take_up(self, traceparents: Iterable[str | None], *, is_first: bool = False) -> str | None:
        turn, found = _turn.get(), _read(traceparents)
        if turn is None or not (found or is_first or turn.span):
            return None
        if turn.span is None:
            turn.span = self._begin(turn, found)
        else:
            for linked in found:
                turn.span.add_link(linked)
        return _carry(turn.span)

    def note_call(self, dependency: str, outcome: str, seconds: float) -> None:
        turn = _turn.get()
        if turn is None or turn.span is None or not turn.span.is_recording():
            return
        ended = time_ns()
        span = self._tracer.start_span(
            dependency,
            kind=SpanKind.CLIENT,
            attributes={"memstill.outcome": outcome},
            start_time=ended - int(seconds * _NANOSECONDS),
        )
        span.end(ended)

    def close(self) -> None:
        self._provider.shutdown()

    def _begin(self, turn: _Turn, found: list[SpanContext]) -> Span:
        parent = trace.NonRecordingSpan(found[0]) if found else trace.INVALID_SPAN
        span = self._tracer.start_span(
            turn.stage,
            context=trace.set_span_in_context(parent, contexts.Context()),
            kind=SpanKind.CONSUMER,
            attributes={"memstill.stage": turn.stage},
            links=[Link(linked) for linked in found[1:]],
            start_time=turn.began_at_ns,
        )
        token = contexts.attach(trace.set_span_in_context(span))
        logged = bound_contextvars(trace_id=trace.format_trace_id(span.get_span_context().trace_id))
        logged.__enter__()
        turn.leave += [
            span.end,
            lambda: contexts.detach(token),
            lambda: logged.__exit__(None, None, None),
        ]
        return span


def _say(turn: _Turn, outcome: str) -> None:
    if turn.span is not None:
        turn.span.set_attribute("memstill.outcome", outcome)


def _read(traceparents: Iterable[str | None]) -> list[SpanContext]:
    """Each once, in order."""
    found: dict[Any, SpanContext] = {}
    for text in dict.fromkeys(item for item in traceparents if item):
        carried = trace.get_current_span(_PROPAGATOR.extract({"traceparent": text}))
        context = carried.get_span_context()
        if context.is_valid and len(found) <= _MAX_LINKS:
            found[context.trace_id, context.span_id] = context
    return list(found.values())


def _carry(span: Span) -> str:
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, trace.set_span_in_context(span))
    return carrier["traceparent"]
