"""An export as one document: all that is known of a tenant's users, or of one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from memstill_client.wire import Id, Time  # noqa: TC001 - pydantic reads them
from pipelines.errors import InputError
from pipelines.formats import EXPORT
from pipelines.model import MemoryState  # noqa: TC001
from workers.schemas.exchange import SessionCarried, VerdictCarried

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic_core import ErrorDetails

NAME = "memstill export"


class MemoryTold(BaseModel):
    """A memory as an export tells it; what an import does not need of it is passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: Id
    user_id: str
    statement: str
    state: MemoryState
    valid_from: Time
    valid_to: Time | None = None
    scope: str = "user"
    pinned: bool = False
    evicted_at: Time | None = None


class UserVerdict(VerdictCarried):
    """A verdict, and whose statements it is about."""

    user_id: Id


class Document(BaseModel):
    """All that is known of some users."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    schema_version: Literal[1]
    format: Literal["memstill export"]
    tenant_id: Id
    exported_at: Time
    memories: list[MemoryTold]
    sessions: list[SessionCarried]
    verdicts: Annotated[list[UserVerdict], Field(default_factory=list)]


def make_document(
    tenant_id: str,
    exported_at: str,
    memories: Iterable[dict[str, Any]],
    sessions: Iterable[dict[str, Any]],
    verdicts: Iterable[dict[str, Any]],
) -> dict[str, Any]:
    """The document as plain JSON."""
    return {
        "schema_version": EXPORT.version,
        "format": NAME,
        "tenant_id": tenant_id,
        "exported_at": exported_at,
        "memories": list(memories),
        "sessions": list(sessions),
        "verdicts": list(verdicts),
    }


def read_document(value: object) -> Document:
    """Check what a file holds.

    Raises:
        InputError: It is no export, or a newer one, or somebody broke it: the field is named.
    """
    if not isinstance(value, dict) or value.get("format") != NAME:
        raise InputError("format", f"must be {NAME!r}: write one with `memstill export`")
    version = value.get("schema_version")
    if version != EXPORT.version:
        raise InputError(
            "schema_version",
            f"is {version!r}, and this release reads {EXPORT.version}: import it with the release "
            "that exported it, or a newer one",
        )
    try:
        return Document.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InputError(_path(first), f"{first['msg']}; export it again or correct it") from None


def _path(problem: ErrorDetails) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]]
    return "".join(parts).removeprefix(".") or "file"
