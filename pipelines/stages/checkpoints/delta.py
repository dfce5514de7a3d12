"""What has changed from one state to the next, as a JSON Patch (RFC 6902).

A delta is tried before it is trusted: whatever the library makes of odd input (``1`` is ``True``
is ``1.0`` for Python), what it does not bring back to the very bytes is stored in full.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jsonpatch import JsonPatchException, apply_patch, make_patch
from jsonpointer import JsonPointerException

from pipelines.stages.checkpoints.canonical import spell

if TYPE_CHECKING:
    from config.checkpoints import CheckpointPolicy

# Whatever a damaged patch, or one that does not belong to its state, can lead to.
FAILURES = (
    JsonPatchException,
    JsonPointerException,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RecursionError,
)


def make_delta(before: bytes, after: bytes, policy: CheckpointPolicy) -> bytes | None:
    """The delta from one canonical state to another; None where the other is better kept whole."""
    if max(len(before), len(after)) > policy.max_compared_bytes:
        return None
    try:
        old = json.loads(before)
        delta = spell(make_patch(old, json.loads(after)).patch)
        is_right = spell(apply_delta(old, delta)) == after
    except FAILURES:
        return None
    return delta if is_right and len(delta) <= policy.max_delta_share * len(after) else None


def apply_delta(state: Any, delta: bytes) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """The next state; the one that was handed in is used up.

    Raises:
        FAILURES: One of them, where the delta is none of this state.
    """
    return apply_patch(state, json.loads(delta), in_place=True)
