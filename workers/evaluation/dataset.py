"""A data set on disk: transcripts in the wire format, and questions with their evidence."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from memstill_client import InvalidTranscript, parse_transcript
from pipelines.errors import ConfigurationError
from workers.evaluation.scores import Question

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

TRANSCRIPTS = "transcripts.jsonl"
QUESTIONS = "questions.jsonl"
# They ask for what nobody said, so nothing that recall could bring up answers them.
UNANSWERABLE = frozenset({"adversarial", "abstention"})
# What an audit of the questions may have found: only a wrong citation leaves the answer right.
WRONG_CITATION = "WRONG_CITATION"


class QuestionLine(BaseModel):
    """A question as the data set has it.

    Attributes:
        audit: What an audit found wrong with it.
        audit_evidence: The right evidence, as the audit found it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    qid: str
    user_id: str
    category: str
    question: str
    evidence: tuple[str, ...] = ()
    audit: str | None = None
    audit_evidence: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """What is pushed and what is asked.

    Attributes:
        tenant_id: Whose the transcripts are; None where they do not say.
        users: All who have a transcript, in the order of the file.
    """

    name: str
    transcripts: Path
    tenant_id: str | None
    users: tuple[str, ...]
    questions: tuple[Question, ...]


def load_dataset(folder: Path, limit: int | None, scratch: Path) -> Dataset:
    """Read a data set, or its first sessions with the questions that they answer.

    Args:
        folder: Where the files are.
        limit: How many sessions; None takes everything.
        scratch: An empty directory for the transcripts that a limit leaves.

    Raises:
        ConfigurationError: A file is missing or broken, or there are several tenants.
    """
    transcripts = folder / TRANSCRIPTS
    if limit is not None:
        transcripts = _cut(transcripts, limit, scratch / TRANSCRIPTS)
    tenants, messages = _read_heads(transcripts)
    if len(tenants) > 1:
        raise ConfigurationError(
            f"{transcripts} names {len(tenants)} tenants: put each into a data set of its own"
        )
    questions = select_questions(_read_questions(folder / QUESTIONS))
    if limit is not None:
        questions = [
            item for item in questions if item.evidence <= messages.get(item.user_id, set())
        ]
    return Dataset(
        folder.resolve().name, transcripts, next(iter(tenants)), tuple(messages), tuple(questions)
    )


def select_questions(lines: Iterable[QuestionLine]) -> list[Question]:
    """Those that evidence answers, with their citations mended.

    Left out are categories that ask for what was never said, questions whose answer the audit
    found wrong, and those without evidence.
    """
    return [
        Question(line.qid, line.user_id, line.category, line.question, evidence)
        for line in lines
        if line.category not in UNANSWERABLE
        and line.audit in {None, WRONG_CITATION}
        and (evidence := _evidence(line))
    ]


def _evidence(line: QuestionLine) -> frozenset[str]:
    mended = line.audit_evidence if line.audit == WRONG_CITATION else None
    return frozenset(mended or line.evidence)


def _read_questions(path: Path) -> Iterator[QuestionLine]:
    for number, line in _lines(path):
        try:
            yield QuestionLine.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the line"
            raise ConfigurationError(f"{path} line {number}: {where}: {first['msg']}") from None


def _read_heads(path: Path) -> tuple[set[str | None], Mapping[str, set[str]]]:
    """The tenants, and the message ids of each user; what is invalid is told when it is pushed."""
    tenants: set[str | None] = set()
    messages: defaultdict[str, set[str]] = defaultdict(set)
    now = datetime.now(UTC)
    for _, line in _lines(path):
        try:
            transcript = parse_transcript(line, now=now)
        except InvalidTranscript:
            continue
        tenants.add(transcript.tenant_id)
        messages[transcript.user_id].update(message.id for message in transcript.messages)
    if not tenants:
        raise ConfigurationError(f"{path} holds no valid transcript")
    return tenants, messages


def _cut(source: Path, limit: int, target: Path) -> Path:
    with target.open("wb") as kept:
        kept.writelines(line for _, line in islice(_lines(source), limit))
    return target


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    if not path.is_file():
        raise ConfigurationError(
            f"{path} is no file: a data set is a folder with {TRANSCRIPTS} and {QUESTIONS}"
        )
    with path.open("rb") as source:
        for number, line in enumerate(source, 1):
            if line.strip():
                yield number, line
