"""What an evaluation reads, asks and scores, without a stack."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memstill_client.replies import CostEntry
from pipelines.errors import ConfigurationError
from pipelines.stages.injection.fence import fence
from workers.evaluation.asking import split_block
from workers.evaluation.dataset import QuestionLine, load_dataset, select_questions
from workers.evaluation.scores import (
    NAMES,
    PLACES,
    Found,
    Question,
    kept_share,
    score_question,
    summarise,
)
from workers.evaluation.spending import Spending, read_booked, spent_between
from workers.evaluation.summary import Latency, measure_latency

if TYPE_CHECKING:
    from pathlib import Path

IDS = st.sampled_from("abcdefgh")
RANKINGS = st.lists(
    st.builds(Found, st.frozensets(IDS, max_size=3), st.integers(min_value=0, max_value=400)),
    max_size=30,
)


def question(*evidence: str, qid: str = "q1", category: str = "single") -> Question:
    return Question(qid, "ana", category, "where?", frozenset(evidence))


def found(*sources: str, tokens: int = 10) -> Found:
    return Found(frozenset(sources), tokens)


def line(**changes: object) -> QuestionLine:
    values = {"qid": "q1", "user_id": "ana", "category": "single", "question": "where?"}
    return QuestionLine.model_validate(values | {"evidence": ["m1"]} | changes)


# ---- scores -----------------------------------------------------------------------------------


def test_score_counts_the_evidence_that_the_first_memories_rest_on() -> None:
    """Half of it stands at the fifth place, the rest at the sixth."""
    ranking = [found()] * 4 + [found("m1", "m9"), found("m2")]

    score = score_question(question("m1", "m2"), ranking)

    assert {"R@5": 0.5, "R@10": 1.0, "R@20": 1.0, "R@1000t": 1.0} == score


@pytest.mark.parametrize(("tokens", "expected"), [(400, 1.0), (401, 0.0)])
def test_score_ends_before_the_memory_that_oversteps_the_tokens(
    tokens: int, expected: float
) -> None:
    """A budget may be used up to the last token, and what is longer ends the list."""
    ranking = [found(tokens=600), found("m1", tokens=tokens), found("m1", tokens=1)]

    score = score_question(question("m1"), ranking)

    assert expected == score["R@1000t"]


def test_score_is_zero_when_nothing_was_found() -> None:
    """An empty ranking earns nothing, and its question still counts."""
    summary = summarise([question("m1"), question("m1", qid="q2")], {"q1": [found("m1")]})

    assert dict.fromkeys(NAMES, 0.0) == score_question(question("m1"), [])
    assert (2, dict.fromkeys(NAMES, 0.5)) == (
        summary["overall"].questions,
        summary["overall"].values,
    )


def test_summary_gives_each_category_its_own_mean() -> None:
    """What is hard is seen beside what is easy."""
    questions = [question("m1"), question("m2", qid="q2", category="temporal")]

    summary = summarise(questions, {"q1": [found("m1")], "q2": [found("m1")]})

    assert ["overall", "single", "temporal"] == list(summary)
    assert [0.5, 1.0, 0.0] == [score.values["R@10"] for score in summary.values()]


@given(st.frozensets(IDS, min_size=1), RANKINGS)
def test_score_grows_with_depth(evidence: frozenset[str], ranking: list[Found]) -> None:
    """More places never earn less, and nothing earns more than all evidence."""
    score = score_question(question(*evidence), ranking)

    shares = [score[f"R@{places}"] for places in PLACES]
    reach = frozenset[str]().union(*(item.sources for item in ranking))
    assert sorted(shares) == shares
    assert all(0 <= share <= len(evidence & reach) / len(evidence) for share in score.values())


def test_kept_share_looks_only_at_the_asked_users_memories() -> None:
    """What another user's memories rest on answers nothing."""
    questions = [question("m1", "m2"), question("m3", qid="q2")]

    assert 0.25 == kept_share(questions, {"ana": frozenset({"m1"}), "bob": frozenset({"m3"})})


# ---- data sets --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"category": "adversarial"},
        {"category": "abstention"},
        {"evidence": []},
        {"audit": "HALLUCINATION", "audit_evidence": ["m2"]},
        {"audit": "WRONG_CITATION", "audit_evidence": [], "evidence": []},
    ],
)
def test_questions_are_left_out_when_no_evidence_answers_them(changes: dict[str, Any]) -> None:
    """What asks for what was never said, or was found wrong, measures nothing."""
    assert [] == select_questions([line(**changes)])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"m1"}),
        ({"audit": "WRONG_CITATION", "audit_evidence": ["m2", "m3"]}, {"m2", "m3"}),
        ({"audit": "WRONG_CITATION", "audit_evidence": None}, {"m1"}),
        ({"audit_evidence": ["m2"]}, {"m1"}),
    ],
)
def test_citations_are_mended_when_an_audit_found_them_wrong(
    changes: dict[str, Any], expected: set[str]
) -> None:
    """Only a wrong citation is replaced, and only where the right one is known."""
    (chosen,) = select_questions([line(**changes)])

    assert expected == chosen.evidence


def write_dataset(folder: Path, sessions: list[dict[str, Any]], *questions: QuestionLine) -> None:
    lines = [json.dumps({"schema_version": 1, "user_id": "ana"} | session) for session in sessions]
    (folder / "transcripts.jsonl").write_text("\n".join([*lines, ""]))
    asked = [item.model_dump_json() for item in questions]
    (folder / "questions.jsonl").write_text("\n".join(asked))


def session(number: int, **changes: object) -> dict[str, Any]:
    message = {"id": f"m{number}", "role": "user", "content": "hello"}
    return {"session_id": f"s{number}", "messages": [message]} | changes


def test_dataset_is_cut_to_the_first_sessions_and_what_they_answer(tmp_path: Path) -> None:
    """A question whose evidence was not pushed would only measure the cut."""
    folder, scratch = tmp_path / "set", tmp_path / "scratch"
    folder.mkdir()
    scratch.mkdir()
    answered, unanswered = line(), line(qid="q2", evidence=["m1", "m2"])
    write_dataset(folder, [session(1, tenant_id="acme"), session(2)], answered, unanswered)

    dataset = load_dataset(folder, 1, scratch)

    assert ("set", "acme", ("ana",)) == (dataset.name, dataset.tenant_id, dataset.users)
    assert ["q1"] == [item.qid for item in dataset.questions]
    assert 1 == len(dataset.transcripts.read_text().splitlines())


def test_dataset_is_taken_whole_without_a_limit(tmp_path: Path) -> None:
    """Every session, every question, and the files where they are."""
    write_dataset(tmp_path, [session(1), session(2, user_id="bob")], line(evidence=["m7"]))

    dataset = load_dataset(tmp_path, None, tmp_path)

    assert (None, ("ana", "bob")) == (dataset.tenant_id, dataset.users)
    assert tmp_path / "transcripts.jsonl" == dataset.transcripts
    assert 1 == len(dataset.questions)


@pytest.mark.parametrize(
    ("sessions", "questions", "expected"),
    [
        ([session(1), session(2, tenant_id="b")], "", "2 tenants"),
        ([{"session_id": "s1"}], "", "no valid transcript"),
        ([session(1)], '{"qid": "q1"}', "line 1: user_id: Field required"),
        ([session(1)], None, "is no file"),
    ],
)
def test_dataset_is_refused_when_it_is_broken(
    sessions: list[dict[str, Any]], questions: str | None, expected: str, tmp_path: Path
) -> None:
    """The message says which file, and what is wrong with it."""
    write_dataset(tmp_path, sessions)
    (tmp_path / "questions.jsonl").unlink()
    if questions is not None:
        (tmp_path / "questions.jsonl").write_text(questions)

    with pytest.raises(ConfigurationError, match=expected):
        load_dataset(tmp_path, None, tmp_path)


# ---- answers and figures ----------------------------------------------------------------------


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip), max_size=6))
def test_block_is_split_into_what_it_shows_of_each_memory(lines: list[str]) -> None:
    """One text for each memory, as it stands in the prompt."""
    block = fence(lines, user_id="ana", at=datetime(2026, 3, 2, tzinfo=UTC))

    assert [f"- {text}" for text in split_block(block)] == block.split("\n")[2:-1]
    assert len(lines) == len(split_block(block))


def test_block_keeps_further_lines_of_a_memory_together() -> None:
    """A memory that takes two lines is still one memory."""
    block = "<memstill-recall>\nNote.\n- one\n  “quote”\n- two\n</memstill-recall>"

    assert ["one\n  “quote”", "two"] == split_block(block)


def test_latency_is_a_value_that_was_measured() -> None:
    """The middle of a hundred, and what only five of them exceed."""
    assert Latency(50.0, 95.0) == measure_latency([number / 1000 for number in range(100, 0, -1)])
    assert Latency(7.0, 7.0) == measure_latency([0.007])
    assert None is measure_latency([])


class Ledger:
    """A client that answers what was booked, tenant-wide only in part."""

    def __init__(self, *entries: CostEntry, is_whole: bool) -> None:
        self._entries = entries
        self._is_whole = is_whole

    def cost(self, user_id: str | None = None, since: date | None = None) -> SimpleNamespace:
        assert since is not None
        entries = [item for item in self._entries if user_id in {None, item.user_id}]
        is_cut = user_id is None and not self._is_whole
        return SimpleNamespace(entries=entries[: 1 if is_cut else None], is_whole=not is_cut)


def entry(user: str, purpose: str, calls: int) -> CostEntry:
    return CostEntry(
        day=date(2026, 3, 2),
        user_id=user,
        purpose=purpose,
        model="m",
        calls=calls,
        unpriced_calls=calls,
        estimated_calls=1,
        prompt_tokens=100 * calls,
        completion_tokens=10 * calls,
    )


@pytest.mark.parametrize("is_whole", [True, False])
def test_spending_is_what_the_data_sets_users_added(is_whole: bool) -> None:
    """Neither other users nor what was booked before counts, however long the ledger is."""
    ledger = Ledger(
        entry("stranger", "distill", 50),
        entry("ana", "distill", 5),
        entry("bob", "judge", 2),
        is_whole=is_whole,
    )
    before = Counter({("distill", "calls"): 3, ("distill", "prompt"): 300})

    after = read_booked(ledger, ("ana", "bob"), date(2026, 3, 2))  # type: ignore[arg-type]

    assert {
        "all": Spending(4, 400, 70, 2),
        "distill": Spending(2, 200, 50, 1),
        "judge": Spending(2, 200, 20, 1),
    } == spent_between(before, after)
