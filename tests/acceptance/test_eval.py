"""``memstill eval`` on a data set of its own, from the files to the figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.recorded_endpoint import RecordedEndpoint
from benchmarks.recording import RecordedFact, RecordedSession, Turn
from tests.acceptance.test_laptop import clean_env

REPOSITORY = Path(__file__).parents[2]
SAID = {
    ("ana", "s1"): ["I adopted a greyhound called Pixel.", "My sister Lina lives in Uppsala."],
    ("ana", "s2"): ["I play the accordion in a folk band."],
    ("ben", "s1"): ["I sold my motorbike to a neighbour."],
}
FOUND = {
    "I adopted a greyhound called Pixel.": "Ana adopted a greyhound called Pixel.",
    "My sister Lina lives in Uppsala.": "Ana's sister Lina lives in Uppsala.",
    "I play the accordion in a folk band.": "Ana plays the accordion in a folk band.",
    "I sold my motorbike to a neighbour.": "Ben sold his motorbike to a neighbour.",
}
QUESTIONS = [
    ("q1", "ana", "single", "Which dog did Ana adopt?", ["ana/s1/0"]),
    ("q2", "ana", "multi", "What does Ana play, where is her sister?", ["ana/s2/0", "ana/s1/1"]),
    ("q3", "ben", "single", "What did Ben sell?", ["ben/s1/0"]),
    ("q4", "ben", "single", "What else did Ben say?", ["ben/s9/0"]),
    ("q5", "ben", "adversarial", "What did Ben buy?", ["ben/s1/0"]),
]  # fmt: skip


def sessions() -> list[RecordedSession]:
    """What a model found: one fact in each message."""
    return [
        RecordedSession(
            user_id=user,
            session_id=session,
            turns=tuple(
                Turn(turn_id=f"{user}/{session}/{number}", text=text)
                for number, text in enumerate(said)
            ),
            facts=tuple(
                RecordedFact(
                    text=FOUND[text],
                    source_turn_ids=(f"{user}/{session}/{number}",),
                    speaker=user.title(),
                )
                for number, text in enumerate(said)
            ),
        )
        for (user, session), said in SAID.items()
    ]


def write_dataset(folder: Path) -> None:
    transcripts = [
        {
            "schema_version": 1,
            "tenant_id": "tests",
            "user_id": item.user_id,
            "session_id": item.session_id,
            "started_at": "2026-03-02T09:00:00Z",
            "messages": [
                {
                    "id": turn.turn_id,
                    "role": "user",
                    "name": item.user_id.title(),
                    "content": turn.text,
                }
                for turn in item.turns
            ],
        }
        for item in sessions()
    ]
    names = ("qid", "user_id", "category", "question", "evidence")
    questions = [dict(zip(names, values, strict=True)) for values in QUESTIONS]
    write_lines(folder / "transcripts.jsonl", transcripts)
    write_lines(folder / "questions.jsonl", questions)


def write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def run_eval(folder: Path, out: Path, base_url: str) -> subprocess.CompletedProcess[str]:
    """The command, on a stack of its own with a model at this address."""
    env = {
        "MEMSTILL_DISTILLER": "model",
        "MEMSTILL_MODEL_BASE_URL": base_url,
        "MEMSTILL_RETRY_BASE_SECONDS": "0.2",
        "MEMSTILL_MAX_ATTEMPTS": "2",
    }
    return subprocess.run(
        [sys.executable, "-m", "workers.cli", "eval", str(folder), "--out", str(out), "--json"],
        env=clean_env() | env,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def test_eval_measures_a_data_set_with_the_model_of_the_environment(tmp_path: Path) -> None:
    """The worker asks the endpoint that is named, and every figure can be read and repeated."""
    write_dataset(tmp_path)
    out = tmp_path / "out"
    with RecordedEndpoint(sessions()) as endpoint:
        done = run_eval(tmp_path, out, endpoint.base_url)

    assert 0 == done.returncode, done.stderr
    summary = json.loads((out / "summary.json").read_text())
    memories, ranked = read_lines(out / "memories.jsonl"), read_lines(out / "ranked.jsonl")
    assert summary == json.loads(done.stdout)
    assert ({"done": 3}, {}, {"active": 4}) == (
        summary["states"],
        summary["dead_letters"],
        summary["memories"],
    )
    assert endpoint.counts.calls == summary["spending"]["all"]["calls"]
    assert endpoint.counts.prompt_tokens == summary["spending"]["all"]["prompt_tokens"]
    assert endpoint.counts.calls / 3 == summary["calls_per_session"]
    # The message that answers q4 is in no session: it counts, and nobody can bring it up.
    assert (0.75, 0.75) == (summary["kept"], summary["scores"]["overall"]["values"]["R@10"])
    assert {"multi": 1.0, "single": 2 / 3} == {
        name: summary["scores"][name]["values"]["R@1000t"] for name in ("multi", "single")
    }
    assert 0 < summary["latency"]["p50_ms"] <= summary["latency"]["p95_ms"]
    assert sorted(FOUND.values()) == sorted(memory["text"] for memory in memories)
    assert {None} == {memory["invalid_at"] for memory in memories}
    assert ["q1", "q2", "q3", "q4"] == [answer["qid"] for answer in ranked]
    best = ranked[0]["results"][0]
    assert best["text"].startswith("Ana adopted a greyhound called Pixel. (2026-03-02)")
    assert {"source_turn_ids": ["ana/s1/0"], "user_id": "ana", "session_id": "s1"} == {
        name: value for name, value in best.items() if name != "text"
    }


def test_eval_says_why_sessions_died_and_fails(tmp_path: Path) -> None:
    """A model that refuses leaves nothing to recall: the figures say so, and the exit code."""
    write_dataset(tmp_path)
    out = tmp_path / "out"
    with RecordedEndpoint(sessions()) as endpoint:
        done = run_eval(tmp_path, out, f"{endpoint.base_url}/elsewhere")

    summary = json.loads((out / "summary.json").read_text())
    assert 1 == done.returncode, done.stderr
    assert ({"dead": 3}, {"ModelRefused": 3}) == (summary["states"], summary["dead_letters"])
    assert (0.0, 0.0) == (summary["kept"], summary["scores"]["overall"]["values"]["R@20"])
