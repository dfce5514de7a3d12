"""Measures the cleaning of LangGraph's tables: bytes before and after, and that threads go on.

``make bench-langgraph`` runs 200 threads of 50 steps on a PostgreSQL of their own, cleans their
tables, and takes every thread up again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import psycopg
from langchain_core.messages import AIMessage, AnyMessage
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages

from config.langgraph import LangGraphPolicy
from pipelines.adapters.langgraph_tables import LangGraphStore
from pipelines.flows.clean_threads import CleanThreads
from workers.clock import SystemClock
from workers.embedded.postgres import PostgresServer

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.graph.state import CompiledStateGraph

WORDS = "the deployment of the staging cluster was checked and nothing was found to be wrong "
SIZES = """SELECT sum(pg_total_relation_size(name::regclass))::bigint
    FROM unnest(ARRAY['checkpoints', 'checkpoint_writes', 'checkpoint_blobs']) AS name"""


class State(TypedDict):
    """What an agent with a plan carries along."""

    messages: Annotated[list[AnyMessage], add_messages]
    plan: dict[str, str]
    step: int
    until: int


def main() -> int:
    """Fill, clean, go on, and say what it cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=200)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--keep", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memstill-langgraph-") as folder:
        server = PostgresServer(Path(folder), durable=False)
        server.start()
        try:
            url = server.url_of("postgres")
            with PostgresSaver.from_conn_string(url) as saver:
                saver.setup()
                return _measure(url, _compile(saver), options)
        finally:
            server.stop()


def _measure(url: str, graph: CompiledStateGraph[Any], options: argparse.Namespace) -> int:
    names = [f"thread-{number:04}" for number in range(options.threads)]
    began = time.monotonic()
    for name in names:
        first = {"messages": [("user", "check it")], "plan": {"why": WORDS * 20}, "step": 0}
        graph.invoke({**first, "until": options.steps}, _config(name))
    _say(f"{len(names)} threads of {options.steps} steps", began)
    states = {name: graph.get_state(_config(name)).values for name in names}
    policy = LangGraphPolicy(keep=options.keep, settle=timedelta(0))
    on_disk, began = _on_disk(url), time.monotonic()
    before, cleaned, after = CleanThreads(LangGraphStore(url), SystemClock(), policy).clean_all()
    _say(f"cleaned, newest {options.keep} kept; {cleaned.left} threads left alone", began)
    for name, amount in (("before", before), ("gone", cleaned.amount), ("after", after)):
        _tell(
            f"  {name:>6}: {amount.checkpoints:,} checkpoints, {amount.writes:,} writes, "
            f"{amount.blobs:,} blobs, {amount.size_bytes:,} bytes"
        )
    _tell(f"  on disk: {on_disk:,} bytes, {_on_disk(url):,} after VACUUM FULL")
    began = time.monotonic()
    changed = [name for name in names if graph.get_state(_config(name)).values != states[name]]
    stuck = [name for name in names if not _goes_on(graph, name, options.steps)]
    _say(f"{len(changed)} threads with another state, {len(stuck)} that do not go on", began)
    return 1 if changed or stuck else 0


def _goes_on(graph: CompiledStateGraph[Any], name: str, steps: int) -> bool:
    ended = graph.invoke({"until": steps + 2}, _config(name))
    said = [item.content for item in ended["messages"]]
    return said == ["check it", *(_said(step) for step in range(steps + 2))]


def _compile(saver: PostgresSaver) -> CompiledStateGraph[Any]:
    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("work", _work)
    builder.add_edge(START, "work")
    builder.add_conditional_edges(
        "work", lambda state: "work" if state["step"] < state["until"] else END
    )
    return builder.compile(checkpointer=saver)


def _work(state: State) -> dict[str, Any]:
    return {"messages": [AIMessage(_said(state["step"]))], "step": state["step"] + 1}


def _said(step: int) -> str:
    return f"{step}: {WORDS * 2}"


def _config(name: str) -> RunnableConfig:
    return {"configurable": {"thread_id": name}, "recursion_limit": 1000}


def _on_disk(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM (FULL, ANALYZE)")
        row = connection.execute(SIZES).fetchone()
    return int(row[0]) if row else 0


def _say(what: str, began: float) -> None:
    _tell(f"{what}: {time.monotonic() - began:.1f} s")


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
