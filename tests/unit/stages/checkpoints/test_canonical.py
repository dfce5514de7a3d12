"""One spelling for each JSON value, whatever it held."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.stages.checkpoints.canonical import (
    MAX_INTEGER,
    MAX_NESTING,
    NotJson,
    canonical_json,
    digest,
    parse_json,
)
from tests.unit.stages.checkpoints.states import states


@settings(max_examples=50)
@given(states())
def test_canonical_json_reads_as_the_same_value_of_the_same_types(state: object) -> None:
    """Nothing is lost on the way there and back: 1, 1.0 and true stay three values."""
    spelled = canonical_json(state)

    assert repr(state) == repr(_in_order(parse_json(spelled), state))
    assert spelled == canonical_json(parse_json(spelled))


def _in_order(value: object, like: object) -> object:
    """The value with its keys in the order of another one, which ``repr`` shows."""
    if isinstance(value, dict) and isinstance(like, dict):
        return {key: _in_order(value[key], like[key]) for key in like}
    if isinstance(value, list) and isinstance(like, list):
        return [_in_order(item, other) for item, other in zip(value, like, strict=True)]
    return value


def test_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    """Equal states have equal hashes."""
    one = canonical_json({"b": [1, 1.0], "a": {"y": None, "x": True}})

    assert b'{"a":{"x":true,"y":null},"b":[1,1.0]}' == one
    assert one == canonical_json({"a": {"x": True, "y": None}, "b": [1, 1.0]})
    assert digest(one) != digest(canonical_json({"a": {"x": 1, "y": None}, "b": [1, 1.0]}))


def test_canonical_json_escapes_only_what_json_asks_for() -> None:
    """As RFC 8785 has it; keys are sorted by code points."""
    spelled = canonical_json({"\ue000": "\x00\n\x7f/é", "\U0001f600": '"\\'})

    assert '{"\ue000":"\\u0000\\n\x7f/é","\U0001f600":"\\"\\\\"}'.encode() == spelled


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": [0, math.nan]}, "/a/1"),
        ({"a/b": {"~": math.inf}}, "/a~1b/~0"),
        ({"a": MAX_INTEGER}, "/a"),
        ({"a": -MAX_INTEGER - 1}, "/a"),
        ({"a": {1: "one"}}, "/a"),
        ({"a": ("one",)}, "/a"),
        ({"a": b"one"}, "/a"),
        ({"a": "\ud800"}, "/a"),
        ({"\ud800": 1}, ""),
    ],
    ids=["nan", "inf", "large", "small", "key", "tuple", "bytes", "half", "half-key"],
)
def test_value_that_not_every_reader_keeps_is_refused_with_its_place(
    value: object, place: str
) -> None:
    """Rather than changed."""
    with pytest.raises(NotJson) as caught:
        canonical_json(value)

    assert place == caught.value.place


def test_value_may_be_nested_so_deep_and_no_deeper() -> None:
    """So no reader runs out of stack."""
    deepest: list[object] = []
    for _ in range(MAX_NESTING):
        deepest = [deepest]

    assert json.loads(canonical_json(deepest)) == deepest
    with pytest.raises(NotJson, match="nested deeper"):
        canonical_json([deepest])


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[NaN]",
        b"[-Infinity]",
        b"\xff",
        b"[123456789012345678901234567890]",
        b"[" * 100_000,
        b'[{"a": 1, "a": 2}]',
    ],
    ids=["empty", "open", "nan", "infinity", "latin", "large", "deep", "twice"],
)
def test_text_that_is_no_json_for_everybody_is_refused(raw: bytes) -> None:
    """Also what Python's own reader takes, or would change."""
    with pytest.raises(NotJson):
        canonical_json(parse_json(raw))


@given(st.integers(-MAX_INTEGER, MAX_INTEGER - 1), st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back_to_the_bit(whole: int, broken: float) -> None:
    """Whole ones within 64 bits and all finite ones, minus zero too."""
    found = parse_json(canonical_json([whole, broken]))

    assert (repr(whole), repr(broken)) == (repr(found[0]), repr(found[1]))
