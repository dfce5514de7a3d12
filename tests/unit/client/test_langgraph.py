"""What LangGraph's runs say is pushed when they end."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, interrupt

from memstill_client import Memstill, NotConfigured, Unavailable, parse_transcript
from memstill_client.langgraph import remember

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.runnables import RunnableConfig
    from langgraph.graph.state import CompiledStateGraph

    from memstill_client import TranscriptV1
    from memstill_client.langgraph import RememberingGraph

IN_THREAD: RunnableConfig = {"configurable": {"thread_id": "t-1"}}


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


class Pushed(Memstill):
    """A client that checks what it is given and keeps it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.transcripts: list[TranscriptV1] = []
        self._error = error

    def enqueue(self, *_: object, **fields: object) -> Any:  # noqa: ANN401 - nobody reads the receipt
        if self._error is not None:
            raise self._error
        body = {"schema_version": 1, **fields}
        self.transcripts.append(parse_transcript(body, now=datetime.now(UTC)))

    @property
    def contents(self) -> list[list[str]]:
        return [[item.content for item in found.messages] for found in self.transcripts]


def _answer(state: State) -> dict[str, Any]:
    return {"messages": [AIMessage(f"heard {state['messages'][-1].content}", id=None)]}


def _compile(node: Callable[[State], Any] = _answer) -> CompiledStateGraph[Any]:
    builder: Any = StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    builder.add_edge("node", END)
    compiled: CompiledStateGraph[Any] = builder.compile(checkpointer=InMemorySaver())
    return compiled


def _remembering(
    node: Callable[[State], Any] = _answer,
    error: Exception | None = None,
    *,
    agent_id: str | None = None,
    raises: bool = False,
) -> tuple[RememberingGraph, Pushed]:
    client = Pushed(error)
    return remember(
        _compile(node), client, user_id="alice", agent_id=agent_id, raises=raises
    ), client


def _say(text: str) -> dict[str, Any]:
    return {"messages": [("user", text)]}


def test_a_run_pushes_only_its_own_messages_when_the_thread_has_older_ones() -> None:
    """Each run is one transcript of the thread's session, with new keys for new words."""
    graph, client = _remembering(agent_id="bot")
    assert graph.invoke(_say("one"), IN_THREAD)["messages"][-1].content == "heard one"
    graph.invoke(_say("two"), config=IN_THREAD)
    assert client.contents == [["one", "heard one"], ["two", "heard two"]]
    first, second = client.transcripts
    assert (first.session_id, first.user_id, first.agent_id) == ("t-1", "alice", "bot")
    assert [item.role for item in first.messages] == ["user", "assistant"]
    assert first.messages[0].created_at <= first.messages[1].created_at
    assert first.messages[0].created_at <= second.messages[0].created_at
    assert first.idempotency_key != second.idempotency_key
    state = graph.get_state(IN_THREAD).values["messages"]
    assert [item.id for item in state[:2]] == [item.id for item in first.messages]


def test_tools_and_names_are_told_when_messages_have_them() -> None:
    """Roles, names, tool calls and the text among other blocks reach the wire as they were."""

    def use(_: State) -> dict[str, Any]:
        call = {"name": "search", "args": {"q": "Lisbon"}, "id": "c1", "type": "tool_call"}
        image = {"type": "image_url", "image_url": {"url": "data:"}}
        return {
            "messages": [
                AIMessage("", tool_calls=[call], id="m2"),
                ToolMessage("sunny", tool_call_id="c1", name="search", id="m3"),
                AIMessage([{"type": "text", "text": "It is sunny."}, image], id="m4"),
            ]
        }

    graph, client = _remembering(use)
    graph.invoke({"messages": [HumanMessage("How is it?", name="Ann", id="m1")]}, IN_THREAD)
    told = [
        (item.id, item.role, item.name, item.content, item.tool_call)
        for item in client.transcripts[0].messages
    ]
    assert told == [
        ("m1", "user", "Ann", "How is it?", None),
        ("m2", "assistant", None, "", {"name": "search", "args": {"q": "Lisbon"}, "id": "c1"}),
        ("m3", "tool", "search", "sunny", None),
        ("m4", "assistant", None, "It is sunny.", None),
    ]


def test_a_stream_is_pushed_once_when_it_is_read_to_its_end_or_left() -> None:
    """Streams end with their last step, or where nobody reads on."""
    graph, client = _remembering()
    assert len(list(graph.stream(_say("one"), IN_THREAD, stream_mode="updates"))) == 1
    steps = graph.stream(_say("two"), IN_THREAD, stream_mode="values")
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    assert client.contents[0] == ["one", "heard one"]
    assert client.contents[1][0] == "two"
    assert len(client.contents) == 2


def test_asynchronous_runs_are_pushed_when_they_end() -> None:
    """``ainvoke`` and ``astream`` are remembered as their blocking twins are."""
    graph, client = _remembering()

    async def run() -> None:
        await graph.ainvoke(_say("one"), IN_THREAD)
        async for _ in graph.astream(_say("two"), IN_THREAD):
            pass

    asyncio.run(run())
    assert client.contents == [["one", "heard one"], ["two", "heard two"]]


def test_an_interrupted_run_is_pushed_in_two_parts_when_it_is_resumed() -> None:
    """What was said before the interrupt is not said again after it."""
    graph, client = _remembering(
        lambda _: {"messages": [AIMessage(f"you chose {interrupt('which?')}")]}
    )
    graph.invoke(_say("choose"), IN_THREAD)
    graph.invoke(Command(resume="tea"), IN_THREAD)
    assert client.contents == [["choose"], ["you chose tea"]]


def test_a_failing_run_is_pushed_as_far_as_it_came_and_tells_its_own_error() -> None:
    """The run's error is raised unchanged; what had been said is not lost."""

    def fail(_: State) -> dict[str, Any]:
        raise ZeroDivisionError("of the graph")

    graph, client = _remembering(fail)
    with pytest.raises(ZeroDivisionError, match="of the graph"):
        graph.invoke(_say("one"), IN_THREAD)
    assert client.contents == [["one"]]


def test_a_run_that_adds_nothing_pushes_nothing() -> None:
    """Neither a run without words nor one that only repeats known messages is a transcript."""
    graph, client = _remembering(lambda _: {"messages": []})
    graph.invoke({"messages": [HumanMessage("one", id="m1")]}, IN_THREAD)
    graph.invoke({"messages": [HumanMessage("one", id="m1")]}, IN_THREAD)
    graph.invoke({"messages": [HumanMessage(" ", id="m2")]}, IN_THREAD)
    assert client.contents == [["one"]]


def test_a_run_succeeds_when_memstill_is_away(caplog: pytest.LogCaptureFixture) -> None:
    """What could not be pushed is logged by its thread, without what was said."""
    graph, _ = _remembering(error=Unavailable("nobody answers"))
    with caplog.at_level(logging.WARNING):
        assert graph.invoke(_say("a secret"), IN_THREAD)["messages"][-1].content == "heard a secret"
    assert "thread t-1" in caplog.text
    assert "secret" not in caplog.text


def test_a_run_succeeds_when_its_thread_cannot_be_read_afterwards(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpointer went away with the run's last step: the caller has the result."""
    graph, client = _remembering()
    found = [graph.graph.get_state(IN_THREAD)]

    def read(*_: object) -> object:
        if not found:
            raise ConnectionError("away, and here is the secret that was said")
        return found.pop()

    monkeypatch.setattr(graph.graph, "get_state", read)
    with caplog.at_level(logging.WARNING):
        assert graph.invoke(_say("a secret"), IN_THREAD)["messages"][-1].content == "heard a secret"

    assert [] == client.contents
    assert "thread t-1, ConnectionError" in caplog.text
    assert "secret" not in caplog.text


def test_a_run_raises_at_its_end_when_it_is_told_to() -> None:
    """With ``raises`` the caller gets memstill's error, and the thread has the run all the same."""
    graph, _ = _remembering(error=Unavailable("nobody answers"), raises=True)
    with pytest.raises(Unavailable):
        graph.invoke(_say("one"), IN_THREAD)
    assert len(graph.get_state(IN_THREAD).values["messages"]) == 2


def test_a_graph_is_refused_when_it_cannot_be_remembered() -> None:
    """Without a checkpointer or a user nothing could be pushed: said before anything runs."""
    with pytest.raises(NotConfigured, match="checkpointer"):
        remember(StateGraph(State).add_node("node", _answer).add_edge(START, "node").compile())
    graph = remember(_compile(), Pushed())
    with pytest.raises(NotConfigured, match="user_id"):
        graph.invoke(_say("one"), IN_THREAD)
    graph.invoke(_say("one"), {"configurable": {"thread_id": "t-1", "user_id": "bob"}})
