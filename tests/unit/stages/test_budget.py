"""What fits into the prompt, and how it reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.stages.budget import fit, render_line
from pipelines.stages.rank import Ranked
from tests.builders import day, make_fact, make_memory

RANKED = [
    Ranked(make_memory(make_fact(f"Owns boat {number}.", ordinal=number)), 1 - number / 100)
    for number in range(30)
]


@pytest.mark.parametrize(
    ("counts", "max_memories", "max_tokens", "expected"),
    [
        ([5, 5, 5], 10, 15, [0, 1, 2]),
        ([5, 5, 5], 2, 15, [0, 1]),
        ([5, 9, 5], 10, 10, [0, 2]),
        ([50, 5, 5], 10, 10, [1, 2]),
        ([50, 60], 10, 10, []),
        ([5, 5], 0, 10, []),
        ([5, 5], 10, 0, []),
        ([], 10, 10, []),
    ],
)
def test_fit_takes_the_best_that_are_within_both_limits(
    counts: list[int], max_memories: int, max_tokens: int, expected: list[int]
) -> None:
    """What is too long for the rest is passed over, be it the first, and the next one tried."""
    fitting = fit(RANKED[: len(counts)], counts, max_memories, max_tokens)

    assert [RANKED[place] for place in expected] == fitting


def test_fit_refuses_counts_that_belong_to_other_lines() -> None:
    """A count for each memory, or none is trusted."""
    with pytest.raises(ValueError, match="shorter"):
        fit(RANKED[:2], [5], 10, 100)


@given(
    st.lists(st.integers(0, 60), max_size=30),
    st.integers(0, 30),
    st.integers(0, 500),
)
def test_fit_keeps_the_budget_and_the_order(
    counts: list[int], max_memories: int, max_tokens: int
) -> None:
    """Never more tokens or memories than allowed, never another order."""
    ranked = RANKED[: len(counts)]

    fitting = fit(ranked, counts, max_memories, max_tokens)

    cost = {item.memory.id: tokens for item, tokens in zip(ranked, counts, strict=True)}
    assert sum(cost[item.memory.id] for item in fitting) <= max_tokens
    assert len(fitting) <= max_memories
    assert [item for item in ranked if item in fitting] == fitting


@given(st.lists(st.integers(0, 60), max_size=30), st.integers(0, 500))
def test_fit_passes_over_only_what_no_longer_fitted(counts: list[int], max_tokens: int) -> None:
    """What is left out was too long for what those before it had left."""
    ranked = RANKED[: len(counts)]
    fitting = fit(ranked, counts, len(counts), max_tokens)

    left = max_tokens
    for item, tokens in zip(ranked, counts, strict=True):
        assert (item in fitting) == (tokens <= left)
        left -= tokens if item in fitting else 0


def fit_all(
    ranked: list[Ranked], counts: list[int], max_memories: int, max_tokens: int
) -> list[Ranked]:
    """The rule without any short cut: every line is looked at."""
    fitting: list[Ranked] = []
    for item, tokens in zip(ranked, counts, strict=True):
        if len(fitting) < max_memories and tokens <= max_tokens:
            fitting.append(item)
            max_tokens -= tokens
    return fitting


@given(
    st.lists(st.integers(0, 60), max_size=30),
    st.integers(0, 30),
    st.integers(0, 500),
    st.integers(0, 60),
)
def test_fit_stops_early_without_losing_anything(
    counts: list[int], max_memories: int, max_tokens: int, lowest: int
) -> None:
    """With the smallest count known it finds what looking at every line finds."""
    counts = [max(lowest, tokens) for tokens in counts]
    ranked = RANKED[: len(counts)]

    fitting = fit(ranked, counts, max_memories, max_tokens, lowest)

    assert fit_all(ranked, counts, max_memories, max_tokens) == fitting


@pytest.mark.parametrize(
    ("max_memories", "max_tokens", "asked"),
    [(2, 100, 2), (9, 15, 3), (9, 17, 3), (9, 18, 6), (9, 2, 0), (0, 100, 0), (9, 100, 6)],
)
def test_fit_asks_for_no_count_when_nothing_more_can_fit(
    max_memories: int, max_tokens: int, asked: int
) -> None:
    """Neither after the last memory allowed nor when no line is as short as what is left."""
    rest = iter([5, 5, 5, 5, 5, 5])

    fit(RANKED[:6], rest, max_memories, max_tokens, 3)

    assert 6 - asked == len(list(rest))


def test_render_line_states_since_when_it_holds() -> None:
    """A line is the statement and the day from which it holds."""
    memory = make_memory(make_fact("Keeps bees.", at=day(0)))

    assert render_line(memory) == "Keeps bees. (2026-03-02)"


def test_render_line_states_both_days_when_it_ended() -> None:
    """What was superseded says until when it held."""
    memory = make_memory(make_fact("Lives in Porto.", at=day(0)), valid_to=day(30))

    assert render_line(memory) == "Lives in Porto. (2026-03-02 to 2026-04-01)"


@given(st.text())
def test_render_line_is_one_line_whatever_the_statement_holds(statement: str) -> None:
    """No content can begin a line of its own in the prompt."""
    line = render_line(make_memory(make_fact(statement)))

    assert [line] == line.splitlines()
    assert line.endswith(" (2026-03-02)")
