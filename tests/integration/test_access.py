"""The API with keys: who is let in, and how far."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from config.access import KeyPolicy
from memstill_client import Memstill, Refused
from pipelines.stages.keys import KeyScope
from tests.acceptance.deployment import wait_until
from tests.conftest import copied_database
from tests.integration.serving import Served, serve, session
from workers.api import create_api
from workers.callers import PUBLIC, ScopedRoute, scopes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.embedded.postgres import PostgresServer
    from workers.embedded.redis import RedisServer

WRITE, READ, ADMIN = KeyScope.WRITE, KeyScope.READ, KeyScope.ADMIN
NOBODYS = "00000000-0000-4000-8000-000000000000"
QUESTION = {"user_id": "alice", "query": "where?"}
# What the specification of the scopes says, for every route that this test knows.
SCOPES = {
    ("GET", "/v1/caller"): set(KeyScope),
    ("POST", "/v1/transcripts"): {WRITE},
    ("POST", "/v1/transcripts:bulk"): {WRITE},
    ("GET", "/v1/transcripts/{receipt}"): {WRITE, READ},
    ("POST", "/v1/transcripts:states"): {WRITE, READ},
    ("GET", "/v1/recall"): {READ},
    ("POST", "/v1/recall"): {READ},
    ("GET", "/v1/memories"): {READ, ADMIN},
    ("GET", "/v1/memories/{memory}"): {READ},
    ("GET", "/v1/memories/{memory}/history"): {READ},
    ("POST", "/v1/memories/{memory}:forget"): {WRITE},
    ("POST", "/v1/memories/{memory}:restore"): {ADMIN},
    ("PUT", "/v1/procedures"): {WRITE},
    ("GET", "/v1/procedures"): {READ},
    ("GET", "/v1/procedures/{procedure}"): {READ},
    ("POST", "/v1/procedures/{procedure}/outcomes"): {WRITE},
    ("GET", "/v1/sessions"): {READ, ADMIN},
    ("GET", "/v1/verdicts"): {READ, ADMIN},
    ("POST", "/v1/imports"): {ADMIN},
    ("POST", "/v1/imports:settle"): {ADMIN},
    ("GET", "/v1/profiles/{user_id:path}"): {READ},
    ("PATCH", "/v1/profiles/{user_id:path}"): {WRITE},
    ("GET", "/v1/cost"): {ADMIN},
    ("GET", "/metrics"): {KeyScope.OPERATE},
    ("GET", "/v1/batches"): {ADMIN},
    ("POST", "/v1/batches:poll"): {KeyScope.OPERATE},
    ("GET", "/v1/promotions"): {ADMIN},
    ("POST", "/v1/promotions:scan"): {ADMIN},
    ("POST", "/v1/promotions/{promotion}:approve"): {ADMIN},
    ("POST", "/v1/promotions/{promotion}:reject"): {ADMIN},
    ("POST", "/v1/redistill"): {ADMIN},
    ("GET", "/v1/redistill"): {ADMIN},
    ("GET", "/v1/redistill/diff"): {ADMIN},
    ("POST", "/v1/redistill:switch"): {ADMIN},
    ("POST", "/v1/redistill:back-out"): {ADMIN},
    ("POST", "/v1/redistill:drop"): {ADMIN},
    ("DELETE", "/v1/users/{user_id:path}"): {ADMIN},
    ("GET", "/v1/erasures"): {ADMIN},
    ("GET", "/v1/erasures/{erasure}"): {ADMIN},
    ("POST", "/v1/index:reconcile"): {KeyScope.OPERATE},
    ("POST", "/v1/index:reindex"): {KeyScope.OPERATE},
    ("POST", "/v1/index:proceed"): {KeyScope.OPERATE},
    ("POST", "/v1/index:cancel"): {KeyScope.OPERATE},
}


@pytest.fixture(scope="module")
def served(
    postgres_server: PostgresServer, template_database: str, redis_server: RedisServer
) -> Iterator[Served]:
    """One API for all; each test pushes for a tenant of its own."""
    with (
        copied_database(postgres_server, template_database) as url,
        serve(url, redis_server.url, "test-access", "keys") as opened,
    ):
        yield opened


def routes_of(served: Served) -> list[tuple[str, APIRoute]]:
    """Every route of the API with each of its methods."""
    routes = create_api(served.container).routes
    found = [route for route in routes if isinstance(route, APIRoute)]
    return [(method, route) for route in found for method in sorted(route.methods or ())]


def path_of(route: APIRoute) -> str:
    """An address of the route; what it is about need not be there."""
    return route.path_format.format(**dict.fromkeys(route.param_convertors, NOBODYS))


def error_of(answer: Any) -> tuple[int, str, str]:  # noqa: ANN401 - a response
    error = answer.json()["error"]
    return answer.status_code, error["type"], error["field"]


def test_every_route_declares_its_scope(served: Served) -> None:
    """None is open by oversight, and those that are known have the scopes that they should."""
    declared = {(method, route.path): scopes_of(route) for method, route in routes_of(served)}

    assert PUBLIC == {path for (_, path), scopes in declared.items() if not scopes}
    assert SCOPES.items() <= declared.items()


def test_route_that_declares_no_scope_cannot_be_made() -> None:
    """It fails when the API is put together, not when somebody finds it."""
    api = FastAPI()
    api.router.route_class = ScopedRoute

    with pytest.raises(TypeError, match="/v1/open declares no scope"):
        api.get("/v1/open")(lambda: None)


NO_KEYS = (
    None,
    b"",
    b"Bearer",
    b"Bearer nonsense",
    b"Bearer memstill_%b_%b" % (b"0" * 16, b"a" * 43),
    b"Basic dXNlcjpwYXNz",
    b"Bearer \xfc",
)


def test_request_without_a_key_is_refused_on_every_route(served: Served) -> None:
    """Before its body is read: also one that nobody could read."""
    for method, route in routes_of(served):
        for sent in NO_KEYS if route.path not in PUBLIC else ():
            headers = {b"Content-Type": b"application/json"}
            headers |= {} if sent is None else {b"Authorization": sent}
            answer = served.http.request(method, path_of(route), content=b"{", headers=headers)

            assert (401, "unauthorized", "Authorization") == error_of(answer), route.path
            assert "Bearer" == answer.headers["WWW-Authenticate"]
            assert "memstill keys create" in answer.json()["error"]["reason"]


def test_health_and_documentation_need_no_key(served: Served) -> None:
    """Probes and people who look up how to ask."""
    paths = [*sorted(PUBLIC), "/docs", "/openapi.json"]

    assert [200] * 4 == [served.ask(None, "GET", path).status_code for path in paths]


def test_key_without_the_scope_is_told_which_one_it_takes(served: Served) -> None:
    """Each route, with a key that has every scope but those of the route."""
    for method, route in routes_of(served):
        wanted = scopes_of(route)
        others = set(KeyScope) - wanted
        if not wanted or not others:
            continue
        answer = served.ask(served.make_key("acme", *others), method, path_of(route), content=b"{")

        assert (403, "forbidden", "scope") == error_of(answer), route.path
        for scope in wanted:
            assert f"`{scope}`" in answer.json()["error"]["reason"]


def test_key_with_one_of_the_scopes_is_let_in(served: Served) -> None:
    """Whatever the answer is, it is none about keys."""
    for method, route in routes_of(served):
        for scope in scopes_of(route):
            key = served.make_key("acme", scope)
            narrowed = route.path in {"/v1/memories", "/v1/sessions", "/v1/checkpoints:threads"}
            params = {"user_id": "alice"} if narrowed else {}
            answer = served.ask(key, method, path_of(route), params=params)
            assert answer.status_code not in {401, 403, 500}, route.path


def test_whole_tenant_is_exported_with_the_scope_admin_alone(served: Served) -> None:
    """One user's memories are read, those of all are an export."""
    reader, admin = served.make_key("acme", READ), served.make_key("acme", ADMIN)
    one = {"user_id": "alice"}

    refused = served.ask(reader, "GET", "/v1/memories")

    assert (403, "forbidden", "scope") == error_of(refused)
    assert "`admin`" in refused.json()["error"]["reason"]
    assert 200 == served.ask(reader, "GET", "/v1/memories", params=one).status_code
    assert 200 == served.ask(admin, "GET", "/v1/memories").status_code


def test_key_is_told_what_it_opens(served: Served) -> None:
    """The same to the client of an agent, before it asks for anything else."""
    key = served.make_key("acme", READ, WRITE, user_id="alice")

    with Memstill(api_url=served.url, api_key=key.text) as client:
        found = client.caller()

    assert ("acme", "alice", ("read", "write")) == (found.tenant_id, found.user_id, found.scopes)


def test_client_with_another_key_is_somebody_else(served: Served) -> None:
    """On the same connections; neither reaches what is the other's, checkpoints included."""
    acme, globex = served.make_key("acme", user_id="alice"), served.make_key("globex")

    with Memstill(api_url=served.url, api_key=acme.text) as client:
        other = client.with_key(globex.text)
        other.checkpoints.save("alice", "t", 1)

        assert ("acme", "globex") == (client.caller().tenant_id, other.caller().tenant_id)
        assert [] == list(client.checkpoints.history("alice", "t"))
        with pytest.raises(Refused, match="unauthorized"):
            client.with_key("").caller()


def test_revoked_key_is_refused_within_the_time_of_the_cache(served: Served) -> None:
    """Also by a process that takes it all the time."""
    key = served.make_key()
    assert 200 == served.ask(key, "POST", "/v1/recall", json=QUESTION).status_code
    served.keys.revoke("acme", key.key.id)
    revoked_at = time.monotonic()

    while (answer := served.ask(key, "POST", "/v1/recall", json=QUESTION)).status_code == 200:
        assert time.monotonic() - revoked_at < KeyPolicy().cached_for.total_seconds() + 1
        time.sleep(0.02)

    assert (401, "unauthorized", "Authorization") == error_of(answer)
    assert "was revoked" in answer.json()["error"]["reason"]


def test_expired_key_is_refused(served: Served) -> None:
    """With the reason, to whoever has the secret."""
    key = served.keys.create("acme", "short", [READ], lifetime=timedelta())

    answer = served.ask(key, "POST", "/v1/recall", json=QUESTION)

    assert 401 == answer.status_code
    assert "has expired" in answer.json()["error"]["reason"]


def test_tenant_comes_from_the_key(served: Served) -> None:
    """The header may repeat it; another tenant is refused in header and body."""
    mine, foreign = {"X-Memstill-Tenant": "globex"}, {"X-Memstill-Tenant": "other"}
    key = served.make_key("globex")
    pushed = served.ask(key, "POST", "/v1/transcripts", json=session("alice", "I live in Porto."))
    path = f"/v1/transcripts/{pushed.json()['receipt']}"

    assert 200 == served.ask(key, "GET", path).status_code
    assert 200 == served.ask(key, "GET", path, headers=mine).status_code
    told = served.ask(key, "GET", path, headers=foreign)
    assert (403, "forbidden", "X-Memstill-Tenant") == error_of(told)
    smuggled = session("alice", "I live in Oslo.", tenant_id="other")
    single = served.ask(key, "POST", "/v1/transcripts", json=smuggled)
    assert (422, "invalid_transcript", "tenant_id") == error_of(single)
    bulk = served.ask(key, "POST", "/v1/transcripts:bulk", json=smuggled).json()["results"]
    assert ["tenant_id"] == [line["error"]["field"] for line in bulk]


def test_key_of_one_user_acts_for_that_user_alone(served: Served) -> None:
    """Pushes, questions, exports and whatever is about all users are refused for others."""
    key = served.make_key("initech", user_id="alice")
    refused = [
        served.ask(key, "POST", "/v1/transcripts", json=session("bob", "I live in Oslo.")),
        served.ask(key, "POST", "/v1/recall", json={**QUESTION, "user_id": "bob"}),
        served.ask(key, "GET", "/v1/recall", params={**QUESTION, "user_id": "nobody"}),
        served.ask(key, "GET", "/v1/memories", params={"user_id": "bob"}),
        served.ask(key, "GET", "/v1/sessions", params={"user_id": "bob"}),
        served.ask(key, "GET", "/v1/verdicts", params={"user_id": "bob"}),
        served.ask(key, "POST", "/v1/imports", json={"user_id": "bob"}),
        served.ask(key, "POST", "/v1/imports:settle", json={"user_id": "bob", "facts": []}),
        served.ask(key, "PATCH", "/v1/profiles/bob", json={}),
        *[
            served.ask(key, method, path_of(route))
            for method, route in routes_of(served)
            # One memory is looked for among the user's own; an import names its user in its body.
            if scopes_of(route) == {ADMIN}
            and "{memory}" not in route.path
            and not route.path.startswith("/v1/imports")
        ],
    ]

    assert {"user_id"} == {error_of(answer)[2] for answer in refused}
    assert {403, 422} == {answer.status_code for answer in refused}
    own = served.ask(key, "POST", "/v1/transcripts", json=session("alice", "I live in Oslo."))
    assert 202 == own.status_code
    served.work()
    exported = served.ask(key, "GET", "/v1/memories").json()["memories"]
    assert ["alice"] == [memory["user_id"] for memory in exported]


def test_client_and_command_line_send_the_key(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both take it from the environment; without it they say what is missing."""
    monkeypatch.delenv("MEMSTILL_API_KEY", raising=False)
    with Memstill(api_url=served.url) as client, pytest.raises(Refused) as caught:
        client.recall("where?", "alice")
    assert "unauthorized" == caught.value.type
    assert "memstill keys create" in caught.value.reason

    monkeypatch.setenv("MEMSTILL_API_KEY", served.make_key("acme").text)
    with Memstill(api_url=served.url) as client:
        receipt = client.enqueue(session("alice", "I live in Porto."))
        assert "queued" == client.status(receipt).state


@pytest.fixture
def broken_recall(served: Served) -> Iterator[None]:
    whole = served.container.recall_tiers
    broken = Mock(run=Mock(side_effect=RuntimeError("something broke")))
    object.__setattr__(served.container, "recall_tiers", broken)
    yield
    object.__setattr__(served.container, "recall_tiers", whole)


@pytest.mark.usefixtures("broken_recall")
def test_keys_reach_no_log(
    served: Served,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever is logged at all: taken, refused, misread, or when something breaks behind it."""
    caplog.set_level(logging.DEBUG)
    key = served.make_key("acme", READ)
    unknown = f"Bearer memstill_{'0' * 16}_{'b' * 43}"
    asked = [
        served.ask(key, "GET", "/v1/memories", params={"user_id": "alice"}),
        served.ask(key, "GET", "/v1/cost"),
        served.ask(key, "POST", "/v1/recall", content=b"{"),
        served.ask(unknown, "POST", "/v1/recall", json=QUESTION),
        served.ask(key.text, "POST", "/v1/recall", json=QUESTION),
        served.ask(key, "POST", "/v1/recall", json=QUESTION),
    ]

    assert [200, 403, 422, 401, 401, 500] == [answer.status_code for answer in asked]
    wait_until(lambda: "something broke" in caplog.text, "the breakage is logged")
    shown = capsys.readouterr()
    logged = caplog.text + shown.out + shown.err
    for secret in (key.text.split("_", 2)[2], unknown.split("_", 2)[2]):
        assert secret not in logged + "".join(answer.text for answer in asked)
