"""What every request has in common, whatever it is about: names, limits, methods, errors."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from memstill_client import AsyncMemstill, Memstill, Refused
from pipelines.flows.recall_tiers import RecallTiers
from tests.acceptance.deployment import wait_until
from tests.conftest import copied_database
from tests.integration.serving import Served, serve, session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.embedded.postgres import PostgresServer
    from workers.embedded.redis import RedisServer

QUESTION = {"user_id": "alice", "query": "where?"}
LIMITED = {
    "api_tenant_in_flight": 1,
    "api_in_flight": 2,
    "api_rates": '{"tenants": {"slow": {"per_minute": 60, "burst": 2}}}',
}


@pytest.fixture(scope="module")
def served(
    postgres_server: PostgresServer, template_database: str, redis_server: RedisServer
) -> Iterator[Served]:
    """One API for all; each test asks for a tenant of its own."""
    with (
        copied_database(postgres_server, template_database) as url,
        serve(url, redis_server.url, "test-requests", "keys", **LIMITED) as opened,
    ):
        yield opened


def error_of(answer: Any) -> tuple[int, str, str | None]:  # noqa: ANN401 - a response
    error = answer.json()["error"]
    assert {"type", "field", "reason"} == set(error)
    return answer.status_code, error["type"], error["field"]


def read_until(capsys: pytest.CaptureFixture[str], part: str) -> str:
    """What was logged: of a request that is after its answer is sent."""
    shown = ""

    def is_shown() -> bool:
        nonlocal shown
        shown += capsys.readouterr().out
        return part in shown

    wait_until(is_shown, f"{part!r} is logged")
    return shown


@pytest.fixture
def slow_recall(served: Served) -> Iterator[tuple[threading.Event, threading.Event]]:
    """A recall that has begun, and goes on when it is let."""
    whole = served.container.recall_tiers
    begun, go_on = threading.Event(), threading.Event()

    def run(*asked: Any) -> Any:  # noqa: ANN401 - as the flow
        begun.set()
        assert go_on.wait(30)
        return RecallTiers.run(whole, *asked)

    object.__setattr__(served.container, "recall_tiers", Mock(run=run))
    yield begun, go_on
    go_on.set()
    object.__setattr__(served.container, "recall_tiers", whole)


# ---- names ---------------------------------------------------------------------------------------


def test_answer_carries_the_name_of_its_request(served: Served) -> None:
    """The caller's, if it is one; else a new one for each, also where nothing was done."""
    key = served.make_key("names")

    given = served.ask(key, "GET", "/v1/caller", headers={"X-Request-Id": "turn-42/a"})
    odd = served.ask(key, "GET", "/v1/caller", headers={"X-Request-Id": "a b\tc"})
    refused = served.ask(None, "GET", "/v1/nothing")

    assert "turn-42/a" == given.headers["X-Request-Id"]
    assert 32 == len(odd.headers["X-Request-Id"])
    assert 32 == len(refused.headers["X-Request-Id"])
    assert odd.headers["X-Request-Id"] != refused.headers["X-Request-Id"]


def test_what_breaks_is_answered_with_the_name_under_which_it_is_logged(
    served: Served, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the form of all errors, and with nothing of what broke."""
    whole = served.container.recall_tiers
    broken = Mock(run=Mock(side_effect=RuntimeError("the secret is out")))
    object.__setattr__(served.container, "recall_tiers", broken)
    key = served.make_key("broken")

    answer = served.ask(
        key, "POST", "/v1/recall", json=QUESTION, headers={"X-Request-Id": "turn-7"}
    )
    wait_until(lambda: "the secret is out" in caplog.text, "the breakage is logged")
    object.__setattr__(served.container, "recall_tiers", whole)

    assert (500, "internal", None) == error_of(answer)
    assert "turn-7" in answer.json()["error"]["reason"]
    assert "secret" not in answer.text
    assert "turn-7" == answer.headers["X-Request-Id"]
    shown = read_until(capsys, "request_answered")
    told = [line for line in shown.splitlines() if "request_answered" in line]
    assert 1 == len(told)
    for part in ("request_id=turn-7", "route=/v1/recall", "status=500"):
        assert part in told[0]


def test_log_of_a_request_names_its_route_and_nobody(
    served: Served, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path and a query may hold a user's id."""
    caplog.set_level(logging.DEBUG)
    key = served.make_key("logged")

    served.ask(key, "GET", "/v1/profiles/miss-marple", params={"x": "poirot"})
    shown = read_until(capsys, "route=/v1/profiles/{user_id:path}")

    assert "marple" not in shown
    assert "poirot" not in shown


# ---- methods -------------------------------------------------------------------------------------


def test_head_is_answered_as_get_without_a_body(served: Served) -> None:
    """With the length that GET would have, and by the same key."""
    key = served.make_key("heads")

    asked = served.ask(key, "GET", "/v1/caller")
    head = served.ask(key, "HEAD", "/v1/caller")

    assert (200, b"") == (head.status_code, head.content)
    assert asked.headers["Content-Length"] == head.headers["Content-Length"]
    assert 200 == served.ask(None, "HEAD", "/healthz").status_code
    assert 401 == served.ask(None, "HEAD", "/v1/caller").status_code
    assert 405 == served.ask(key, "HEAD", "/v1/transcripts").status_code


def test_methods_of_an_address_are_told(served: Served) -> None:
    """Of all routes there; to whoever asks, and with the refusal of another one."""
    asked = served.ask(None, "OPTIONS", "/v1/checkpoints")
    refused = served.ask(None, "DELETE", "/v1/checkpoints")

    assert (204, "GET, HEAD, OPTIONS, POST") == (asked.status_code, asked.headers["Allow"])
    assert (405, "method_not_allowed", None) == error_of(refused)
    assert "GET, HEAD, OPTIONS, POST" == refused.headers["Allow"]
    assert (404, "not_found", None) == error_of(served.ask(None, "OPTIONS", "/v1/nothing"))


def test_address_of_another_version_is_told_which_one_there_is(served: Served) -> None:
    """And where all of it is described."""
    answer = served.ask(None, "POST", "/v2/recall", json={})

    assert (404, "not_found", None) == error_of(answer)
    assert "below /v1" in answer.json()["error"]["reason"]


# ---- limits --------------------------------------------------------------------------------------


def test_body_that_is_too_large_is_refused_on_every_route(served: Served) -> None:
    """By what it says of itself, and by what comes where it says nothing."""
    key, large = served.make_key("large"), b" " * (9 * 1024 * 1024)

    stated = served.ask(key, "POST", "/v1/recall", content=large)
    streamed = served.ask(key, "POST", "/v1/recall", content=iter([large]))
    transcript = served.ask(key, "POST", "/v1/transcripts", content=large)

    assert (413, "too_large", "body") == error_of(stated) == error_of(streamed)
    assert "8,388,608 bytes" in stated.json()["error"]["reason"]
    assert (422, "invalid_transcript", "transcript") == error_of(transcript)


def test_tenant_that_has_its_share_under_way_is_told_to_wait(
    served: Served, slow_recall: tuple[threading.Event, threading.Event]
) -> None:
    """Another tenant is answered meanwhile; beyond what the process takes on, health alone is."""
    begun, go_on = slow_recall
    mine, other = served.make_key("crowd"), served.make_key("bystander")
    answers: list[Any] = []

    def ask(key: Any) -> threading.Thread:  # noqa: ANN401 - a key
        asking = threading.Thread(
            target=lambda: answers.append(served.ask(key, "POST", "/v1/recall", json=QUESTION))
        )
        asking.start()
        assert begun.wait(30)
        begun.clear()
        return asking

    first = ask(mine)
    crowded = served.ask(mine, "GET", "/v1/caller")
    beside = served.ask(other, "GET", "/v1/caller")
    second = ask(other)
    beyond = served.ask(mine, "GET", "/v1/caller")
    healthy = served.ask(None, "GET", "/healthz")
    go_on.set()
    first.join(30)
    second.join(30)

    assert (429, "too_many_requests", None) == error_of(crowded)
    assert "1" == crowded.headers["Retry-After"]
    assert 200 == beside.status_code
    assert (503, "unavailable", None) == error_of(beyond)
    assert "1" == beyond.headers["Retry-After"]
    assert 200 == healthy.status_code
    assert [200, 200] == [answer.status_code for answer in answers]


def test_client_comes_again_when_it_is_told_to_wait(served: Served) -> None:
    """Both of them: nobody has to count."""
    key = served.make_key("slow")

    async def ask() -> str:
        async with AsyncMemstill(api_url=served.url, api_key=key.text) as client:
            return (await client.caller()).tenant_id

    with Memstill(api_url=served.url, api_key=key.text) as client:
        told = [client.caller().tenant_id for _ in range(3)]

    assert ["slow"] * 4 == [*told, asyncio.run(ask())]


# ---- once ----------------------------------------------------------------------------------------


def test_push_with_a_key_in_its_header_is_the_same_push(served: Served) -> None:
    """As one with the key in its body; two keys that differ are refused."""
    key, name = served.make_key("once"), {"Idempotency-Key": '"turn-1"'}
    said = session("alice", "I live in Porto.")

    first = served.ask(key, "POST", "/v1/transcripts", json=said, headers=name)
    again = served.ask(key, "POST", "/v1/transcripts", json=said | {"idempotency_key": "turn-1"})
    other = served.ask(
        key, "POST", "/v1/transcripts", json=session("alice", "I live in Oslo."), headers=name
    )
    torn = served.ask(
        key, "POST", "/v1/transcripts", json=said | {"idempotency_key": "turn-2"}, headers=name
    )

    assert (False, True) == (first.json()["duplicate"], again.json()["duplicate"])
    assert first.json()["receipt"] == again.json()["receipt"]
    assert (409, "idempotency_conflict", "idempotency_key") == error_of(other)
    assert (422, "invalid_request", "idempotency_key") == error_of(torn)


@pytest.mark.parametrize(
    ("path", "body", "read"),
    [
        ("/v1/sessions/s1/episodes", {"content": "Paid."}, "/v1/episodes"),
        ("/v1/checkpoints", {"thread_id": "t", "state": 1}, "/v1/checkpoints"),
    ],
)
def test_write_with_a_key_in_its_header_is_done_once(
    served: Served, path: str, body: dict[str, Any], read: str
) -> None:
    """However often it is sent."""
    key, name = served.make_key("once"), {"Idempotency-Key": "turn-1"}
    whose = {"user_id": "alice"}

    for _ in range(2):
        written = served.ask(key, "POST", path, json=body | whose, headers=name)
        assert written.is_success, written.text

    asked = whose | ({"thread_id": "t"} if "thread_id" in body else {})
    found = served.ask(key, "GET", read, params=asked).json()
    assert [1] == [len(items) for items in found.values() if isinstance(items, list)]


# ---- pages ---------------------------------------------------------------------------------------


def test_list_is_read_page_by_page(served: Served) -> None:
    """Each the same way, and the clients go through all of them; a cursor has to be one."""
    key = served.make_key("pages")
    for number in range(3):
        hold = {"user_id": "alice", "reason": f"case {number}"}
        served.ask(key, "POST", "/v1/holds", json=hold)
        served.ask(key, "DELETE", f"/v1/users/ghost-{number}")

    for name in ("holds", "erasures"):
        whole = served.ask(key, "GET", f"/v1/{name}").json()
        first = served.ask(key, "GET", f"/v1/{name}", params={"limit": 2}).json()
        rest = served.ask(
            key, "GET", f"/v1/{name}", params={"limit": 2, "after": first["next"]}
        ).json()
        odd = served.ask(key, "GET", f"/v1/{name}", params={"after": "2"})

        assert whole[name] == first[name] + rest[name]
        assert (2, 1, None) == (len(first[name]), len(rest[name]), rest["next"])
        assert (422, "invalid_request", "after") == error_of(odd)
    assert [] == served.ask(key, "GET", "/v1/batches", params={"limit": 1}).json()["batches"]
    with Memstill(api_url=served.url, api_key=key.text) as client:
        assert (3, 3) == (len(client.holds()), len(client.erasures()))


# ---- forgetting ----------------------------------------------------------------------------------


def test_memory_that_is_forgotten_is_told_no_more(served: Served) -> None:
    """Nor does the use by the recall just before bring it back; it can be had back."""
    key = served.make_key("forgetful")
    served.ask(key, "POST", "/v1/transcripts", json=session("alice", "I live in Porto."))
    served.work()
    with Memstill(api_url=served.url, api_key=key.text) as client:
        (told,) = client.recall("Where does she live?", "alice").memories
        stranger = served.make_key("forgetful", user_id="bob")
        refused = served.ask(stranger, "POST", f"/v1/memories/{told.id}:forget")
        assert (404, "not_found", None) == error_of(refused)

        forgotten = client.forget(told.id)
        assert () == client.recall("Where does she live?", "alice").memories
        assert forgotten.version == client.forget(told.id).version
        reasons = [event["reason"] for event in client.history(told.id)["events"]]
        assert "forgotten" == reasons[-1]
        client.restore(told.id)

        assert [told.id] == [
            memory.id for memory in client.recall("Where does she live?", "alice").memories
        ]
    with (
        Memstill(api_url=served.url, api_key=key.text) as client,
        pytest.raises(Refused, match="no UUID"),
    ):
        client.forget("the one about Porto")
