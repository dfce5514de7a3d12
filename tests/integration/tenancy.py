"""Two tenants with users, keys and secrets of their own, and ways to ask for another's."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipelines.model import Kind
from pipelines.stages.sharing.share import Proposal, ProposalId, ProposalState
from tests.integration.serving import session

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from pipelines.flows.keys import NewKey
    from tests.integration.serving import Served

MOMENT = datetime(2026, 3, 2, tzinfo=UTC)
# What the word for a parameter stands for. A new route with another word teaches it here.
PARAMETERS = {
    "receipt": "receipts",
    "receipts": "receipts",
    "memory": "memories",
    "promotion": "proposals",
    "erasure": "erasures",
    "user_id": "users",
    "session_id": "sessions",
    "checkpoint": "checkpoints",
    "thread_id": "threads",
    "job": "jobs",
    "hold": "holds",
    "procedure": "procedures",
    "after": "ids",
}
OTHERS: dict[str, Any] = {
    "query": "where?",
    "since": "2026-01-01",
    "limit": 200,
    # Done again under its name a write has the same answer.
    "once": "probe",
    "messages": [{"role": "user", "content": "hello"}],
    "content": "hello",
    "tool": "search",
    "state": 1,
    "name": "calls",
    "window_seconds": 60,
    "worked": True,
    "key": "probe",
    "steps": ["look"],
}


# For whom the sessions of others are asked for.
ASKED_FOR = "alice"


@dataclass
class Things:
    """What belongs to somebody, by what it is; ``secrets`` are words that only they have said."""

    secrets: set[str] = field(default_factory=set)
    ids: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, *ids: str) -> None:
        self.ids.setdefault(kind, []).extend(ids)

    def pick(self, kind: str, rng: random.Random) -> str:
        names = [kind] if kind != "ids" else ["memories", "receipts", "proposals"]
        return rng.choice([key for name in names for key in self.ids.get(name, [])])

    def has(self, kind: str) -> bool:
        return bool(self.ids.get(kind)) or (kind == "ids" and bool(self.ids))


def joined(*all_things: Things) -> Things:
    whole = Things()
    for things in all_things:
        whole.secrets |= things.secrets
        for kind, ids in things.ids.items():
            whole.add(kind, *ids)
    return whole


@dataclass(frozen=True)
class Attacker:
    """Who asks with a key of their own for what belongs to others."""

    name: str
    tenant_id: str
    key: NewKey
    own: Things
    foreign: Things


@dataclass(frozen=True)
class Probe:
    """One place of one request where something can be named."""

    method: str
    path: str
    place: str
    name: str

    @property
    def kind(self) -> str:
        return PARAMETERS[self.name]


def settle(served: Served, tenant_id: str, user_id: str, *cities: str) -> Things:
    """A user who moved from city to city; what is known of them is not there before work."""
    things = Things(set(cities))
    key = served.make_key(tenant_id)
    for number, city in enumerate(cities):
        told = session(
            user_id,
            f"I live in {city}.",
            name=f"s{number}",
            started_at=f"2026-03-{number + 2:02}T09:00:00Z",
        )
        pushed = served.ask(key, "POST", "/v1/transcripts", json=told)
        things.add("receipts", pushed.json()["receipt"])
    things.add("users", user_id)
    things.add("sessions", run_session(served, key, user_id, *cities))
    thread = f"thread-of-{user_id}"
    saved = served.ask(
        key,
        "POST",
        "/v1/checkpoints",
        json={"user_id": user_id, "thread_id": thread, "state": sorted(cities)},
    )
    things.add("checkpoints", saved.json()["id"])
    things.add("threads", thread)
    put = {"user_id": user_id, "name": f"leave {cities[0]}", "steps": sorted(cities)}
    procedure = served.ask(key, "PUT", "/v1/procedures", json=put)
    things.add("procedures", procedure.json()["id"])
    return things


def run_session(served: Served, key: NewKey, user_id: str, *cities: str) -> str:
    """A session that is running, with what only its user says everywhere in it."""
    name, whose = hot_session_of(user_id), {"user_id": user_id}
    for method, about, said in (
        ("POST", "context", {"messages": [{"role": "user", "content": str(cities)}]}),
        ("POST", "episodes", {"content": str(cities)}),
        ("PUT", "tools", {"tool": "search", "state": cities}),
        ("PUT", "state", {"state": cities}),
    ):
        answer = served.ask(key, method, f"/v1/sessions/{name}/{about}", json=whose | said)
        assert 200 == answer.status_code, answer.text
    return name


def hot_session_of(user_id: str) -> str:
    """The name of a user's running session."""
    return f"hot-{user_id}"


def collect(served: Served, tenant_id: str, things: Things) -> Things:
    """The same with the memories that became of it."""
    key = served.make_key(tenant_id)
    for user_id in things.ids["users"]:
        asked = {"user_id": user_id}
        found = served.ask(key, "GET", "/v1/memories", params=asked).json()["memories"]
        assert len(things.secrets) == len(found)
        things.add("memories", *(memory["id"] for memory in found))
    return things


def propose(served: Served, tenant_id: str, *secrets: str) -> Things:
    """What a tenant could make everyone's, and a generation beside what is live."""
    things = Things(set(secrets), {"tenants": [tenant_id]})
    for secret in secrets:
        key = ProposalId(uuid.uuid5(uuid.NAMESPACE_OID, f"{tenant_id}/{secret}"))
        made = Proposal(
            key, tenant_id, f"{secret} breaks.", secret, Kind.LESSON, 3, (), ProposalState.PROPOSED,
            MOMENT, None, None, None,
        )  # fmt: skip
        served.container.share.sharing.add_proposals([made])
        things.add("proposals", str(key))
    admin = served.make_key(tenant_id)
    begun = served.ask(admin, "POST", "/v1/redistill", json={"since": "2026-01-01"})
    assert 202 == begun.status_code
    things.add("keys", admin.key.id)
    erased = served.ask(admin, "DELETE", f"/v1/users/ghost-of-{tenant_id}")
    things.add("erasures", erased.json()["id"])
    return things


def list_probes(document: dict[str, Any]) -> Iterator[Probe]:
    """Every place of the API, as it describes itself, where an id or a user can be named."""
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            for parameter in told.get("parameters", ()):
                if parameter["in"] == "path" or parameter["name"] in PARAMETERS:
                    yield Probe(method.upper(), path, parameter["in"], parameter["name"])
            for name in body_of(document, told).get("properties", ()):
                if name in PARAMETERS:
                    yield Probe(method.upper(), path, "body", name)


def body_of(document: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """The schema of the JSON that a route takes."""
    content = told.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    for part in (schema, *schema.get("anyOf", ())):
        if "$ref" in part:
            found: dict[str, Any] = document["components"]["schemas"][part["$ref"].split("/")[-1]]
            return found
    return {}


def request_of(document: dict[str, Any], probe: Probe, named: str) -> dict[str, Any]:
    """The request that names something at the place of a probe."""
    told = document["paths"][probe.path][probe.method.lower()]
    taken = {item["name"] for item in told.get("parameters", ()) if item["in"] == "query"}
    given = {name: value for name, value in OTHERS.items() if name in taken}
    whose = ASKED_FOR if probe.name == "session_id" else named
    where = named if probe.name == "session_id" else hot_session_of(named)
    path = probe.path.replace("{session_id}", where)
    request: dict[str, Any] = {"path": re.sub(r"\{\w+\}", named, path)}
    if "user_id" in taken and (probe.name == "session_id" or probe.place != "path"):
        given["user_id"] = whose
    if probe.place == "query":
        given[probe.name] = named
    properties = body_of(document, told).get("properties", {})
    if properties:
        body: dict[str, Any] = {name: OTHERS[name] for name in properties if name in OTHERS}
        if probe.name == "session_id" and "user_id" in properties:
            body["user_id"] = whose
        if probe.place == "body":
            body[probe.name] = [named] if probe.name == "receipts" else named
        request["json"] = body
    return {**request, "params": given}
