"""A session's trace, from the agent that pushed it to the index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from tests.acceptance.deployment import wait_until
from tests.acceptance.test_road import session
from tests.collector import Collector

if TYPE_CHECKING:
    from typing import Any

    from tests.acceptance.deployment import Deployment

ROAD = ["ingest", "distill", "consolidate", "project"]


def stages(spans: list[Any]) -> list[str]:
    return [span.name for span in spans if span.name in ROAD]


def test_trace_leads_from_the_agent_over_every_stage_to_the_index(deployment: Deployment) -> None:
    """In the agent's own trace; for an agent that traces nothing it begins at the intake."""
    with Collector() as collector, deployment.client() as client:
        deployment.env |= {
            "MEMSTILL_TRACES_URL": collector.url,
            "MEMSTILL_METRICS_PORT": "",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        deployment.start_worker()
        agent = TracerProvider().get_tracer("agent")
        with agent.start_as_current_span("conversation") as span:
            traced = client.enqueue(session("s1", "I live in Lisbon."))
            context = span.get_span_context()
        trace_id = trace.format_trace_id(context.trace_id)
        wait_until(lambda: ROAD == stages(collector.of_trace(trace_id)), "all stages are told")
        other = client.enqueue(session("s1", "I live in Porto.", user="bob"))
        wait_until(lambda: 8 == len(stages(collector.spans)), "the other session's, too")
        statuses = deployment.wait_final(traced, other)

    assert ["done", "done"] == [status.state.value for status in statuses]
    found = collector.of_trace(trace_id)
    roads = [span for span in found if span.name in ROAD]
    assert {context.span_id.to_bytes(8)} == {span.parent_span_id for span in roads}
    # What a stage asked of a server stands below it.
    asked = next(span for span in found if span.name == "index")
    assert asked.parent_span_id in {span.span_id for span in roads}

    (began,) = (span for span in collector.spans if not span.parent_span_id)
    assert ROAD == stages(collector.of_trace(began.trace_id.hex()))
    told = b"".join(span.SerializeToString() for span in collector.spans)
    assert not any(word in told for word in (b"Lisbon", b"alice", b"bob", b"default"))
    assert trace_id.encode() in deployment.log_of(deployment.processes[0])
