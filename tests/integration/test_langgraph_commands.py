"""``memstill checkpoints clean --langgraph`` as an operator calls it."""

from __future__ import annotations

import json
from operator import add
from typing import TYPE_CHECKING, Annotated, TypedDict

import pytest
import typer
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import END, START, StateGraph
from typer.testing import CliRunner

from config.settings import Settings
from pipelines.errors import ConfigurationError
from workers import langgraph_commands
from workers.langgraph import make_clean_threads

if TYPE_CHECKING:
    from typing import Any

app = typer.Typer()
app.command()(langgraph_commands.clean)


class State(TypedDict):
    said: Annotated[list[str], add]


@pytest.fixture
def threads_url(database_url: str) -> str:
    """A database of LangGraph with one thread of 12 checkpoints."""
    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("step", lambda state: {"said": [f"step {len(state['said'])}"]})
    builder.add_edge(START, "step")
    builder.add_conditional_edges("step", lambda state: "step" if len(state["said"]) < 11 else END)
    with PostgresSaver.from_conn_string(database_url) as saver:
        saver.setup()
        graph = builder.compile(checkpointer=saver)
        graph.invoke({"said": ["begun"]}, {"configurable": {"thread_id": "thread"}})
    return database_url


def test_clean_shows_what_would_go_and_then_does_it_when_asked(threads_url: str) -> None:
    """Dry first, in a table; then for good, in JSON, with the same figures."""
    options = ["--langgraph", threads_url, "--keep", "2", "--older-than", "0s"]
    dry = CliRunner().invoke(app, [*options, "--dry-run"])
    done = CliRunner().invoke(app, [*options, "--json"])
    assert (0, 0) == (dry.exit_code, done.exit_code)
    told = json.loads(done.stdout)
    assert (12, 10, 2) == tuple(told[name]["checkpoints"] for name in ("before", "gone", "after"))
    assert f"{told['gone']['size_bytes']:,}" in dry.stdout
    assert "would go" in dry.stdout


def test_clean_names_the_setting_when_no_database_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an address there is nothing to clean; the settings can name one, too."""
    monkeypatch.delenv("MEMSTILL_LANGGRAPH_URL", raising=False)
    ended = CliRunner().invoke(app, [])
    assert isinstance(ended.exception, ConfigurationError)
    assert "MEMSTILL_LANGGRAPH_URL" in str(ended.exception)
    settings = Settings(langgraph_url="postgresql://somewhere/threads", langgraph_keep=7)
    flow = make_clean_threads(settings)
    assert flow is not None
    assert flow.policy.keep == 7
