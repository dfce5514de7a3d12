"""What is told in campaigns, and what the scripted model makes of it."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from config.policy import DistillPolicy
from pipelines.stages.grounding.ground import ground
from pipelines.stages.reply import parse_reply
from pipelines.stages.windows import cut_windows, join_window, render_window
from pipelines.testing.requests import read_lines
from tests.chaos.plan import Plan
from tests.chaos.sessions import TENANT, make_sessions
from tests.chaos.story import RETOLD, distil, judge
from tests.endpoint import facts
from workers.payloads import to_transcript

if TYPE_CHECKING:
    from pipelines.model import Draft, Transcript
    from pipelines.stages.windows import Window

PLAN = Plan(seed=3, sessions=120, users=4)
TOLD = [to_transcript(item, default_tenant=TENANT) for item in make_sessions(PLAN)]
POLICY = DistillPolicy()


def answer(window: Window, transcripts: list[Transcript]) -> list[list[Draft]]:
    """What comes of the model's answer to this window."""
    lines = [line for line in read_lines(render_window(window)) if not line["context"]]
    body: dict[str, Any] = json.loads(facts(distil(lines)).body)
    return parse_reply(body["choices"][0]["message"]["content"], transcripts)


def alone(transcript: Transcript) -> list[Draft]:
    windows = cut_windows(transcript, POLICY)
    return [draft for window in windows for draft in answer(window, [transcript])[0]]


@given(st.lists(st.sampled_from(TOLD), min_size=2, max_size=6, unique_by=lambda it: it.id))
def test_story_gives_the_same_facts_when_sessions_share_a_request(told: list[Transcript]) -> None:
    """The facts of a session are a function of its text, whoever stands beside it."""
    window = join_window(told, POLICY)
    if window is not None:
        assert [alone(item) for item in told] == answer(window, told)


def test_story_is_grounded_and_tells_of_everything() -> None:
    """Nothing of it is refused; there are slots, ends, repetitions, long and empty sessions."""
    found = [ground(alone(item), item, "scripted") for item in TOLD]
    kept = [fact for grounded, _ in found for fact in grounded]
    said = Counter((fact.owner, fact.statement) for fact in kept)

    assert [] == [refusal for _, refused in found for refusal in refused]
    attributes = {fact.slot.attribute for fact in kept if fact.slot is not None}
    assert {"home city", "monthly budget", "employer", "language"} == attributes
    assert any(fact.ends for fact in kept)
    assert any(number > 1 for number in said.values())
    assert any(not grounded for grounded, _ in found)
    assert any(len(cut_windows(item, POLICY)) > 1 for item in TOLD)


def test_judge_says_same_of_retold_pairs_alone() -> None:
    """Two tellings of one thing are the same, anything else holds together."""
    told = [statement for pair in RETOLD for statement in pair]
    for a, b in itertools.combinations(told, 2):
        is_same = any({a, b} == set(pair) for pair in RETOLD)
        asked = {"a": {"statement": a}, "b": {"statement": b}}
        assert ("same" if is_same else "both") == judge(asked)
        assert "changed" == judge(asked | {"attribute": "home city"})
