"""How long the client tries, how it polls, and what it makes of an answer."""

from __future__ import annotations

from datetime import UTC, datetime
from ssl import CERT_REQUIRED
from uuid import UUID

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from memstill_client.answers import read_reply
from memstill_client.calls import (
    MAX_RETRY_AFTER_SECONDS,
    MAX_TRIES,
    Call,
    Poll,
    make_headers,
    make_tls,
    retry_delay,
)
from memstill_client.endpoints import find_endpoints
from memstill_client.errors import (
    InvalidTranscript,
    NotFinished,
    NotFound,
    Refused,
    Unavailable,
)
from memstill_client.recalls import Recall
from memstill_client.replies import Accepted, Status

RECEIPT = UUID("63994a9b-ad6b-5c2b-ac6e-cbcf9ad7415f")


def status(state: str) -> Status:
    """A transcript in this state."""
    received_at = datetime(2026, 3, 2, tzinfo=UTC)
    return Status(receipt=RECEIPT, session_id="s", state=state, attempts=1, received_at=received_at)


def test_retry_waits_longer_when_it_failed_again() -> None:
    """Each wait is longer than the one before, whatever its jitter."""
    failure = Unavailable("busy")
    delays = [retry_delay(tries, failure) for tries in range(1, MAX_TRIES)]
    assert delays == sorted(delays)
    assert all(0 < delay < 1 for delay in delays)


def test_retry_waits_as_long_as_asked_when_the_server_says() -> None:
    """Retry-After is kept."""
    assert retry_delay(1, Unavailable("busy", retry_after_seconds=3)) == 3


@pytest.mark.parametrize(("tries", "asked"), [(MAX_TRIES, None), (1, MAX_RETRY_AFTER_SECONDS + 1)])
def test_retry_gives_up_when_it_tried_enough_or_shall_wait_too_long(
    tries: int, asked: float | None
) -> None:
    """The failure itself comes out, with what the server asked for."""
    failure = Unavailable("busy", retry_after_seconds=asked)
    with pytest.raises(Unavailable) as caught:
        retry_delay(tries, failure)
    assert failure is caught.value


def test_poll_asks_less_often_when_it_waits_longer() -> None:
    """Quick at first, then once a second, and never beyond the deadline."""
    poll = Poll(100.0, started=0.0)
    delays = [poll.delay_after(status("queued"), now=1.0) for _ in range(12)]
    assert delays == sorted(delays)
    assert (delays[0], delays[-1]) == (0.05, 1.0)
    assert poll.delay_after(status("queued"), now=99.75) == 0.25


def test_poll_says_where_it_stands_when_time_is_up() -> None:
    """Not finished is not a failure: the status comes along."""
    with pytest.raises(NotFinished) as caught:
        Poll(1.0, started=0.0).delay_after(status("distilling"), now=1.0)
    assert caught.value.status == status("distilling")


@pytest.mark.parametrize("found", [NotFound("no"), Unavailable("down")])
def test_poll_raises_what_it_last_found_when_time_is_up(found: NotFound | Unavailable) -> None:
    """A receipt never seen and a server never reached stay what they are."""
    with pytest.raises(type(found)) as caught:
        Poll(1.0, started=0.0).delay_after(found, now=2.0)
    assert found is caught.value


def test_status_is_final_when_done_or_dead() -> None:
    """Only these two are waited for."""
    states = ("queued", "distilling", "distilled", "done", "dead")
    assert [state for state in states if status(state).is_final] == ["done", "dead"]


@pytest.mark.parametrize(
    ("code", "body", "error", "said"),
    [
        (404, b'{"error":{"type":"not_found","field":null,"reason":"gone"}}', NotFound, "gone"),
        (404, b"<html>", NotFound, "no such thing"),
        (
            422,
            b'{"error":{"type":"invalid_transcript","field":"user_id","reason":"is required"}}',
            InvalidTranscript,
            "user_id: is required",
        ),
        (
            409,
            b'{"error":{"type":"idempotency_conflict","field":"idempotency_key","reason":"used"}}',
            Refused,
            "idempotency_key: used",
        ),
        (401, b"", Refused, "answered 401"),
        (302, b"", Refused, "answered 302"),
        (200, b"<html>", Refused, "answered 200"),
        (429, b"", Unavailable, "429"),
        (500, b"oops", Unavailable, "500"),
    ],
)
def test_reply_is_an_error_of_the_tree_when_it_is_no_receipt(
    code: int, body: bytes, error: type[Exception], said: str
) -> None:
    """Whatever answers, memstill or something else at its address, the error says which."""
    with pytest.raises(error, match=said):
        read_reply(Accepted, code, {}, body)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("soon", None)])
def test_unavailable_carries_the_wait_when_the_server_asks_for_one(
    header: str, seconds: float | None
) -> None:
    """Only a number of seconds is understood."""
    with pytest.raises(Unavailable) as caught:
        read_reply(Accepted, 503, {"retry-after": header}, b"")
    assert seconds == caught.value.retry_after_seconds


def test_reply_is_read_when_a_newer_server_says_more() -> None:
    """Fields that this client does not know are passed over."""
    body = f'{{"receipt": "{RECEIPT}", "duplicate": false, "lane": "fast"}}'.encode()
    assert read_reply(Accepted, 202, {}, body) == Accepted(receipt=RECEIPT, duplicate=False)


@pytest.mark.parametrize("url", ["https://memory.example", "http://localhost:1", None])
def test_certificates_are_always_verified_when_there_is_tls(url: str | None) -> None:
    """Authorities are loaded for https alone; without them every certificate is refused."""
    endpoints = find_endpoints(
        api_url=url,
        redis_url="redis://r",
        tenant_id=None,
        key_prefix=None,
        api_key=None,
        environ={},
    )
    tls = make_tls(endpoints)
    assert (tls is True) == (url == "https://memory.example")
    assert isinstance(tls, bool) or (tls.verify_mode is CERT_REQUIRED and tls.check_hostname)


@pytest.mark.parametrize(
    ("prompt", "block", "expected"),
    [
        ("Be kind.\n", "<memory/>", "Be kind.\n\n<memory/>"),
        ("", "<memory/>", "<memory/>"),
        ("Be kind.\n", "", "Be kind.\n"),
    ],
)
def test_block_is_appended_when_something_is_known(prompt: str, block: str, expected: str) -> None:
    """A prompt without memories stays as it was, to the byte."""
    assert expected == Recall(block=block, memories=(), tokens=0).appended_to(prompt)


def test_call_carries_the_trace_that_the_agent_is_in() -> None:
    """Where it is in one; nobody has to hand it over."""
    call = Call("GET", "/v1/x", Status)
    where = find_endpoints(
        api_url="http://x", redis_url=None, tenant_id=None, key_prefix=None, api_key=None
    )

    expected: dict[str, str] = {}
    with TracerProvider().get_tracer("agent").start_as_current_span("turn"):
        TraceContextTextMapPropagator().inject(expected)
        within = make_headers(call, where)

    assert expected["traceparent"] == within["traceparent"]
    assert "traceparent" not in make_headers(call, where)
