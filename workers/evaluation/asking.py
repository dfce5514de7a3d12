"""Asks the questions of a data set and keeps what recall answers, as its block shows it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.errors import ConfigurationError
from pipelines.stages.dedup import statement_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from memstill_client import Memstill, Recall
    from workers.evaluation.scores import Question

# As deep as a ranking is written down, and room for that many lines in the block.
DEPTH = 100
MAX_TOKENS = 1_000_000
EVERYTHING = 1_000
LAG_SECONDS = 120.0
POLL_SECONDS = 0.2
_ITEM = "- "


@dataclass(frozen=True, slots=True)
class Entry:
    """A memory at its place in the answer to a question; ``text`` as the block shows it."""

    text: str
    source_turn_ids: tuple[str, ...]
    user_id: str
    session_id: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What recall answered to one question.

    Attributes:
        seconds: What a recall within its usual limits took, as its caller saw it.
    """

    question: Question
    entries: tuple[Entry, ...]
    seconds: float


def ask_all(
    client: Memstill, questions: Sequence[Question], workers: int, on_answer: Callable[[], None]
) -> list[Answer]:
    """The answers in the order of the questions; ``workers`` of them are asked at once."""
    answers: list[Answer] = []
    with ThreadPoolExecutor(max_workers=workers) as pool:
        for answer in pool.map(lambda question: _ask(client, question), questions):
            answers.append(answer)
            on_answer()
    return answers


def _ask(client: Memstill, question: Question) -> Answer:
    started = time.perf_counter()
    client.recall(question.text, question.user_id)
    seconds = time.perf_counter() - started
    found = _recall(client, question.text, question.user_id, DEPTH)
    return Answer(question, tuple(_entries(found, question.user_id)), seconds)


def _recall(client: Memstill, query: str, user_id: str, depth: int) -> Recall:
    """Memories alone: a procedure in the block would be taken for one of them."""
    return client.recall(
        query, user_id, max_memories=depth, max_tokens=MAX_TOKENS, tiers=["memories"]
    )


def _entries(found: Recall, user_id: str) -> Iterable[Entry]:
    items = split_block(found.block)
    if len(items) != len(found.memories):
        raise ConfigurationError(
            f"recall answered {len(found.memories)} memories in a block of {len(items)}: evaluate "
            "with the command of the server's own release"
        )
    for text, memory in zip(items, found.memories, strict=True):
        yield Entry(text, memory.source_message_ids, user_id, memory.session_id)


def split_block(block: str) -> list[str]:
    """The texts of a recall block, one for each memory, without its frame."""
    items: list[str] = []
    # The opening tag and the note stand above the items, the closing tag below them.
    for line in block.split("\n")[2:-1]:
        if line.startswith(_ITEM):
            items.append(line.removeprefix(_ITEM))
        elif items:
            items[-1] += f"\n{line}"
    return items


def await_index(
    client: Memstill, user_id: str, memories: Iterable[dict[str, Any]], deadline: float
) -> bool:
    """Wait until recall knows all current memories of a user; False if it does not in time.

    The index follows the truth within moments. Of users with more memories than one recall may
    answer, as many as it may is enough.

    Args:
        client: Asks for the user.
        user_id: Whose memories they are.
        memories: All of the user's, as the API tells them.
        deadline: On the monotonic clock.
    """
    wanted = {
        _said(memory["subject"], memory["statement"])
        for memory in memories
        if memory["state"] == "active" and memory["scope"] != "session"
    }
    while wanted and not _knows(client, user_id, wanted):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _knows(client: Memstill, user_id: str, wanted: set[tuple[str, str]]) -> bool:
    anything = next(iter(wanted))[1]
    found = _recall(client, anything, user_id, EVERYTHING)
    known = {_said(memory.subject, memory.statement) for memory in found.memories}
    return wanted <= known or len(found.memories) == EVERYTHING


def _said(subject: str, statement: str) -> tuple[str, str]:
    """What recall shows once, however often it is stored."""
    return (subject, statement_key(statement))
