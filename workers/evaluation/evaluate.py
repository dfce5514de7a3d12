"""Runs an evaluation: push, wait, export, ask, score, write."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memstill_client import Memstill
from pipelines.adapters.minilm import MiniLmEmbedder
from workers import backfill
from workers.evaluation.asking import LAG_SECONDS, ask_all, await_index
from workers.evaluation.dataset import load_dataset
from workers.evaluation.scores import Found, kept_share, summarise
from workers.evaluation.spending import read_booked, spent_between
from workers.evaluation.summary import Summary, measure_latency
from workers.exports import export_record
from workers.laptop import find_free_port, make_stack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rich.console import Console

    from workers.backfill import Backfill
    from workers.evaluation.asking import Answer
    from workers.evaluation.dataset import Dataset
    from workers.evaluation.scores import Question
    from workers.evaluation.spending import Spending

Memories = dict[str, list[dict[str, Any]]]
SUMMARY = "summary.json"
REQUEST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is evaluated, and where.

    Attributes:
        folder: The data set.
        out: Where the results are written; created if missing.
        tenant_id: Whose the transcripts are, where they do not say.
        limit: Only so many sessions, and the questions that they answer.
        workers: Questions asked at once.
        api_url: A running memstill; None starts one for the evaluation alone.
        env: Settings of the one that is started, beside those of this process.
    """

    folder: Path
    out: Path
    tenant_id: str | None = None
    limit: int | None = None
    workers: int = 1
    api_url: str | None = None
    env: Mapping[str, str] | None = None


def evaluate(plan: Plan, console: Console) -> Summary:
    """Push the sessions, ask the questions, and write what came of it into ``plan.out``.

    Writes ``memories.jsonl``, ``ranked.jsonl`` and ``summary.json``.

    Raises:
        ConfigurationError: The data set is broken, or the stack cannot be started.
        InvalidTranscript: The transcripts name another tenant than the plan.
    """
    with tempfile.TemporaryDirectory(prefix="memstill-eval-") as scratch:
        dataset = load_dataset(plan.folder, plan.limit, Path(scratch))
        with _open_api(plan, Path(scratch), console) as url:
            tenant = plan.tenant_id or dataset.tenant_id
            with Memstill(
                api_url=url,
                redis_url="",
                broker_url="",
                tenant_id=tenant,
                timeout=REQUEST_SECONDS,
            ) as client:
                return _Evaluation(plan, dataset, client, console).run()


@contextmanager
def _open_api(plan: Plan, scratch: Path, console: Console) -> Iterator[str]:
    if plan.api_url is not None:
        yield plan.api_url
        return
    env = {"MEMSTILL_AUTH": "off", **(plan.env or {})}
    stack = make_stack(scratch / "data", find_free_port(), lambda _: None, env)
    with ExitStack() as undo:
        with console.status("starting a memstill of its own …"):
            undo.enter_context(stack)
        yield stack.endpoints.api_url


class _Evaluation:
    """One run on a connected client."""

    def __init__(self, plan: Plan, dataset: Dataset, client: Memstill, console: Console) -> None:
        self._plan = plan
        self._dataset = dataset
        self._client = client
        self._console = console

    def run(self) -> Summary:
        since = datetime.now(UTC).date()
        before = read_booked(self._client, self._dataset.users, since)
        pushed = backfill.run(self._client, self._dataset.transcripts, self._console, wait=True)
        memories = self._read_memories()
        spending = spent_between(before, read_booked(self._client, self._dataset.users, since))
        answers = self._ask()
        summary = self._summarise(pushed, memories, spending, answers)
        self._write(memories, answers, summary)
        return summary

    def _read_memories(self) -> Memories:
        """All memories by user, once recall knows them."""
        deadline = time.monotonic() + LAG_SECONDS
        memories: Memories = {}
        for user in self._dataset.users:
            memories[user] = list(self._client.memories(user))
            if not await_index(self._client, user, memories[user], deadline):
                self._console.print(f"recall does not know all of {user!r} yet", markup=False)
        return memories

    def _ask(self) -> list[Answer]:
        with backfill.make_progress(self._console) as progress:
            task = progress.add_task("asked", total=len(self._dataset.questions))
            return ask_all(
                self._client,
                self._dataset.questions,
                self._plan.workers,
                lambda: progress.advance(task),
            )

    def _summarise(
        self,
        pushed: Backfill,
        memories: Memories,
        spending: Mapping[str, Spending],
        answers: Sequence[Answer],
    ) -> Summary:
        sessions = pushed.fresh + pushed.duplicate
        total = spending["all"]
        everything = [memory for theirs in memories.values() for memory in theirs]
        return Summary(
            dataset=self._dataset.name,
            distilled_by=tuple(sorted({memory["distilled_by"] for memory in everything})),
            sessions=sessions,
            refused=len(pushed.refused),
            dead_letters=self._find_reasons(pushed),
            states=pushed.states,
            seconds=round(pushed.seconds, 2),
            memories=dict(Counter(_standing(memory) for memory in everything)),
            spending=spending,
            calls_per_session=total.calls / sessions if sessions else 0.0,
            prompt_tokens_per_session=total.prompt_tokens / sessions if sessions else 0.0,
            completion_tokens_per_session=total.completion_tokens / sessions if sessions else 0.0,
            questions=len(answers),
            latency=measure_latency([answer.seconds for answer in answers]),
            kept=_kept(self._dataset.questions, memories),
            scores=summarise(self._dataset.questions, _rankings(answers)),
        )

    def _find_reasons(self, pushed: Backfill) -> dict[str, int]:
        """Why transcripts are dead letters, told while the stack still knows."""
        if not pushed.states.get("dead"):
            return {}
        found = (self._client.status(receipt) for receipt in pushed.receipts)
        return dict(Counter(str(it.reason) for it in found if it.state == "dead"))

    def _write(self, memories: Memories, answers: Iterable[Answer], summary: Summary) -> None:
        out = self._plan.out
        out.mkdir(parents=True, exist_ok=True)
        kept = (memory for theirs in memories.values() for memory in theirs)
        _write_lines(out / "memories.jsonl", map(_memory_record, kept))
        _write_lines(out / "ranked.jsonl", map(_ranked_record, answers))
        _write(out / SUMMARY, [json.dumps(asdict(summary), indent=2, ensure_ascii=False)])


def _standing(memory: dict[str, Any]) -> str:
    is_left = memory["state"] == "active" and memory["scope"] == "session"
    return "left in their session" if is_left else str(memory["state"])


def _kept(questions: Sequence[Question], memories: Memories) -> float | None:
    sources: defaultdict[str, set[str]] = defaultdict(set)
    for user, theirs in memories.items():
        for memory in theirs:
            if memory["state"] == "active":
                sources[user].update(memory["source_message_ids"])
    found = {user: frozenset(ids) for user, ids in sources.items()}
    return kept_share(questions, found) if questions else None


def _rankings(answers: Sequence[Answer]) -> dict[str, list[Found]]:
    """With the tokens of each text, in the vocabulary of the embedding model."""
    texts = list({entry.text for answer in answers for entry in answer.entries})
    tokens = dict(zip(texts, MiniLmEmbedder().count(texts), strict=True))
    return {
        answer.question.qid: [
            Found(frozenset(entry.source_turn_ids), tokens[entry.text]) for entry in answer.entries
        ]
        for answer in answers
    }


def _memory_record(memory: dict[str, Any]) -> dict[str, Any]:
    """As ``memstill export`` writes it, with what says that it does not hold any more."""
    is_current = memory["state"] == "active"
    return export_record(memory) | {
        "invalid_at": None if is_current else memory["valid_to"] or memory["confirmed_at"]
    }


def _ranked_record(answer: Answer) -> dict[str, Any]:
    return {"qid": answer.question.qid, "results": [asdict(entry) for entry in answer.entries]}


def _write_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    _write(path, (json.dumps(record, ensure_ascii=False) for record in records))


def _write(path: Path, lines: Iterable[str]) -> None:
    """A reader never sees half a file."""
    draft = path.with_name(f"{path.name}.part")
    with draft.open("w", encoding="utf-8") as target:
        target.writelines(f"{line}\n" for line in lines)
    draft.replace(path)
