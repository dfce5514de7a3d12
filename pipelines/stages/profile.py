"""What an application knows of a user by its own means: how it is changed, and how it is told."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pipelines.errors import InputError
from pipelines.model import Evidence, Kind, Memory, MemoryId, ReceiptId, Role, Scope
from pipelines.stages.redaction.redact import redact

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pipelines.model import Owner, Vector

MAX_KEYS = 200
MAX_KEY_CHARS = 200
MAX_BYTES = 64 * 1024
# More of a value is found in the profile, and not told.
LONGEST_TOLD = 1_000
SPEAKER = "profile"


class Section(StrEnum):
    """The parts of a profile."""

    PREFERENCES = "preferences"
    LEARNED = "learned"


@dataclass(frozen=True, slots=True)
class ProfileEntry:
    """One key of a profile.

    Attributes:
        id: Of its point in the index, where it stands among memories.
        version: Of this value; higher than that of any value before.
    """

    id: MemoryId
    owner: Owner
    section: Section
    key: str
    value: Any
    version: int
    changed_at: datetime

    @property
    def statement(self) -> str:
        """What is told and embedded of it, without secrets."""
        return redact(f"{self.label}: {_told(self.value)}").text[:LONGEST_TOLD]

    @property
    def label(self) -> str:
        """What it is about, in words."""
        return f"User's {' '.join(self.key.replace('_', ' ').replace('-', ' ').split())}"

    def as_memory(self, vector: Vector) -> Memory:
        """As recall ranks and tells it: traceable to its key in the profile."""
        told = Evidence(
            transcript_id=ReceiptId(self.id),
            session_id=SPEAKER,
            message_id=f"{self.section.value}.{self.key}",
            message_index=0,
            role=Role.SYSTEM,
            speaker=SPEAKER,
            quote=redact(_told(self.value)).text[:LONGEST_TOLD],
            said_at=self.changed_at,
            event_at=self.changed_at,
        )
        return Memory(
            id=self.id,
            owner=self.owner,
            scope=Scope.USER,
            session_id=SPEAKER,
            statement=self.statement,
            subject="User",
            kind=Kind.PROFILE,
            importance=0.5,
            valid_from=self.changed_at,
            confirmed_at=self.changed_at,
            evidence=(told,),
            vector=vector,
            distilled_by=SPEAKER,
            version=self.version,
        )


def merge_patch(target: Any, patch: Any) -> Any:  # noqa: ANN401 - JSON
    """The target as a JSON merge patch (RFC 7396) leaves it: null takes a key away."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def is_same(
    one: Mapping[Section, Mapping[str, Any]], other: Mapping[Section, Mapping[str, Any]]
) -> bool:
    """Whether two profiles are the same JSON; for Python 1 and true are equal."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def check_profile(sections: Mapping[Section, Mapping[str, Any]]) -> None:
    """Make sure that it is no more than a profile.

    Raises:
        InputError: It has too many keys, or is too large.
    """
    for section, body in sections.items():
        if len(body) > MAX_KEYS:
            raise InputError(
                section.value, f"would have more than {MAX_KEYS} keys; take some away with null"
            )
        for key in body:
            if not key.strip() or len(key) > MAX_KEY_CHARS:
                raise InputError(
                    section.value, f"has a key that is blank or longer than {MAX_KEY_CHARS} signs"
                )
    size = len(json.dumps({section.value: dict(body) for section, body in sections.items()}))
    if size > MAX_BYTES:
        raise InputError(
            Section.PREFERENCES.value,
            f"and learned would have {size:,} bytes together, more than {MAX_BYTES:,}; keep less",
        )


def _told(value: Any) -> str:  # noqa: ANN401 - JSON
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False)
