"""A tenant, and a user in it, never gets at another's data: a thousand tries with real ids."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis
from structlog.testing import capture_logs
from typer.testing import CliRunner

from tests.integration.serving import Served, serve, session
from tests.integration.tenancy import (
    OTHERS,
    Attacker,
    Probe,
    Things,
    collect,
    joined,
    list_probes,
    propose,
    request_of,
    settle,
)
from workers.cli import app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipelines.flows.keys import NewKey

ATTEMPTS = 1_000
HOUR_MS = 3_600_000
REPOSITORY = Path(__file__).parents[2]
REFUSALS = {200, 202, 401, 403, 404, 422}


@dataclass
class World:
    """An API that asks for keys, and who tries to get at what."""

    served: Served
    attackers: list[Attacker]
    rng: random.Random = field(default_factory=lambda: random.Random(20260302))
    answered: dict[object, str] = field(default_factory=dict)
    judged: int = 0
    hot: dict[bytes, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.document = self.served.http.get("/openapi.json").json()
        self.probes = list(list_probes(self.document))
        self.forget_hot()

    def invent(self, kind: str) -> str:
        """Something of a kind that nobody has."""
        if kind in {"users", "tenants", "threads"}:
            return f"nobody-{self.rng.getrandbits(32):08x}"
        if kind == "keys":
            return f"{self.rng.getrandbits(64):016x}"
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def forget_hot(self) -> None:
        """Undo what an attacker kept in sessions of their own: it would be found again."""
        settings = self.served.container.settings
        with Redis.from_url(settings.redis_url.get_secret_value()) as redis:
            now = {key: redis.dump(key) for key in redis.keys(f"{settings.key_prefix}:sessions:*")}
            self.hot = self.hot or now
            for key in now.keys() - self.hot.keys():
                redis.delete(key)
            for key, value in self.hot.items():
                if now.get(key) != value:
                    redis.restore(key, HOUR_MS, value, replace=True)

    def forget_made(self) -> None:
        """Delete the procedures that an attacker wrote down: they would be found again."""
        with self.served.container.database.transaction() as connection:
            connection.exec_driver_sql("DELETE FROM procedures WHERE name = %s", (OTHERS["name"],))

    def judge(self, attacker: Attacker, what: object, kind: str, ask: Callable[[str], str]) -> None:
        """Ask for another's and for nobody's: the answers are one, and hold nothing of others."""
        self.judged += 1
        named = attacker.foreign.pick(kind, self.rng)
        answer = ask(named)
        assert not [word for word in attacker.foreign.secrets if word in answer], (what, answer)
        if kind == "ids":
            # A place in a list: behind it come the attacker's own, more or fewer.
            return
        key = (attacker.name, what)
        if key not in self.answered:
            nobodys = self.invent(kind)
            self.answered[key] = _plain(ask(nobodys).replace(nobodys, "…"), what)
        assert self.answered[key] == _plain(answer.replace(named, "…"), what), (attacker.name, what)


def _plain(answer: str, what: object) -> str:
    """Without what is always new in an answer about something that was just made."""
    is_new = isinstance(what, Probe) and (what.method, what.path) == ("PUT", "/v1/procedures")
    return _OF_THE_MOMENT.sub("…", answer) if is_new else answer


_OF_THE_MOMENT = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+Z?"
)


@pytest.fixture
def world(
    database_url: str, redis_url: str, key_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """Two tenants with two users each, and secrets of their own; a third one without anything."""
    for name in [name for name in os.environ if name.startswith("MEMSTILL_")]:
        monkeypatch.delenv(name)
    with serve(database_url, redis_url, key_prefix, "keys") as served, capture_logs():
        users = {
            ("acme", "alice"): settle(served, "acme", "alice", "Alqarath", "Brimoval"),
            ("acme", "bob"): settle(served, "acme", "bob", "Cendriswold", "Dorvanmere"),
            ("globex", "gina"): settle(served, "globex", "gina", "Elmharrow", "Fyrstenby"),
            ("globex", "hugo"): settle(served, "globex", "hugo", "Grelsund", "Hovenmark"),
        }
        served.work()
        owned = {name: collect(served, name[0], things) for name, things in users.items()}
        shared = {
            "acme": propose(served, "acme", "Ivaltor", "Jarnholm"),
            "globex": propose(served, "globex", "Krellwick", "Lundamere"),
        }
        acme, globex = (
            joined(shared[name], *(owned[key] for key in owned if key[0] == name))
            for name in shared
        )
        rest = joined(owned["acme", "bob"], shared["acme"], globex)
        rest.ids["tenants"].remove("acme")
        alice = served.make_key("acme", user_id="alice")
        yield World(
            served,
            [
                Attacker("tenant", "acme", served.make_key("acme"), acme, globex),
                Attacker("user", "acme", alice, owned["acme", "alice"], rest),
                Attacker("newcomer", "initech", served.make_key("initech"), Things(), globex),
            ],
        )


def knock(world: World, attacker: Attacker, probe: Probe) -> None:
    """Name another's thing where the API takes one."""

    def ask(named: str) -> str:
        request = request_of(world.document, probe, named)
        answer = world.served.ask(attacker.key, probe.method, request.pop("path"), **request)
        assert answer.status_code in REFUSALS, (probe, answer.text)
        if probe.method != "GET" and probe.path.startswith(("/v1/sessions", "/v1/rates")):
            world.forget_hot()
        if probe.method == "PUT" and probe.path == "/v1/procedures":
            world.forget_made()
        if (probe.method, answer.status_code) == ("DELETE", 200):
            # Of the asker's own tenant somebody of that name was erased: nobody.
            return f"{answer.json()['removed']}"
        return f"{answer.status_code} {answer.text}"

    world.judge(attacker, probe, probe.kind, ask)


def smuggle(world: World, attacker: Attacker, place: str) -> None:
    """Push something for another tenant or user, named in the header or in the body."""

    def ask(named: str) -> str:
        changes = {} if place == "header" else {place: named}
        answer = world.served.ask(
            attacker.key,
            "POST",
            "/v1/transcripts",
            json=session("alice", "I live in Stolenford.") | changes,
            headers={"X-Memstill-Tenant": named} if place == "header" else {},
        )
        assert answer.status_code in {403, 422}, answer.text
        return f"{answer.status_code} {answer.text}"

    world.judge(attacker, place, "users" if place == "user_id" else "tenants", ask)


COMMANDS = (
    (("status", "{}", "--json"), "receipts"),
    (("memory", "show", "{}", "--json"), "memories"),
    (("memory", "history", "{}", "--json"), "memories"),
    (("memory", "restore", "{}"), "memories"),
    (("recall", "where?", "--user", "{}", "--json"), "users"),
    (("export", "--user", "{}"), "users"),
    (("cost", "--user", "{}", "--json"), "users"),
    (("promote", "approve", "{}", "--by", "x"), "proposals"),
    (("promote", "reject", "{}", "--by", "x"), "proposals"),
    (("redistill", "diff", "--user", "{}", "--json"), "users"),
    (("keys", "revoke", "{}"), "keys"),
    (("keys", "rotate", "{}"), "keys"),
)


def command_of(
    world: World, attacker: Attacker, words: tuple[str, ...], named: str
) -> tuple[list[str], dict[str, str]]:
    """What is typed, and the environment in which it is."""
    typed = [word.format(named) for word in words]
    if words[0] == "keys":
        url = world.served.container.settings.database_url.get_secret_value()
        return [*typed, "--tenant", attacker.tenant_id], {"MEMSTILL_DATABASE_URL": url}
    return [*typed, "--api", world.served.url], {"MEMSTILL_API_KEY": attacker.key.text}


def type_command(world: World, attacker: Attacker, words: tuple[str, ...], kind: str) -> None:
    """Name another's thing on the command line."""

    def ask(named: str) -> str:
        typed, env = command_of(world, attacker, words, named)
        done = CliRunner().invoke(app, typed, env=env)
        return f"{done.exit_code} {done.output} {done.exception}"

    world.judge(attacker, words, kind, ask)


def run_process(world: World, attacker: Attacker, words: tuple[str, ...], kind: str) -> None:
    """The same in a process of its own, which says what the command raises."""

    def ask(named: str) -> str:
        typed, env = command_of(world, attacker, words, named)
        done = subprocess.run(
            [sys.executable, "-m", "workers.cli", *typed],
            env=os.environ | env,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        reason = done.stderr.removeprefix("memstill: ").rstrip()
        return f"{done.returncode} {done.stdout} {reason}"

    world.judge(attacker, words, kind, ask)


def list_requests(world: World) -> Iterator[Callable[[], None]]:
    """Each attacker at each place where something of a kind can be named that others have."""
    for attacker in world.attackers:
        for probe in world.probes:
            if attacker.foreign.has(probe.kind):
                yield partial(knock, world, attacker, probe)
        is_bound = attacker.key.key.user_id is not None
        for place in ("header", "tenant_id", "user_id")[: 3 if is_bound else 2]:
            yield partial(smuggle, world, attacker, place)


def list_commands(world: World) -> Iterator[Callable[[], None]]:
    """Each attacker with each command, and three commands as processes."""
    for attacker in world.attackers:
        for words, kind in COMMANDS:
            # Keys are seen to by whoever has the database, for a whole tenant.
            if words[0] != "keys" or attacker.key.key.user_id is None:
                yield partial(type_command, world, attacker, words, kind)
    tenant, user, _ = world.attackers
    yield partial(run_process, world, tenant, ("status", "{}", "--json"), "receipts")
    yield partial(run_process, world, user, ("memory", "show", "{}", "--json"), "memories")
    yield partial(run_process, world, tenant, ("keys", "revoke", "{}"), "keys")


def exported(world: World) -> list[dict[str, Any]]:
    """All that each attacker has, page by page; nothing of it is another's."""
    found = []
    for attacker in world.attackers:
        page: dict[str, Any] = {"next": None}
        text = ""
        while page["next"] is not None or not text:
            params = {"limit": 1} | ({"after": page["next"]} if page["next"] else {})
            answer = world.served.ask(attacker.key, "GET", "/v1/memories", params=params)
            page, text = answer.json(), text + answer.text
            found += page["memories"]
        assert not [word for word in attacker.foreign.secrets if word in text]
        memories = attacker.own.ids.get("memories", [])
        assert set(memories) == {key for key in memories if key in text}
    return found


def stored(world: World) -> list[Any]:
    """What an attack could have changed, whoever's it is."""
    with world.served.container.database.transaction() as connection:
        return [
            list(connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY 1").all())
            for table in (
                "memories",
                "transcripts",
                "proposals",
                "generations",
                "verdicts",
                "agent_checkpoints",
            )
        ] + [
            list(
                connection.exec_driver_sql(
                    "SELECT id, revoked_at, expires_at FROM api_keys ORDER BY id"
                ).all()
            )
        ]


def running(world: World, key: NewKey) -> list[str]:
    """What the running sessions of the attacked hold."""
    return [
        world.served.ask(key, "GET", f"/v1/sessions/hot-{user}/{about}user_id={user}").text
        for user in ("gina", "hugo")
        for about in ("context?", "state?", "tools?tool=search&")
    ]


def test_thousand_tries_to_get_at_anothers_data_are_all_in_vain(world: World) -> None:
    """With real ids, over API, recall, export and command line: as if nobody had them."""
    requests, commands = list(list_requests(world)), list(list_commands(world))
    more = world.rng.choices(requests, k=ATTEMPTS - len(requests) - len(commands))
    key = world.served.make_key("globex")
    before = exported(world), stored(world), running(world, key)

    for attempt in (*requests, *commands, *more):
        attempt()

    assert before == (exported(world), stored(world), running(world, key))
    assert ATTEMPTS == world.judged
    assert {path for path in world.document["paths"] if "{" in path} == {
        probe.path for probe in world.probes if probe.place == "path"
    }
