"""Exports: memories page by page from the API into a file or onto the screen."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import TextIO

    from memstill_client import Memstill


class Format(StrEnum):
    """How an export is written."""

    JSONL = "jsonl"
    JSON = "json"


def run(client: Memstill, user_id: str | None, form: Format, output: Path | None) -> int:
    """Write all memories of the tenant, or of one user; returns how many."""
    with _open(output) as target:
        records = (export_record(memory) for memory in client.memories(user_id))
        return (
            _write_lines(records, target) if form is Format.JSONL else _write_list(records, target)
        )


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


def _write_list(records: Iterable[dict[str, Any]], target: TextIO) -> int:
    everything = list(records)
    json.dump(everything, target, ensure_ascii=False, indent=2)
    target.write("\n")
    return len(everything)
