"""The trace that the agent is in, where it is instrumented with OpenTelemetry."""

from __future__ import annotations

import sys


def current_traceparent() -> str | None:
    """W3C trace context of the present span; None where there is none.

    Whoever has one has loaded the package: it is not loaded for them.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return None
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
