"""Exports: what is known, page by page from the API, into a file or onto the screen."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from memstill_client.wire import DEFAULT_TENANT
from pipelines.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import TextIO

    from memstill_client import Memstill

DAYS = "memory"


class Format(StrEnum):
    """How an export is written."""

    JSONL = "jsonl"
    JSON = "json"
    YAML = "yaml"
    MARKDOWN = "md"


# What the format cannot hold; whoever exports is told.
LEFT_OUT = {
    Format.JSONL: "for reading: without its sessions it cannot be imported",
    Format.JSON: (
        "not held: how often a memory was used, its version and its log, and what had been merged "
        "into another, which says it"
    ),
    Format.MARKDOWN: (
        "not held: slots, values, importance, times of day, verdicts; nor what is evicted, merged "
        "or everyone's"
    ),
}
LEFT_OUT[Format.YAML] = LEFT_OUT[Format.JSON]


def run(client: Memstill, user_id: str | None, form: Format, output: Path | None) -> int:
    """Write all memories of the tenant, or of one user; returns how many."""
    if form is Format.MARKDOWN:
        return _write_markdown(client, user_id, output)
    with _open(output) as target:
        if form is Format.JSONL:
            return _write_lines(map(export_record, client.memories(user_id)), target)
        return _write_document(client, user_id, form, target)


def export_record(memory: dict[str, Any]) -> dict[str, Any]:
    """A memory as one flat record, under the names that evaluation tools read."""
    return {
        "id": memory["id"],
        "text": memory["statement"],
        "tenant_id": memory["tenant_id"],
        "user_id": memory["user_id"],
        "session_id": memory["session_id"],
        "source_turn_ids": memory["source_message_ids"],
        **{
            name: memory[name]
            for name in (
                "subject",
                "kind",
                "scope",
                "state",
                "attribute",
                "value",
                "importance",
                "valid_from",
                "valid_to",
                "confirmed_at",
                "superseded_by",
                "version",
                "distilled_by",
                "evidence",
            )
        },
    }


@contextmanager
def _open(output: Path | None) -> Iterator[TextIO]:
    if output is None:
        yield sys.stdout
        return
    # A reader never sees half an export.
    draft = output.with_name(f"{output.name}.part")
    with draft.open("w", encoding="utf-8") as target:
        yield target
    draft.replace(output)


def _write_lines(records: Iterable[dict[str, Any]], target: TextIO) -> int:
    count = 0
    for record in records:
        target.write(json.dumps(record, ensure_ascii=False) + "\n")
        count += 1
    return count


def _write_document(client: Memstill, user_id: str | None, form: Format, target: TextIO) -> int:
    # What writes documents starts slowly, and no other command waits for it.
    from workers.exchanges.document import make_document
    from workers.exchanges.files import dump_yaml

    memories = list(client.memories(user_id))
    sessions = list(client.sessions(user_id))
    users = sorted({session["user_id"] for session in sessions})
    verdicts = (verdict | {"user_id": user} for user in users for verdict in client.verdicts(user))
    tenant_id = next((item["tenant_id"] for item in (*memories, *sessions)), DEFAULT_TENANT)
    document = make_document(tenant_id, _now(), memories, sessions, verdicts)
    if form is Format.YAML:
        target.writelines(dump_yaml(document))
    else:
        json.dump(document, target, ensure_ascii=False, indent=2)
        target.write("\n")
    return len(memories)


def _write_markdown(client: Memstill, user_id: str | None, output: Path | None) -> int:
    """One user's; with a folder also what was learned on each day."""
    from workers.exchanges.files import MARKDOWN
    from workers.exchanges.markdown import Head, is_shown, render_days, render_memory

    if user_id is None:
        raise InputError("--user", "is missing: MEMORY.md is about one user")
    memories = [memory for memory in client.memories(user_id) if is_shown(memory)]
    tenant_id = memories[0]["tenant_id"] if memories else DEFAULT_TENANT
    text = render_memory(Head(tenant_id, user_id), _now(), memories)
    if output is None:
        sys.stdout.write(text)
        return len(memories)
    days = output / DAYS
    days.mkdir(parents=True, exist_ok=True)
    for file, content in (
        (output / MARKDOWN, text),
        *((days / f"{day}.md", learned) for day, learned in render_days(memories).items()),
    ):
        with _open(file) as target:
            target.write(content)
    return len(memories)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
