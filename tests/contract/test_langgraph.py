"""Cleaning LangGraph's own tables, filled by real graphs of its present release."""

from __future__ import annotations

import operator
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import psycopg
import pytest
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from config.langgraph import LangGraphPolicy
from pipelines.adapters.langgraph_tables import LangGraphStore
from pipelines.errors import ConfigurationError, StoreUnavailable
from pipelines.flows.clean_threads import CleanThreads
from pipelines.outcome import Done
from pipelines.ports.threads import Amount
from pipelines.stages.threads import select_superseded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_core.runnables import RunnableConfig
    from langgraph.graph.state import CompiledStateGraph

AT_ONCE = LangGraphPolicy(keep=3, settle=timedelta(0), batch=4, page=3)
THREADS = [f"thread-{number}" for number in range(10)]


class Now:
    """The clock of the machine, a minute ahead of the graphs'."""

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(minutes=1)


class State(TypedDict):
    said: Annotated[list[str], operator.add]
    fixed: dict[str, str]
    steps: int
    until: int
    answer: str


def _join(old: list[str], batches: list[list[str]]) -> list[str]:
    return [*old, *(item for batch in batches for item in batch)]


class Counted(TypedDict):
    steps: int
    until: int


class Asked(TypedDict):
    steps: int
    answer: str


class DeltaState(TypedDict):
    said: Annotated[list[str], DeltaChannel(_join, snapshot_frequency=4)]
    steps: int
    until: int


def _step(state: Counted) -> dict[str, Any]:
    return {"said": [f"step {state['steps'] + 1}"], "steps": state["steps"] + 1}


def _goes_on(state: Counted) -> str:
    return "step" if state["steps"] < state["until"] else END


def _compile(saver: PostgresSaver, shape: type = State) -> CompiledStateGraph[Any]:
    builder: StateGraph[Any] = StateGraph(shape)
    builder.add_node("step", _step)
    builder.add_edge(START, "step")
    builder.add_conditional_edges("step", _goes_on)
    return builder.compile(checkpointer=saver)


def _config(thread_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id}, "recursion_limit": 200}


def _run(
    graph: CompiledStateGraph[Any], thread_id: str, until: int, **first: object
) -> dict[str, Any]:
    ended: dict[str, Any] = graph.invoke({"until": until, **first}, _config(thread_id))
    return ended


def _start(graph: CompiledStateGraph[Any], thread_id: str, until: int = 10) -> dict[str, Any]:
    fixed = {"of": thread_id * 100}
    extra = {"fixed": fixed} if "fixed" in graph.channels else {}
    return _run(graph, thread_id, until, said=["begun"], steps=0, **extra)


def _cleaner(url: str, policy: LangGraphPolicy = AT_ONCE) -> CleanThreads:
    return CleanThreads(LangGraphStore(url), Now(), policy)


def _history(graph: CompiledStateGraph[Any], thread_id: str) -> dict[str, Any]:
    return {
        item.config["configurable"]["checkpoint_id"]: (item.values, item.next, item.metadata)
        for item in graph.get_state_history(_config(thread_id))
    }


def _dangling(url: str) -> tuple[int, int, int]:
    """Blobs that are missing, blobs and writes that are nobody's, in all threads."""
    referred = """SELECT thread_id, checkpoint_ns, v.key, v.value, c.checkpoint -> 'channel_values'
        FROM checkpoints AS c, jsonb_each_text(c.checkpoint -> 'channel_versions') AS v"""
    with psycopg.connect(url) as connection:
        rows = connection.execute(referred).fetchall()
        held = set(
            connection.execute(
                "SELECT thread_id, checkpoint_ns, channel, version FROM checkpoint_blobs"
            ).fetchall()
        )
        lost = connection.execute(
            "SELECT count(*) FROM checkpoint_writes AS w WHERE NOT EXISTS (SELECT FROM checkpoints"
            " AS c WHERE (c.thread_id, c.checkpoint_ns, c.checkpoint_id) ="
            " (w.thread_id, w.checkpoint_ns, w.checkpoint_id))"
        ).fetchone()
    needed = {row[:4] for row in rows}
    missing = {row[:4] for row in rows if row[2] in {"said", "fixed"}} - held
    return len(missing), len(held - needed), lost[0] if lost else -1


@pytest.fixture
def saver(database_url: str) -> Iterator[PostgresSaver]:
    with PostgresSaver.from_conn_string(database_url) as made:
        made.setup()
        yield made


def test_threads_go_on_with_the_same_state_when_they_were_cleaned(
    saver: PostgresSaver, database_url: str
) -> None:
    """The newest stay as they were, with what they need and no more; each thread goes on."""
    graph = _compile(saver)
    states = {thread_id: _start(graph, thread_id) for thread_id in THREADS}
    before = {thread_id: _history(graph, thread_id) for thread_id in THREADS}
    done = _cleaner(database_url).run()
    assert isinstance(done, Done)
    assert done.counts["checkpoints"] == sum(len(found) - 3 for found in before.values())
    for thread_id in THREADS:
        assert dict(list(before[thread_id].items())[:3]) == _history(graph, thread_id)
        assert states[thread_id] == graph.get_state(_config(thread_id)).values
        assert [f"step {number}" for number in range(1, 13)] == _run(graph, thread_id, 12)["said"][
            1:
        ]
    assert _dangling(database_url) == (0, 0, 0)


def test_preview_tells_what_a_cleaning_then_does_when_nothing_happens_between(
    saver: PostgresSaver, database_url: str
) -> None:
    """A dry run changes nothing, and says to the byte what goes."""
    graph = _compile(saver)
    for thread_id in THREADS[:3]:
        _start(graph, thread_id)
    cleaner = _cleaner(database_url)
    before, preview = cleaner.preview()
    assert (before, preview) == cleaner.preview()
    assert preview.amount.checkpoints == 27
    begun, cleaned, after = cleaner.clean_all()
    assert (before, preview.amount) == (begun, cleaned.amount)
    # The oldest one that stays of each thread no longer names its parent.
    links = 3 * 37
    assert before - preview.amount - Amount(size_bytes=links) == after


def test_a_cleaning_leaves_young_checkpoints_alone_when_runs_may_still_need_them(
    saver: PostgresSaver, database_url: str
) -> None:
    """With the usual hour of settling nothing of a thread of this minute goes."""
    _start(_compile(saver), "thread")
    policy = replace(AT_ONCE, settle=timedelta(hours=1))
    done = _cleaner(database_url, policy).run()
    assert isinstance(done, Done)
    assert done.counts["checkpoints"] == 0


def test_a_run_loses_nothing_when_its_thread_is_cleaned_while_it_saves(
    saver: PostgresSaver, database_url: str
) -> None:
    """Cleaned again and again down to one checkpoint, a live thread ends with all it said."""
    graph = _compile(saver)
    _start(graph, "live", 1)
    ended: list[Any] = []
    run = threading.Thread(target=lambda: ended.append(_run(graph, "live", 80)))
    run.start()
    cleaner = _cleaner(database_url, replace(AT_ONCE, keep=1))
    gone = 0
    while run.is_alive():
        done = cleaner.run()
        assert isinstance(done, Done)
        gone += done.counts["checkpoints"]
    run.join()
    expected = ["begun", *(f"step {number}" for number in range(1, 81))]
    assert expected == ended[0]["said"] == graph.get_state(_config("live")).values["said"]
    assert gone > 10
    assert _dangling(database_url)[0] == 0
    cleaner.run()
    assert len(_history(graph, "live")) == 1
    assert _dangling(database_url) == (0, 0, 0)


def test_what_is_saved_after_a_thread_was_read_keeps_all_it_needs(
    saver: PostgresSaver, database_url: str
) -> None:
    """A run that goes on, and a branch of what is about to go, are saved in the midst of it."""
    graph = _compile(saver)
    _start(graph, "busy")
    oldest = list(graph.get_state_history(_config("busy")))[-3]
    saved: list[Any] = []

    def choose(thread: Any) -> dict[str, list[str]]:  # noqa: ANN401 - as it comes
        _run(graph, "busy", 12)
        branch = graph.update_state(oldest.config, {"until": 11})
        saved.append((branch, graph.get_state(branch).values))
        return select_superseded(thread, 1, Now().now())

    with LangGraphStore(database_url).open() as tables:
        gone = tables.remove("busy", choose)
    assert gone is not None
    assert gone.checkpoints == 11
    [(branch, values)] = saved
    assert values["said"] == oldest.values["said"]
    assert values == graph.get_state(branch).values
    assert _dangling(database_url)[0] == 0


def test_a_run_that_began_at_a_checkpoint_ends_when_others_moved_its_thread_on(
    saver: PostgresSaver, database_url: str
) -> None:
    """Time travel to a checkpoint that stays works as before; its branch is a thread like any."""
    graph = _compile(saver)
    _start(graph, "forked")
    _cleaner(database_url).run()
    oldest = list(graph.get_state_history(_config("forked")))[-1]
    forked = graph.update_state(oldest.config, {"said": ["another way"], "until": 12})
    _cleaner(database_url).run()
    ended = graph.invoke(None, forked)
    assert [*oldest.values["said"], "another way"] == ended["said"][
        : len(oldest.values["said"]) + 1
    ]
    assert ended["steps"] == 12


def test_delta_channels_are_read_as_before_when_their_thread_was_cleaned(
    saver: PostgresSaver, database_url: str
) -> None:
    """What is stored as changes keeps its way back to a whole value, for each that stays."""
    graph = _compile(saver, DeltaState)
    _start(graph, "delta", 30)
    before = _history(graph, "delta")
    done = _cleaner(database_url).run()
    assert isinstance(done, Done)
    after = _history(graph, "delta")
    assert done.counts["checkpoints"] > 20
    assert {name: before[name] for name in after} == after
    assert list(before)[:3] == list(after)[:3]
    assert len(_run(graph, "delta", 40)["said"]) == 41


def test_an_interrupted_subgraph_resumes_when_its_thread_was_cleaned(
    saver: PostgresSaver, database_url: str
) -> None:
    """The call that waits stays whole; the calls of checkpoints that went are gone."""
    inner = StateGraph(Asked)
    inner.add_node("ask", lambda state: {"answer": interrupt(f"go on at {state['steps']}?")})
    inner.add_edge(START, "ask")
    builder = StateGraph(State)
    builder.add_node("step", _step)
    builder.add_node("inner", inner.compile())
    builder.add_edge(START, "step")
    builder.add_edge("step", "inner")
    builder.add_conditional_edges("inner", _goes_on)
    graph = builder.compile(checkpointer=saver)
    _start(graph, "asking", 8)
    for answer in ("one", "two", "three"):
        graph.invoke(Command(resume=answer), _config("asking"))
    _cleaner(database_url, replace(AT_ONCE, keep=1)).run()
    ended = graph.invoke(Command(resume="four"), _config("asking"))
    assert ("four", 5) == (ended["answer"], ended["steps"])
    with psycopg.connect(database_url) as connection:
        calls = connection.execute(
            "SELECT count(DISTINCT checkpoint_ns) FROM checkpoints WHERE checkpoint_ns <> ''"
        ).fetchone()
    # The one that was waiting and has ended since, and the one that waits now.
    assert calls == (2,)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO checkpoint_migrations VALUES (10)",
        "DELETE FROM checkpoint_migrations",
        "ALTER TABLE checkpoint_blobs DROP COLUMN version",
        "DROP TABLE checkpoint_migrations",
    ],
    ids=["newer", "unfinished", "shallow", "none"],
)
def test_a_cleaning_is_refused_when_the_tables_are_not_as_known(
    saver: PostgresSaver, database_url: str, statement: str
) -> None:
    """Tables of another form are left alone, with the reason."""
    _start(_compile(saver), "thread")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(statement.encode())
    with pytest.raises(ConfigurationError, match=r"LangGraph|langgraph-checkpoint-postgres"):
        _cleaner(database_url).run()


@pytest.mark.parametrize(
    "change",
    [
        """metadata = metadata || '{"delta_writes_versioned": true}'""",
        """checkpoint = checkpoint || '{"channel_versions": "unknown"}'""",
    ],
    ids=["javascript", "unreadable"],
)
def test_threads_are_left_alone_when_only_others_can_read_them(
    saver: PostgresSaver, database_url: str, change: str
) -> None:
    """What LangGraph.js keeps otherwise, or nobody understands: nothing of that thread goes."""
    graph = _compile(saver)
    _start(graph, "foreign")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"UPDATE checkpoints SET {change}".encode())
    _start(graph, "known")
    done = _cleaner(database_url).run()
    assert isinstance(done, Done)
    assert (done.counts["left"], done.counts["threads"]) == (1, 1)


def test_a_thread_is_left_for_the_next_time_when_somebody_else_cleans_it(
    saver: PostgresSaver, database_url: str
) -> None:
    """Two cleanings at once do no harm: one of them does a thread."""
    graph = _compile(saver)
    _start(graph, "thread")
    with psycopg.connect(database_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended('memstill ' || 'thread', 0))")
        done = _cleaner(database_url).run()
    assert isinstance(done, Done)
    assert (done.counts["left"], done.counts["checkpoints"]) == (1, 0)


def test_a_cleaning_ends_without_the_password_when_the_database_is_away() -> None:
    """The error says what to look at, and quotes nothing of the address."""
    with pytest.raises(StoreUnavailable) as caught:
        _cleaner("postgresql://someone:hidden@127.0.0.1:1/nowhere").run()
    assert "hidden" not in str(caught.value)
