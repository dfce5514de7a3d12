"""How much of the evidence of a question a ranking brings up.

A question names the messages that answer it. A ranking earns the share of them that its first
memories rest on: within the first k of them (``R@5``), or within the first so many tokens of what
recall would put into a prompt (``R@1000t``).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from itertools import accumulate
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PLACES = (5, 10, 20)
TOKENS = (1000,)
NAMES = (*(f"R@{places}" for places in PLACES), *(f"R@{tokens}t" for tokens in TOKENS))


@dataclass(frozen=True, slots=True)
class Question:
    """One question to a user's memory.

    Attributes:
        evidence: Ids of the messages that answer it; never empty.
    """

    qid: str
    user_id: str
    category: str
    text: str
    evidence: frozenset[str]


@dataclass(frozen=True, slots=True)
class Found:
    """A memory at its place in a ranking.

    Attributes:
        sources: Ids of the messages that it rests on.
        tokens: Of its text as recall shows it.
    """

    sources: frozenset[str]
    tokens: int


@dataclass(frozen=True, slots=True)
class Score:
    """The mean over some questions; ``values`` by the names in ``NAMES``."""

    questions: int
    values: Mapping[str, float]


def score_question(question: Question, ranking: Sequence[Found]) -> dict[str, float]:
    """The share of the evidence at every depth; an empty ranking earns nothing.

    A budget of tokens ends before the first memory that oversteps it.
    """
    covered = _covered(question.evidence, ranking)
    spent = list(accumulate(item.tokens for item in ranking))
    depths = (*PLACES, *(bisect_right(spent, budget) for budget in TOKENS))
    return {
        name: covered[min(depth, len(ranking))] for name, depth in zip(NAMES, depths, strict=True)
    }


def _covered(evidence: frozenset[str], ranking: Iterable[Found]) -> list[float]:
    """The share that the first n memories bring up, for n from 0."""
    shares, seen = [0.0], frozenset[str]()
    for item in ranking:
        seen |= evidence & item.sources
        shares.append(len(seen) / len(evidence))
    return shares


def summarise(
    questions: Sequence[Question], rankings: Mapping[str, Sequence[Found]]
) -> dict[str, Score]:
    """The mean of all questions under ``overall``, then of each category, in their order.

    Args:
        questions: Every one counts, also where its ranking is missing.
        rankings: By question id, the best memory first.
    """
    rows: defaultdict[str, list[dict[str, float]]] = defaultdict(list)
    for question in questions:
        row = score_question(question, rankings.get(question.qid, ()))
        rows["overall"].append(row)
        rows[question.category].append(row)
    names = ["overall", *sorted(rows.keys() - {"overall"})] if questions else []
    return {name: _mean(rows[name]) for name in names}


def _mean(rows: Sequence[Mapping[str, float]]) -> Score:
    return Score(len(rows), {name: fmean(row[name] for row in rows) for name in NAMES})


def kept_share(questions: Sequence[Question], sources: Mapping[str, frozenset[str]]) -> float:
    """The share of the evidence that any memory rests on: no ranking can earn more.

    Args:
        questions: At least one.
        sources: By user, the messages that any of their memories rests on.
    """
    nothing = frozenset[str]()
    return fmean(
        len(question.evidence & sources.get(question.user_id, nothing)) / len(question.evidence)
        for question in questions
    )
