"""Requests made from the API's own description, right and wrong ones, against the API."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx2
    from hypothesis.strategies import SearchStrategy

    from tests.fuzzing.campaign import Campaign

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]
# A wrong line among others is no wrong request, and is answered in its place.
LENIENT = frozenset({"/v1/transcripts:bulk"})
SHOWN = 600
SAID = ("I live in Lisbon.", "I moved to Porto.", "I prefer short answers.")


@schemathesis.serializer("application/x-ndjson")
def write_lines(_: object, value: object) -> bytes:
    """As it is, where it is text; a wrong body may be anything."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom to ask, how often, and about what.

    Attributes:
        known: Path parameters that name something, by path; all others name nothing.
    """

    url: str
    examples: int
    number: int
    known: Mapping[str, dict[str, str]]


def fuzz_api(description: dict[str, Any], asked: Asked) -> Iterator[str]:
    """Send so many right and so many wrong requests to each route; what failed, as sentences."""
    schema = schemathesis.openapi.from_dict(description)
    with requests.Session() as session:
        for found in schema.get_all_operations():
            operation = found.ok()  # type: ignore[union-attr] # the description is valid
            for strategy, checks in _strategies(operation, asked):
                problem = _try(strategy, checks, asked, session)
                if problem is not None:
                    yield f"{operation.label}: {problem[:SHOWN]}"


def populate(campaign: Campaign) -> dict[str, dict[str, str]]:
    """Give the API something to tell of, and name it."""
    api = campaign.api
    receipts = [
        _push(api, user, f"{user}-{number}", f"2026-03-{number:02d}T09:00:00Z", said)
        for user in ("alice", "bob")
        for number, said in enumerate(SAID, start=1)
    ]
    campaign.work()
    body = {"schema_version": 1, "user_id": "alice", "session_id": "s", "idempotency_key": "k"}
    for said in ("one", "two"):
        # The second is a dead letter: its key was used before.
        message = {"role": "user", "content": f"I like number {said}."}
        api.post("/v1/transcripts", json=body | {"messages": [message]})
    memory = api.get("/v1/memories", params={"user_id": "alice"}).json()["memories"][0]["id"]
    api.post("/v1/redistill", json={"since": "2026-01-01"})
    dead = api.get("/v1/dead").json()["dead"][0]["receipt"]
    erasure = api.delete("/v1/users/dave").json()["id"]
    return {
        "/v1/transcripts/{receipt}": {"receipt": receipts[0]},
        "/v1/memories/{memory}": {"memory": memory},
        "/v1/memories/{memory}/history": {"memory": memory},
        "/v1/memories/{memory}:restore": {"memory": memory},
        "/v1/erasures/{erasure}": {"erasure": erasure},
        "/v1/dead/{receipt}": {"receipt": dead},
    }


def _push(api: httpx2.Client, user: str, session: str, started_at: str, said: str) -> str:
    body = {
        "schema_version": 1,
        "user_id": user,
        "session_id": session,
        "started_at": started_at,
        "messages": [{"role": "user", "content": said}],
    }
    receipt: str = api.post("/v1/transcripts", json=body).json()["receipt"]
    return receipt


def _strategies(operation: Any, asked: Asked) -> Iterator[tuple[Any, list[Any]]]:  # noqa: ANN401
    """Right requests about anything, and about what there is; and wrong ones."""
    yield operation.as_strategy(GenerationMode.POSITIVE), CHECKS
    if operation.path in asked.known:
        names = asked.known[operation.path]
        yield operation.as_strategy(GenerationMode.POSITIVE, path_parameters=names), CHECKS
    if not (operation.query or operation.body):
        # Any text is a right path and a right header.
        return
    strict = [] if operation.path in LENIENT else [negative_data_rejection]
    yield operation.as_strategy(GenerationMode.NEGATIVE), [*CHECKS, *strict]


def _try(
    strategy: SearchStrategy[Any], checks: list[Any], asked: Asked, session: requests.Session
) -> str | None:
    @seed(asked.number)
    @settings(
        max_examples=asked.examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(case=strategy)
    def ask(case: Any) -> None:  # noqa: ANN401 - as the library makes it
        case.call_and_validate(base_url=asked.url, session=session, checks=checks)

    try:
        ask()
    except Unsatisfiable:
        # Nothing can be wrong with a request that takes nothing.
        return None
    except (Failure, FailureGroup) as failure:
        return str(failure)
    return None
