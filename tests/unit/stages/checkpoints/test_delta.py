"""A delta leads from one state to the very bytes of the next one, or there is none."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from hypothesis import example, given, settings

import pipelines.stages.checkpoints.delta as module
from config.checkpoints import CheckpointPolicy
from pipelines.stages.checkpoints.canonical import canonical_json
from pipelines.stages.checkpoints.delta import apply_delta, make_delta
from tests.unit.stages.checkpoints.states import states

if TYPE_CHECKING:
    import pytest

ANY_SIZE = CheckpointPolicy(max_delta_share=1000.0)


@settings(max_examples=50)
@given(states(), states())
@example({"a": 1}, {"a": True})
@example({"a": 1}, {"a": 1.0})
@example([0.0], [-0.0])
@example({"a": [1, True, 1.0]}, {"a": [1.0, 1, True]})
@example({"~": {"/": 1}, "a/b": 2}, {"~1": {"~0": 1}})
@example([{"x": 1}, {"x": 2}, {"x": 3}], [{"x": 3}, {"x": 1}])
@example({"": 1}, 1)
def test_delta_leads_from_any_state_to_the_bytes_of_any_other(before: Any, after: Any) -> None:  # noqa: ANN401
    """Where the library finds none that does, there is none."""
    old, new = canonical_json(before), canonical_json(after)

    delta = make_delta(old, new, ANY_SIZE)

    if delta is not None:
        assert new == canonical_json(apply_delta(json.loads(old), delta))


@settings(max_examples=30)
@given(states())
def test_delta_of_a_small_change_is_found(state: Any) -> None:  # noqa: ANN401
    """What an agent does in a turn: so the test above is not empty."""
    before = {"state": state, "messages": ["a", "b"], "turn": 1}
    after = copy.deepcopy(before) | {"messages": ["b", "c"], "turn": 2}

    delta = make_delta(canonical_json(before), canonical_json(after), ANY_SIZE)

    assert delta is not None
    assert canonical_json(after) == canonical_json(apply_delta(copy.deepcopy(before), delta))


def test_delta_that_leads_elsewhere_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried before it is trusted."""

    class Wrong:
        patch = ({"op": "replace", "path": "/a", "value": 3},)

    monkeypatch.setattr(module, "make_patch", lambda *_: Wrong)

    assert make_delta(b'{"a":1}', b'{"a":2}', ANY_SIZE) is None


def test_library_that_fails_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state is then stored in full."""

    def fail(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr(module, "make_patch", fail)

    assert make_delta(b'{"a":1}', b'{"a":2}', ANY_SIZE) is None


def test_delta_that_is_hardly_smaller_is_not_worth_it() -> None:
    """Reading it back would cost more than it spares."""
    old, new = canonical_json(["a" * 100]), canonical_json(["b" * 100])

    assert make_delta(old, new, CheckpointPolicy()) is None


def test_states_that_are_very_large_are_not_compared() -> None:
    """That would take seconds."""
    policy = CheckpointPolicy(max_compared_bytes=10)

    assert make_delta(b'{"a":1}', b'{"a":"12345"}', policy) is None
