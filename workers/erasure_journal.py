"""The journal of erasures as a file: JSON without a name of a user."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from pipelines.errors import InputError
from pipelines.ports import Erasure, ErasureId, ErasureState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


class _ErasureSchema(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, from_attributes=True)

    id: UUID
    tenant_id: str
    subject_key: str = Field(pattern=r"^[0-9a-f]{64}$")
    state: ErasureState
    requested_at: AwareDatetime
    requested_by: str
    mark_at: AwareDatetime
    purged_at: AwareDatetime | None
    verified_at: AwareDatetime | None
    removed: dict[str, int]
    found: dict[str, int]


class _JournalSchema(BaseModel):
    """Version 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["memstill-erasures"] = "memstill-erasures"
    schema_version: Literal[1] = 1
    erasures: tuple[_ErasureSchema, ...]


def write_journal(path: Path, erasures: Iterable[Erasure]) -> None:
    """Write them in one step: the file is the one before, or whole.

    Raises:
        OSError: It cannot be written.
    """
    journal = _JournalSchema(erasures=tuple(map(_ErasureSchema.model_validate, erasures)))
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(journal.model_dump_json(indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def read_journal(path: Path) -> Sequence[Erasure]:
    """Read what ``write_journal`` wrote.

    Raises:
        InputError: It is no journal, is cut off, or of another version.
        OSError: It cannot be read.
    """
    try:
        found = _JournalSchema.model_validate_json(path.read_bytes())
    except ValidationError:
        raise InputError(
            str(path),
            "is no journal of erasures, or is cut off; `memstill erasures export` writes one",
        ) from None
    return [
        Erasure(
            **dict(item) | {"id": ErasureId(item.id), "subject": None, "due_at": None},
        )
        for item in found.erasures
    ]
