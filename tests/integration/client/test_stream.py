"""The client over a real Redis; blocking and asynchronous alike, and the module's own."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest
import redis

import memstill_client
from memstill_client import Busy, Memstill, NotConfigured, Receipt, Refused, Unavailable
from memstill_client.wire import parse_transcript, receipt_id
from tests.integration.client.doubles import FIELDS, NOW, RECALL, SECRET, TURNS, Api, sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Stream:
    """The intake Stream, seen from the server's side."""

    redis: redis.Redis
    key: str

    def transcripts(self) -> list[dict[str, Any]]:
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", self.redis.xrange(self.key))
        assert all(set(fields) == {b"transcript"} for _, fields in entries)
        return [json.loads(fields[b"transcript"]) for _, fields in entries]


@pytest.fixture
def stream(redis_url: str, key_prefix: str) -> Iterator[Stream]:
    """The Stream under this test's prefix."""
    with redis.Redis.from_url(redis_url) as client:
        yield Stream(client, f"{key_prefix}:transcripts")


def test_enqueue_appends_to_the_stream_when_redis_is_known(
    call: Callable[..., Any], client: dict[str, Any], stream: Stream
) -> None:
    """The entry is the wire format, and its receipt is known before anybody reads it."""
    receipt = call(client, "enqueue", idempotency_key="k-1", **FIELDS)
    assert receipt == Receipt(receipt_id("default", "alice", "k-1"), None, "default")
    (entry,) = stream.transcripts()
    assert (entry["schema_version"], entry["tenant_id"], entry["messages"][0]["content"]) == (
        1,
        "default",
        TURNS[0]["content"],
    )
    assert "started_at" not in entry


def test_enqueue_answers_the_same_receipt_when_repeated(
    call: Callable[..., Any], client: dict[str, Any]
) -> None:
    """Whole or by fields, now or later: the same conversation has one receipt."""
    whole = json.dumps({"schema_version": 1, **FIELDS})
    first = call(client, "enqueue", whole)
    assert first == call(client, "enqueue", **FIELDS)
    assert first == call(client, "enqueue", parse_transcript(whole, now=NOW))
    assert first != call(client, "enqueue", **FIELDS | {"session_id": "s-43"})


def test_enqueue_many_appends_in_order_when_there_are_several_chunks(
    call: Callable[..., Any], client: dict[str, Any], stream: Stream
) -> None:
    """Nothing is lost or swapped where chunks meet."""
    receipts = call(client, "enqueue_many", iter(sessions(2_100)))
    entries = stream.transcripts()
    assert [entry["session_id"] for entry in entries] == [f"s-{n}" for n in range(2_100)]
    assert [receipt.id for receipt in receipts] == [
        receipt_id("default", "alice", entry["idempotency_key"]) for entry in entries
    ]


def test_enqueue_takes_ten_megabytes_when_over_the_stream(
    call: Callable[..., Any], client: dict[str, Any], stream: Stream
) -> None:
    """The largest transcript that the product promises arrives whole."""
    turns = [{"role": "user", "content": "x" * 10_000}] * 1_038
    call(client, "enqueue", **FIELDS | {"messages": turns})
    assert len(stream.transcripts()[0]["messages"]) == 1_038


def test_enqueue_goes_on_when_the_connection_was_cut(
    client: dict[str, Any], stream: Stream
) -> None:
    """A restarted Redis or a proxy that hangs up costs a reconnect, not an error."""
    with Memstill(**client) as memstill:
        memstill.enqueue(**FIELDS)
        stream.redis.client_kill_filter(_type="normal", skipme=True)
        memstill.enqueue(**FIELDS)
    assert len(stream.transcripts()) == 2


def test_enqueue_loses_nothing_when_threads_share_a_client(
    client: dict[str, Any], stream: Stream
) -> None:
    """One client serves all threads of an agent."""
    with Memstill(**client) as memstill, ThreadPoolExecutor(8) as threads:
        receipts = set(threads.map(memstill.enqueue, sessions(200)))
    assert len(receipts) == 200
    assert len(stream.transcripts()) == 200


def test_enqueue_is_unavailable_with_a_remedy_when_redis_is_gone(
    call: Callable[..., Any],
) -> None:
    """The address is told without its password."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        url = f"redis://:hunter2@127.0.0.1:{port}/0"
        with pytest.raises(Unavailable, match="MEMSTILL_REDIS_URL is right") as caught:
            call({"redis_url": url}, "enqueue", **FIELDS)
    said = "".join(traceback.format_exception(caught.value))
    assert f"redis://127.0.0.1:{port}" in said
    assert "hunter2" not in said


def test_enqueue_is_unavailable_when_redis_is_full(
    call: Callable[..., Any], client: dict[str, Any], stream: Stream
) -> None:
    """Full is a passing state, and what was said does not show in the error."""
    stream.redis.config_set("maxmemory", "1")
    try:
        with pytest.raises(Unavailable, match="Redis is full") as caught:
            call(client, "enqueue", **FIELDS)
    finally:
        stream.redis.config_set("maxmemory", "0")
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_enqueue_is_refused_when_the_key_holds_something_else(
    call: Callable[..., Any], client: dict[str, Any], stream: Stream
) -> None:
    """The driver would quote the transcript in its error; ours does not."""
    stream.redis.set(stream.key, "x")
    with pytest.raises(Refused, match=stream.key) as caught:
        call(client, "enqueue", **FIELDS)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_enqueue_is_refused_when_the_password_is_wrong(
    call: Callable[..., Any], redis_url: str
) -> None:
    """Credentials are no passing fault."""
    url = redis_url + "&username=nobody&password=hunter2"
    with pytest.raises(Refused, match="credentials") as caught:
        call({"redis_url": url}, "enqueue", **FIELDS)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_enqueue_is_busy_when_too_much_waits(
    call: Callable[..., Any], client: dict[str, Any], stream: Stream
) -> None:
    """Nothing is taken in, and what to do is said; once it was read, the same call succeeds."""
    limited = client | {"max_waiting": 3}
    call(limited, "enqueue_many", sessions(2))
    call(limited, "enqueue", lane="backfill", **FIELDS)

    with pytest.raises(Busy, match=r"3 transcripts wait already.* nothing was taken in") as caught:
        call(limited, "enqueue_many", sessions(9))

    assert isinstance(caught.value, Unavailable)
    assert 5 == caught.value.retry_after_seconds
    assert 3 == stream.redis.xlen(stream.key)
    call(client, "enqueue", **FIELDS)
    stream.redis.xtrim(stream.key, maxlen=2, approximate=False)
    call(limited, "enqueue", **FIELDS)
    assert 3 == stream.redis.xlen(stream.key)


def test_enqueue_names_the_lane_beside_the_transcript(
    call: Callable[..., Any], client: dict[str, Any], stream: Stream
) -> None:
    """Where it is not the usual one."""
    call(client, "enqueue", **FIELDS)
    call(client, "enqueue", lane="backfill", **FIELDS)

    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", stream.redis.xrange(stream.key))
    assert [None, b"backfill"] == [fields.get(b"lane") for _, fields in entries]


def test_enqueue_goes_on_when_redis_forgot_the_script(
    call: Callable[..., Any], client: dict[str, Any], stream: Stream
) -> None:
    """A restart or a flush of scripts costs a second round trip."""
    for _ in range(2):
        stream.redis.script_flush()
        call(client, "enqueue", **FIELDS)
    assert 2 == len(stream.transcripts())


def test_enqueue_is_refused_with_what_to_allow_when_scripts_are_forbidden(
    call: Callable[..., Any], redis_url: str, client: dict[str, Any], stream: Stream
) -> None:
    """A user who may append but run no script is told which commands it takes."""
    stream.redis.acl_setuser(
        "agent", enabled=True, passwords=["+pass"], keys=["*"], categories=["+@all", "-@scripting"]
    )
    try:
        with pytest.raises(Refused, match="EVALSHA, EVAL, XLEN and XADD on the key"):
            call(
                client | {"redis_url": redis_url + "&username=agent&password=pass"},
                "enqueue",
                **FIELDS,
            )
    finally:
        stream.redis.acl_deluser("agent")
    assert [] == stream.transcripts()


def test_recall_is_not_configured_when_only_redis_is_known(
    call: Callable[..., Any], client: dict[str, Any]
) -> None:
    """Pushing needs a Stream or an API, everything else an API."""
    with pytest.raises(NotConfigured, match="MEMSTILL_API_URL"):
        call(client, "recall", "where?", "alice")


# ---- without a client of one's own ------------------------------------------------------------


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch, api: Api, client: dict[str, Any]) -> Iterator[None]:
    """The module's own client finds everything in the environment."""
    monkeypatch.setenv("MEMSTILL_API_URL", api.url)
    monkeypatch.setenv("MEMSTILL_REDIS_URL", client["redis_url"])
    monkeypatch.setenv("MEMSTILL_KEY_PREFIX", client["key_prefix"])
    memstill_client.close()
    yield
    memstill_client.close()


@pytest.mark.usefixtures("shared")
def test_module_pushes_and_recalls_when_the_environment_says_where(
    api: Api, stream: Stream
) -> None:
    """One call after a conversation, one before the next."""
    api.say(200, RECALL)
    receipt = memstill_client.enqueue(**FIELDS)
    assert len(stream.transcripts()) == 1
    assert receipt.tenant_id == "default"
    assert memstill_client.recall("where?", "alice").block == RECALL["block"]


@pytest.mark.usefixtures("shared")
def test_module_can_be_awaited_when_event_loops_come_and_go(api: Api, stream: Stream) -> None:
    """The shared client belongs to no event loop."""
    for _ in range(2):
        api.say(200, RECALL)
        asyncio.run(memstill_client.aenqueue(**FIELDS))
        assert asyncio.run(memstill_client.arecall("where?", "alice")).tokens == 7
    assert len(stream.transcripts()) == 2


@pytest.mark.usefixtures("shared")
def test_module_pushes_from_a_child_when_the_process_forked(stream: Stream) -> None:
    """A forked child never talks on its parent's connection."""
    memstill_client.enqueue(**FIELDS)
    child = os.fork()
    if child == 0:
        try:
            memstill_client.enqueue(**FIELDS)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    memstill_client.enqueue(**FIELDS)
    assert len(stream.transcripts()) == 3
