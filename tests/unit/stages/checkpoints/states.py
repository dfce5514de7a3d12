"""States of every odd form, and states that came of others by small changes."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from pipelines.model import Owner
from pipelines.stages.checkpoints.canonical import canonical_json, digest
from pipelines.stages.checkpoints.chain import Checkpoint, CheckpointId, Link, Thread

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
THREAD = Thread(Owner("acme", "alice"), "t")
# What a patch, a pointer or Python could take for something else.
ODD_KEYS = ("", "~", "/", "~0", "~1", "a/b", "-", "0", "1", "01", "a")
SCALARS = (
    None, True, False, 0, 1, 0.0, -0.0, 1.0, 2**53 + 1, 1e16, 1e-7, "", "0", "1", "~1", "\x00",
)  # fmt: skip


def states() -> st.SearchStrategy[Any]:
    """Any JSON, rich in what is easily mixed up."""
    scalars = st.sampled_from(SCALARS) | st.floats(allow_nan=False, allow_infinity=False)
    texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    keys = st.sampled_from(ODD_KEYS) | texts
    return st.recursive(
        scalars | texts,
        lambda inner: st.lists(inner, max_size=6) | st.dictionaries(keys, inner, max_size=5),
        max_leaves=25,
    )


def make_link(
    number: int, state: object, delta: bytes | None = None, base: Link | None = None
) -> Link:
    """The checkpoint of a state, in full unless a delta is given."""
    spelled = canonical_json(state)
    content = spelled if delta is None else delta
    checkpoint = Checkpoint(
        id=CheckpointId(uuid.UUID(int=number)),
        thread=THREAD,
        parent=base.checkpoint.id if base else None,
        origin=None,
        sequence=number,
        node=None,
        metadata="{}",
        sha256=digest(spelled),
        size=len(spelled),
        stored=len(content),
        is_delta=delta is not None,
        saved_at=START + timedelta(minutes=number),
    )
    based = base.checkpoint.id if base and delta is not None else None
    return Link(checkpoint, based, content)
