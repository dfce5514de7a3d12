"""Checkpoints over HTTP, with clients of both kinds, and on the command line."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from memstill_client import (
    AsyncMemstill,
    AsyncResumableTask,
    CheckpointConflict,
    DamagedCheckpoint,
    Memstill,
    NotFound,
    Refused,
    ResumableTask,
)
from pipelines.model import Owner
from pipelines.ports import Subject
from pipelines.stages.keys import KeyScope
from tests.conftest import copied_database
from tests.integration.serving import Served, serve
from workers.cli import app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memstill_client import Step
    from workers.embedded.postgres import PostgresServer
    from workers.embedded.redis import RedisServer

STATE: dict[str, Any] = {
    "messages": [{"role": "user", "content": "ünïcode\x00 \U0001f600 </script>"}],
    "numbers": [1, 1.0, -0.0, 1e16, 2**62, True],
    "~/": {"": None},
}


@pytest.fixture(scope="module")
def served(
    postgres_server: PostgresServer, template_database: str, redis_server: RedisServer
) -> Iterator[Served]:
    """One API that asks for keys, for all of these tests: each has a user of its own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("MEMSTILL_")]:
            patch.delenv(name)
        with (
            copied_database(postgres_server, template_database) as url,
            serve(url, redis_server.url, f"test-{uuid.uuid4().hex[:12]}", "keys") as opened,
            capture_logs(),
        ):
            yield opened


@pytest.fixture(scope="module")
def key(served: Served) -> str:
    return served.make_key("acme").text


@pytest.fixture
def memstill(served: Served, key: str) -> Iterator[Memstill]:
    with Memstill(api_url=served.url, redis_url="", api_key=key) as client:
        yield client


@pytest.fixture
def user() -> str:
    return f"user-{uuid.uuid4().hex[:8]}"


@pytest.fixture(params=["blocking", "asynchronous"])
def ask(request: pytest.FixtureRequest, served: Served, key: str) -> Callable[..., Any]:
    """``ask(method, …)`` of the checkpoints of a client of either kind."""
    arguments = {"api_url": served.url, "redis_url": "", "api_key": key}

    def block(method: str, *args: object, **kwargs: object) -> Any:  # noqa: ANN401
        with Memstill(**arguments) as memstill:  # type: ignore[arg-type]
            found = getattr(memstill.checkpoints, method)(*args, **kwargs)
            return list(found) if method in {"history", "threads"} else found

    async def wait_for(method: str, *args: object, **kwargs: object) -> Any:  # noqa: ANN401
        async with AsyncMemstill(**arguments) as memstill:  # type: ignore[arg-type]
            found = getattr(memstill.checkpoints, method)(*args, **kwargs)
            if method in {"history", "threads"}:
                return [item async for item in found]
            return await found

    def run(method: str, *args: object, **kwargs: object) -> Any:  # noqa: ANN401
        return asyncio.run(wait_for(method, *args, **kwargs))

    return block if request.param == "blocking" else run


def test_state_comes_back_as_it_was_given(ask: Callable[..., Any], user: str) -> None:
    """To the last sign, number and type; with its node, metadata and place in the thread."""
    first = ask("save", user, "t", STATE, node="plan", metadata={"cost": 1.0})
    second = ask("save", user, "t", STATE | {"more": [1]}, parent=first.id)

    newest, named = ask("load", user, "t"), ask("load", user, "t", first.id)

    assert json.dumps(STATE | {"more": [1]}, sort_keys=True) == json.dumps(newest.state)
    assert json.dumps(STATE, sort_keys=True) == json.dumps(named.state)
    assert (second.id, second.id, first.id) == (newest.id, newest.newest, newest.parent)
    assert ("plan", {"cost": 1.0}, 1) == (named.node, named.metadata, named.sequence)
    assert [second.id, first.id] == [item.id for item in ask("history", user, "t")]
    (thread,) = ask("threads", user)
    assert ("t", 2, second.id) == (thread.thread_id, thread.kept, thread.newest)


def test_save_of_who_did_not_see_the_newest_is_refused_with_its_name(
    ask: Callable[..., Any], user: str
) -> None:
    """Nothing was saved; with its own id repeated, a save is the same save."""
    key = uuid.uuid4()
    first = ask("save", user, "t", {"n": 1}, parent=None, checkpoint_id=key)
    again = ask("save", user, "t", {"n": 1}, parent=None, checkpoint_id=key)

    with pytest.raises(CheckpointConflict) as caught:
        ask("save", user, "t", {"n": 2}, parent=None)
    with pytest.raises(Refused, match="used before"):
        ask("save", user, "t", {"n": 2}, checkpoint_id=key)

    assert (key, False, True) == (first.id, first.duplicate, again.duplicate)
    assert key == caught.value.newest
    assert {"n": 1} == ask("load", user, "t").state


def test_fork_goes_its_own_way(ask: Callable[..., Any], user: str) -> None:
    """From the newest checkpoint, or from an older one."""
    first = ask("save", user, "t", {"n": 1})
    ask("save", user, "t", {"n": 2})

    forked = ask("fork", user, "t", "branch", first.id)
    ask("save", user, "branch", {"n": 3}, parent=forked.id)

    assert (first.id, "t") == (forked.parent, forked.origin)
    assert [{"n": 3}, {"n": 2}] == [ask("load", user, name).state for name in ("branch", "t")]
    with pytest.raises(CheckpointConflict):
        ask("fork", user, "t", "branch")
    with pytest.raises(NotFound):
        ask("fork", user, "nowhere", "branch-2")


def test_damaged_checkpoint_is_refused_and_names_the_newest_sound_one(
    ask: Callable[..., Any], served: Served, user: str
) -> None:
    """Which is given to whoever will take it, with what the next save has to follow."""
    first = ask("save", user, "t", {"n": 1, "long": "x" * 200})
    second = ask("save", user, "t", {"n": 2, "long": "x" * 200})
    damage(served, user)

    with pytest.raises(DamagedCheckpoint) as caught:
        ask("load", user, "t")
    sound = ask("load", user, "t", sound=True)
    ask("save", user, "t", {"n": 3}, parent=sound.newest)

    assert first.id == caught.value.sound == sound.id
    assert (1, second.id) == (sound.state["n"], sound.newest)
    assert {"n": 3} == ask("load", user, "t").state


def damage(served: Served, user: str) -> None:
    """As a bad disk would: the newest checkpoint, in the truth; Redis has forgotten it."""
    with served.container.database.transaction() as connection:
        connection.exec_driver_sql(
            "UPDATE agent_checkpoints SET content = content || content"
            " WHERE user_id = %s AND sequence = 2",
            (user,),
        )
    hot = served.container.checkpointing.hot
    hot.remove(Subject(Owner("acme", user)), datetime.now(UTC) + timedelta(days=1))


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({1: "one"}, "key that is not a string"),
        (float("nan"), "not finite"),
        ({"when": datetime.now(UTC)}, "datetime"),
        (2**64, "64 bits"),
        ("\ud800", "surrogate"),
    ],
    ids=["key", "nan", "time", "large", "half"],
)
def test_client_refuses_what_json_would_not_bring_back(
    ask: Callable[..., Any], user: str, state: object, reason: str
) -> None:
    """Before anything is sent, with the field."""
    with pytest.raises(Refused, match=f"state: .*{reason}"):
        ask("save", user, "t", state)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"user_id": "u", "thread_id": "t", "state": NaN}', "body"),
        (b'{"user_id": "u", "thread_id": "t", "state": 1' + b"0" * 40 + b"}", "body"),
        (b'{"user_id": "u", "thread_id": "t", "state": "\\ud800"}', "state"),
        (b'{"user_id": "u", "thread_id": "t"}', "state"),
        (b'{"user_id": "", "thread_id": "t", "state": 1}', "user_id"),
        (b'{"user_id": "u", "thread_id": "a\\nb", "state": 1}', "thread_id"),
        (b'{"user_id": "u", "thread_id": "t", "state": 1, "parent": "x"}', "parent"),
        (b'{"user_id": "u", "thread_id": "t", "state": 1, "other": 1}', "other"),
        (b"[" * 5000, "body"),
        (b"\xff", "body"),
        (b"[]", "body"),
    ],
    ids=range(11),
)
def test_server_refuses_what_it_cannot_keep_with_the_field(
    served: Served, key: str, body: bytes, field: str
) -> None:
    """Whoever calls it without the client."""
    answer = served.ask(f"Bearer {key}", "POST", "/v1/checkpoints", content=body)

    assert 422 == answer.status_code, answer.text
    assert answer.json()["error"]["field"].startswith(field)


def test_state_that_is_too_large_is_refused_with_a_remedy(memstill: Memstill, user: str) -> None:
    """Ten megabytes pass; where the limit lies is said."""
    limit = 10 * 1024 * 1024
    memstill.checkpoints.save(user, "t", "x" * (limit - 2))

    with pytest.raises(Refused, match=r"state: .*keep large things elsewhere"):
        memstill.checkpoints.save(user, "t", "x" * (limit - 1))
    with pytest.raises(Refused, match=r"body: is larger than 11,534,336 bytes; send less at once"):
        memstill.checkpoints.save(user, "t", "x" * (limit + 2 * 1024 * 1024))
    assert limit - 2 == len(memstill.checkpoints.load(user, "t").state)


def test_keys_reach_as_far_as_they_say(served: Served, memstill: Memstill, user: str) -> None:
    """Writing is not reading; another user's or tenant's thread is as if it were not there."""
    mine = memstill.checkpoints.save(user, "t", {"mine": 1})
    whose = {"user_id": user, "thread_id": "t"}
    body = whose | {"state": 1}
    writer, reader = (served.make_key("acme", scope) for scope in (KeyScope.WRITE, KeyScope.READ))
    bound = served.make_key("acme", user_id="somebody-else")
    admin, stranger = served.make_key("acme", KeyScope.ADMIN), served.make_key("globex")
    paths = ("/v1/checkpoints:latest", f"/v1/checkpoints/{mine.id}", "/v1/checkpoints")

    def get(key: object, path: str) -> int:
        return served.ask(key, "GET", path, params=whose).status_code  # type: ignore[arg-type]

    assert [403] * 3 == [get(writer, path) for path in paths]
    assert [200] * 3 == [get(reader, path) for path in paths]
    assert [403] * 3 == [get(bound, path) for path in paths]
    assert [404, 404, 200] == [get(stranger, path) for path in paths]
    assert [] == served.ask(stranger, "GET", paths[2], params=whose).json()["checkpoints"]
    assert [403, 403, 403, 201] == [
        served.ask(each, "POST", "/v1/checkpoints", json=body).status_code
        for each in (reader, bound, admin, stranger)
    ]
    fork = whose | {"to_thread_id": "t2"}
    assert [403, 403, 404] == [
        served.ask(each, "POST", "/v1/checkpoints:fork", json=fork).status_code
        for each in (writer, bound, served.make_key("initech"))
    ]
    assert 403 == served.ask(admin, "POST", "/v1/checkpoints:clean", json={}).status_code
    assert {"mine": 1} == memstill.checkpoints.load(user, "t").state


# ---- tasks ---------------------------------------------------------------------------------------


def run_blocking(served: Served, key: str, user: str, steps: list[tuple[str, Any]]) -> list[Any]:
    with Memstill(api_url=served.url, redis_url="", api_key=key) as memstill:
        task = ResumableTask(memstill, user, "task")
        return [task.step(name, action) for name, action in steps]


def run_asynchronous(
    served: Served, key: str, user: str, steps: list[tuple[str, Any]]
) -> list[Any]:
    async def run() -> list[Any]:
        async with AsyncMemstill(api_url=served.url, redis_url="", api_key=key) as memstill:
            task = AsyncResumableTask(memstill, user, "task")

            async def act(action: Any, step: Step) -> Any:  # noqa: ANN401
                return action(step)

            return [await task.step(name, partial(act, action)) for name, action in steps]

    return asyncio.run(run())


@pytest.mark.parametrize("run", [run_blocking, run_asynchronous])
def test_task_goes_on_where_it_was_cut_off(
    served: Served, key: str, user: str, run: Callable[..., list[Any]]
) -> None:
    """Completed steps give their kept result; the one cut off is called with the same key."""
    called: list[tuple[str, str]] = []

    def note(step: Step) -> tuple[str, int]:
        called.append((step.name, step.key))
        return (step.name, len(called))

    def fail(step: Step) -> None:
        note(step)
        raise RuntimeError("cut off")

    with pytest.raises(RuntimeError, match="cut off"):
        run(served, key, user, [("a", note), ("b", fail)])
    first = run(served, key, user, [("a", note), ("b", note), ("c", note)])
    again = run(served, key, user, [("a", fail), ("b", fail), ("c", fail)])

    assert [["a", 1], ["b", 3], ["c", 4]] == first == again
    assert ["a", "b", "b", "c"] == [name for name, _ in called]
    assert called[1] == called[2]
    assert 3 == len({made for _, made in called})


def test_two_processes_that_run_one_task_have_one_result(memstill: Memstill, user: str) -> None:
    """The keys are the same in both; who saves second is told, and can go on."""
    tasks = [ResumableTask(memstill, user, "task") for _ in range(2)]
    keys: list[str] = []

    def outrun(step: Step) -> str:
        keys.append(step.key)
        tasks[1].step("a", win)
        return "first"

    def win(step: Step) -> str:
        keys.append(step.key)
        return "second"

    with pytest.raises(CheckpointConflict):
        tasks[0].step("a", outrun)

    assert ["second", "second"] == [
        ResumableTask(memstill, user, "task").step("a", outrun), tasks[0].step("a", outrun),
    ]  # fmt: skip
    assert keys[0] == keys[1]
    assert 2 == len(keys)
    assert {"a": "second"} == tasks[0].completed()


def test_task_refuses_a_step_that_comes_twice_and_a_thread_that_is_none(
    memstill: Memstill, user: str
) -> None:
    """A loop that names all its steps alike would skip all but the first."""
    task = ResumableTask(memstill, user, "task")
    task.step("a", lambda _: None)
    memstill.checkpoints.save(user, "other", {"no": "task"})

    with pytest.raises(ValueError, match="name each step once"):
        task.step("a", lambda _: None)
    with pytest.raises(Refused, match="no task of version 1"):
        ResumableTask(memstill, user, "other").completed()


def test_task_goes_on_from_the_newest_sound_checkpoint_if_it_may(
    served: Served, memstill: Memstill, user: str
) -> None:
    """Steps since are called again, with their keys; the thread goes on behind what is damaged."""
    keys: list[str] = []

    def note(step: Step) -> str:
        keys.append(step.key)
        return "done " * 50

    task = ResumableTask(memstill, user, "task")
    task.step("a", note)
    damage(served, user)

    with pytest.raises(DamagedCheckpoint):
        ResumableTask(memstill, user, "task").step("a", note)
    ResumableTask(memstill, user, "task", sound=True).step("a", note)

    assert keys[0] == keys[1]
    assert 2 == len(keys)
    assert ["a"] == list(ResumableTask(memstill, user, "task").completed())


# ---- the command line ----------------------------------------------------------------------------


def test_checkpoints_are_shown_and_cleaned_on_the_command_line(
    served: Served, key: str, memstill: Memstill, user: str
) -> None:
    """As tables and as JSON; a dry run removes nothing."""
    for number in range(7):
        memstill.checkpoints.save(user, "t", {"n": number}, node=f"node-{number}")

    def run(*words: str) -> str:
        typed = ["checkpoints", *words, "--api", served.url]
        done = CliRunner().invoke(app, typed, env={"MEMSTILL_API_KEY": key, "COLUMNS": "200"})
        assert 0 == done.exit_code, (done.output, done.exception)
        return done.output

    assert user[:8] in run("list", "--user", user)
    history = json.loads(run("list", "--user", user, "--thread", "t", "--json"))
    assert [6, 5, 4, 3, 2, 1, 0] == [int(item["node"][-1]) for item in history]
    assert "node-6" in run("list", "--user", user, "--thread", "t")
    shown = json.loads(run("show", "--user", user, "--thread", "t", history[2]["id"]))
    assert {"n": 4} == shown["state"]
    would = json.loads(run("clean", "--dry-run", "--json"))
    assert "would go" in run("clean", "--dry-run")
    assert 7 == len(list(memstill.checkpoints.history(user, "t")))
    done = json.loads(run("clean", "--json"))
    assert would == done
    assert 2 <= done["checkpoints"]
    assert "0 checkpoints of 0 threads removed" in run("clean")
    assert 5 == len(list(memstill.checkpoints.history(user, "t")))


def test_erased_user_has_no_checkpoint_anywhere(
    served: Served, memstill: Memstill, user: str
) -> None:
    """Not in the truth and not in Redis; a task that goes on cannot bring them back."""
    task = ResumableTask(memstill, user, "task")
    task.step("a", lambda _: "a secret")
    memstill.checkpoints.save("bystander", "t", 1)

    memstill.erase(user)

    subject, later = Subject(Owner("acme", user)), datetime.now(UTC) + timedelta(days=1)
    assert 0 == served.container.checkpointing.hot.count(subject, later)
    assert [] == list(memstill.checkpoints.threads(user))
    for call in (
        lambda: task.step("b", lambda _: 1),
        lambda: memstill.checkpoints.save(user, "x", 1),
    ):
        with pytest.raises(CheckpointConflict):
            call()
    with pytest.raises(NotFound):
        memstill.checkpoints.load(user, "task")
    assert 1 == memstill.checkpoints.load("bystander", "t").state
