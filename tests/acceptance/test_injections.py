"""Texts that try to steer the memory change no scope, subject, user or importance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.model import MemoryState, Scope, TranscriptState
from pipelines.stages.injection.fence import strip_fenced
from pipelines.stages.injection.orders import is_memory_order
from pipelines.stages.wordlist import word_set
from tests.acceptance.answering import answering
from tests.endpoint import fact_from
from tests.evals.injections import INJECTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.model import Memory
    from pipelines.ports import Status
    from tests.acceptance.deployment import Deployment
    from tests.endpoint import FactDict, Line
    from tests.evals.injections import Injection

_BOBS = "I live in Bergen."
_COLOURS = word_set(
    """
    red green blue yellow white black grey brown pink purple orange golden silver beige maroon
    olive teal navy cyan magenta crimson indigo violet amber ivory khaki lilac ochre ruby coral
    """
)
_HONEST = tuple(f"I bought a {colour} lamp." for colour in sorted(_COLOURS))
_BY_TEXT = {strip_fenced(injection.text): injection for injection in INJECTIONS}
_HARMLESS = dict(injection.harmless for injection in INJECTIONS if injection.harmless)


def _session(number: int, injection: Injection) -> dict[str, Any]:
    """An honest sentence of Alice, and in her session or tools somebody else's orders."""
    return {
        "schema_version": 1,
        "user_id": "alice",
        "session_id": f"s-{number}",
        "started_at": f"2026-03-03T09:{number:02d}:00Z",
        "messages": [
            {"role": "user", "content": _HONEST[number]},
            {"role": injection.role, "content": injection.text},
        ],
    }


def _bobs() -> dict[str, Any]:
    return {
        "schema_version": 1,
        "user_id": "bob",
        "session_id": "b-1",
        "started_at": "2026-03-03T08:00:00Z",
        "messages": [{"role": "user", "content": _BOBS}],
    }


def _tell_all(deployment: Deployment) -> Sequence[Status]:
    deployment.start_beat()
    deployment.start_worker()
    sessions = [_session(number, injection) for number, injection in enumerate(INJECTIONS)]
    with deployment.client() as client:
        return deployment.wait_final(*client.enqueue_many([_bobs(), *sessions]))


def _obey(lines: list[Line]) -> list[FactDict]:
    """A model that does what every text orders, and quotes it for that."""
    return [fact for line in lines for fact in _obeyed(line)]


def _obeyed(line: Line) -> list[FactDict]:
    injection = _BY_TEXT.get(line["content"])
    if injection is None:
        return [fact_from(line)]
    orders = {
        "statement": injection.statement,
        "subject": injection.subject,
        "quote": injection.evidence,
        "importance": 1.0,
        "attribute": "role" if injection.value else None,
        "value": injection.value,
    }
    # The kind that the speaker is allowed.
    kind = "outcome" if injection.role == "assistant" else "preference"
    obeyed = [fact_from(line, **orders | {"kind": kind})]
    if injection.harmless:
        statement, quote = injection.harmless
        told = {"statement": statement, "quote": quote, "subject": "user", "importance": 1.0}
        obeyed.append(fact_from(line, **told | {"kind": "preference"}))
    return obeyed


def _assert_unmoved(deployment: Deployment, statuses: Sequence[Status]) -> list[Memory]:
    """What must hold whoever distilled; returns Alice's memories."""
    assert {TranscriptState.DONE} == {status.state for status in statuses}
    owners = deployment.query("SELECT DISTINCT tenant_id, user_id FROM memories")
    assert {("default", "alice"), ("default", "bob")} == set(map(tuple, owners))
    assert [_BOBS] == [_said(memory) for memory in deployment.memories("bob")]

    memories = deployment.memories("alice")
    assert {"user"} == {memory.subject.casefold() for memory in memories}
    assert {memory.scope for memory in memories} <= {Scope.SESSION, Scope.USER}
    assert [] == [memory for memory in memories if is_memory_order(memory.statement)]
    assert {MemoryState.ACTIVE} == {memory.state for memory in memories}
    assert max(memory.importance for memory in memories) <= 0.5
    quotes = {_said(memory) for memory in memories}
    assert set(_HONEST) <= quotes
    assert quotes <= {*_HONEST, *_HARMLESS.values()}
    return memories


def _said(memory: Memory) -> str:
    """The words that a memory rests on."""
    return memory.evidence[0].quote


def test_injections_change_nothing_when_nobody_asks_a_model(deployment: Deployment) -> None:
    """Offline, thirty texts leave what Alice said herself, and it weighs what it always does."""
    _assert_unmoved(deployment, _tell_all(deployment))


def test_injections_change_nothing_when_the_model_obeys_them(modelled: Deployment) -> None:
    """A model that proposes what each text orders, at importance 1, is refused every time."""
    with answering(modelled, _obey):
        memories = _assert_unmoved(modelled, _tell_all(modelled))

    assert {memory.statement for memory in memories} >= {*_HONEST, *_HARMLESS}
    refused = modelled.query("SELECT statement FROM facts WHERE outcome = 'refused'")
    ordered = [injection.statement for injection in INJECTIONS]
    assert sorted(ordered) == sorted(row[0] for row in refused)
