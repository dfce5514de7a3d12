"""Importing a file over the API: exactly from a document, as the user's word from MEMORY.md."""

from __future__ import annotations

import hashlib
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pipelines.errors import InputError
from pipelines.model import MemoryState, Scope
from pipelines.stages.dedup import statement_key
from pipelines.stages.offline.own_words import in_own_words
from workers.exchanges.document import read_document
from workers.exchanges.files import find_file, parse_json, parse_yaml, read_text
from workers.exchanges.markdown import read_memory, speaker_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from memstill_client import Memstill
    from workers.exchanges.document import Document, MemoryTold
    from workers.exchanges.markdown import Line
    from workers.schemas.exchange import SessionCarried

SESSIONS_AT_ONCE = 100
FACTS_AT_ONCE = 2_000
MARKS_AT_ONCE = 2_000
POLL_SECONDS = 0.3
PATIENCE_SECONDS = 600.0
USER = "User"
# What is parked or in a batch goes on by itself, in hours.
ENDED = ("done", "dead", "parked", "batched")


@dataclass(slots=True)
class Import:
    """What an import did, or would do.

    Attributes:
        counts: By what happened; only what happened at all.
        notes: What is otherwise than in the file, or was left out, and why.
    """

    is_dry: bool
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Options:
    """How to import.

    Attributes:
        user_id: As whose; None leaves each user's to them.
        wait: Until all is consolidated; what was pinned or evicted is so only then.
    """

    user_id: str | None = None
    dry_run: bool = False
    wait: bool = True


def run(client: Memstill, path: Path, options: Options) -> Import:
    """Import a file, or the ``MEMORY.md`` of a folder.

    Raises:
        InputError: Something in it cannot be imported; the line or field is named.
    """
    file, form = find_file(path)
    text = read_text(file, form)
    result = Import(options.dry_run)
    if form == "md":
        _import_lines(client, text, file.name, options, result)
    else:
        parse = parse_json if form == "json" else parse_yaml
        _import_document(client, read_document(parse(text, file.name)), options, result)
    return result


# ---- a document ----------------------------------------------------------------------------------


def _import_document(
    client: Memstill, document: Document, options: Options, result: Import
) -> None:
    by_user: defaultdict[str, list[SessionCarried]] = defaultdict(list)
    for session in document.sessions:
        by_user[session.user_id].append(session)
    if options.user_id is not None and len(by_user) > 1:
        raise InputError(
            "--user",
            f"names one user, and the file holds {len(by_user)}: leave it out, or export one",
        )
    for user, sessions in sorted(by_user.items()):
        target = options.user_id or user
        verdicts = [
            item.model_dump(mode="json", exclude={"user_id"})
            for item in document.verdicts
            if item.user_id == user
        ]
        _send(client, target, sessions, verdicts, result)
        if options.wait and not options.dry_run:
            mine = [item for item in document.memories if item.user_id == user]
            _settle(client, target, sessions, mine, result)
    if not (options.wait or options.dry_run):
        result.notes.append("import it again to pin and evict what was so, and to compare it")
    everyones = sum(item.scope == Scope.GLOBAL.value for item in document.memories)
    if everyones:
        result.notes.append(
            f"{everyones} memories are everyone's and were left out: "
            "`memstill promote` proposes them again"
        )


def _send(
    client: Memstill,
    user: str,
    sessions: Sequence[SessionCarried],
    verdicts: list[dict[str, Any]],
    result: Import,
) -> None:
    for chunk in _chunks(sessions):
        done = client.import_sessions(user, chunk, verdicts, dry_run=result.is_dry)
        verdicts = []
        result.counts.update(
            {
                "sessions that are new": done.sessions,
                "facts that are new": done.facts,
                "facts that were known": done.known,
                "facts that wait to be distilled there": done.open,
                "texts redacted": done.redacted,
            }
        )


def _chunks(sessions: Sequence[SessionCarried]) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    facts = 0
    for session in sorted(sessions, key=lambda item: item.started_at):
        if chunk and (len(chunk) == SESSIONS_AT_ONCE or facts + len(session.facts) > FACTS_AT_ONCE):
            yield chunk
            chunk, facts = [], 0
        chunk.append(session.model_dump(mode="json"))
        facts += len(session.facts)
    if chunk:
        yield chunk


def _settle(
    client: Memstill,
    user: str,
    sessions: Sequence[SessionCarried],
    told: Sequence[MemoryTold],
    result: Import,
) -> None:
    """Wait until all is consolidated, mark it, and compare it with the file."""
    marks = list(_marks(sessions, {item.id: item for item in told}))
    homes: defaultdict[str, set[str]] = defaultdict(set)
    for start in range(0, len(marks), MARKS_AT_ONCE):
        chunk = marks[start : start + MARKS_AT_ONCE]
        names = {_name(mark): memory for mark, memory in chunk}
        placed = _wait(client, user, [mark for mark, _ in chunk])
        result.counts.update({"memories pinned": placed.pinned, "memories evicted": placed.evicted})
        for item in placed.facts:
            homes[names[_name(item)]].add(str(item["memory"]))
    _compare(client, user, told, homes, result)


def _marks(
    sessions: Iterable[SessionCarried], told: dict[str, MemoryTold]
) -> Iterator[tuple[dict[str, Any], str]]:
    """Each fact with the marks of its memory, beside that memory's id."""
    for session in sessions:
        for fact in session.facts:
            memory = told.get(str(fact.memory))
            if memory is not None:
                yield (
                    {
                        "tenant_id": session.tenant_id,
                        "user_id": session.user_id,
                        "idempotency_key": session.idempotency_key,
                        "ordinal": fact.ordinal,
                        "pinned": memory.pinned,
                        "evicted": memory.evicted_at is not None,
                    },
                    memory.id,
                )


def _name(fact: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(fact[name] for name in ("tenant_id", "user_id", "idempotency_key", "ordinal"))


def _wait(client: Memstill, user: str, marks: list[dict[str, Any]]) -> Any:  # noqa: ANN401
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        placed = client.settle_import(user, marks)
        if not placed.waiting:
            return placed
        if time.monotonic() > until:
            raise InputError(
                "import",
                f"{placed.waiting} facts are stored and still wait to be consolidated: see "
                "`memstill health`, and import again later to pin and evict what was so",
            )
        time.sleep(POLL_SECONDS)


def _compare(
    client: Memstill,
    user: str,
    told: Sequence[MemoryTold],
    homes: dict[str, set[str]],
    result: Import,
) -> None:
    """Whether each memory is as the file tells it; merged with what was known it is not."""
    there = {memory["id"]: memory for memory in client.memories(user)}
    differ: Counter[str] = Counter()
    for memory in told:
        if memory.state is MemoryState.MERGED or memory.scope == Scope.GLOBAL.value:
            continue
        found = [there[key] for key in homes.get(memory.id, ()) if key in there]
        is_same = len(found) == 1 and _is_alike(memory, found[0])
        differ["memories as in the file" if is_same else "differ"] += 1
    result.counts["memories as in the file"] += differ["memories as in the file"]
    if differ["differ"]:
        result.notes.append(
            f"{differ['differ']} memories of {user} are not as in the file: they were merged with "
            "what was known there, or their text is not there"
        )


def _is_alike(memory: MemoryTold, found: dict[str, Any]) -> bool:
    dates = [
        value and datetime.fromisoformat(value)
        for value in (found["valid_from"], found["valid_to"])
    ]
    return [memory.state.value, memory.valid_from, memory.valid_to] == [
        found["state"],
        *dates,
    ] and statement_key(memory.statement) == statement_key(found["statement"])


# ---- MEMORY.md -----------------------------------------------------------------------------------


def _import_lines(client: Memstill, text: str, name: str, options: Options, result: Import) -> None:
    head, lines = read_memory(text, name)
    user = options.user_id or (head.user_id if head else None)
    if user is None:
        raise InputError("--user", "is missing, and the file does not say whose memory it is")
    known = {memory["id"]: memory for memory in client.memories(user)}
    said = {statement_key(memory["statement"]) for memory in known.values()}
    transcripts = []
    for line in lines:
        memory = known.get(str(line.id))
        is_same = memory is not None and _key(line) == statement_key(memory["statement"])
        if memory is not None and is_same:
            result.counts["lines unchanged"] += 1
            _pin(client, line, memory, result)
        elif memory is None and _key(line) in said:
            result.counts["lines that were known"] += 1
        else:
            result.counts["lines that are new" if memory is None else "lines edited"] += 1
            transcripts.append(_transcript(user, line, memory))
    result.notes.append("a line that was deleted forgets nothing: `memstill erase` does")
    if transcripts and not options.dry_run:
        _push(client, transcripts, options, result)


def _key(line: Line) -> str:
    return statement_key(line.statement)


def _pin(client: Memstill, line: Line, memory: dict[str, Any], result: Import) -> None:
    if line.pinned is memory["pinned"]:
        return
    result.counts["memories pinned" if line.pinned else "memories unpinned"] += 1
    if not result.is_dry:
        (client.pin if line.pinned else client.unpin)(memory["id"])


def _transcript(user: str, line: Line, memory: dict[str, Any] | None) -> dict[str, Any]:
    """A session of one message: the line as its user says it.

    A line that was edited is said when it is imported; such a time is not part of what is said, so
    that the same line is the same session again.
    """
    speaker = line.by or (speaker_of(memory) if memory else None)
    message: dict[str, Any] = {
        "role": "user",
        "content": in_own_words(line.statement, speaker or USER),
    }
    if speaker is not None:
        message["name"] = speaker
    if memory is None and line.since is not None:
        # Lines of one day keep their order.
        day = datetime(line.since.year, line.since.month, line.since.day, tzinfo=UTC)
        message["created_at"] = (day + timedelta(seconds=line.number)).isoformat()
    origin = str(line.id or hashlib.sha256(_key(line).encode()).hexdigest()[:32])
    return {
        "schema_version": 1,
        "user_id": user,
        "session_id": f"MEMORY.md {origin}",
        "agent_id": "import",
        "messages": [message],
    }


def _push(
    client: Memstill, transcripts: list[dict[str, Any]], options: Options, result: Import
) -> None:
    receipts = client.enqueue_many(transcripts, lane="interactive")
    result.counts["sessions pushed before"] = sum(bool(item.is_duplicate) for item in receipts)
    if not options.wait:
        return
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        states = client.states(receipts)
        ended = sum(states.get(name, 0) for name in ENDED)
        if ended == sum(states.values()) or time.monotonic() > until:
            break
        time.sleep(POLL_SECONDS)
    for state, count in sorted(states.items()):
        result.counts[f"lines {state}"] = count
    refused = sum(not client.status(receipt).facts for receipt in receipts[:200])
    if refused:
        result.notes.append(
            f"the distiller made nothing of {refused} lines: say them as the user would"
        )
