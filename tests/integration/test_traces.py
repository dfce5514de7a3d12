"""How a trace comes in, and what happens without one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import redis
from sqlalchemy import text

from config.settings import Settings
from memstill_client.wire import stream_key
from tests.integration.serving import Served, serve, session
from workers.intake import make_intake
from workers.tracing import NoTracer, make_tracer, read_traceparent

if TYPE_CHECKING:
    from collections.abc import Iterator

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def served(database_url: str, redis_url: str, key_prefix: str) -> Iterator[Served]:
    with serve(database_url, redis_url, key_prefix, "off") as opened:
        yield opened


def carried(served: Served) -> dict[str, Any]:
    """The trace of each session."""
    with served.container.database.transaction() as connection:
        rows = connection.execute(text("SELECT session_id, traceparent FROM transcripts"))
        return {row.session_id: row.traceparent for row in rows}


def test_trace_of_whoever_pushes_stays_with_the_session(served: Served, redis_url: str) -> None:
    """By either way in, whether it is collected here or not; what is none is passed over."""
    pushes = {"one": {"traceparent": TRACE}, "two": {"traceparent": "00-nothing"}, "three": {}}
    for name, headers in pushes.items():
        pushed = session("alice", "I live in Oslo.", name=name)
        assert (
            202
            == served.ask(None, "POST", "/v1/transcripts", json=pushed, headers=headers).status_code
        )
    key = stream_key(served.container.settings.key_prefix)
    body = json.dumps(session("bob", "I live in Rome.", name="four"))
    with redis.Redis.from_url(redis_url) as client:
        client.xadd(key, {"transcript": body, "traceparent": TRACE})
        intake = make_intake(served.container, client)
        intake.prepare()
        assert 1 == intake.read_once()

    assert {"one": TRACE, "two": None, "three": None, "four": TRACE} == carried(served)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
        TRACE + "-more",
        TRACE.upper(),
        b"\xff",
    ],
)
def test_text_that_is_no_trace_context_is_none(text: str | bytes | None) -> None:
    """It is only of use where it can be read."""
    assert read_traceparent(text) is None


def test_nothing_is_traced_when_no_address_is_set() -> None:
    """And the packages for it need not be there."""
    assert isinstance(make_tracer(Settings()), NoTracer)
