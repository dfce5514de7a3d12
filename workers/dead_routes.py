"""Routes about dead letters: list them, look at one, replay them, drop them."""

from __future__ import annotations

from datetime import datetime, time
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query
from pydantic import BaseModel, ConfigDict, Field

from pipelines.errors import InputError
from pipelines.ports import DeadFilter
from workers.callers import TenantAdmin, read_id
from workers.moments import read_moment

if TYPE_CHECKING:
    from pipelines.flows.dead import Autopsy, Handled
    from pipelines.ports import DeadLetter
    from pipelines.ports.dead import Cursor
    from workers.container import Container

MAX_PAGE = 1_000
MAX_RECEIPTS = 10_000
CURSOR = "after"


class DeadQuery(BaseModel):
    """Which dead letters are meant: those that fit everything that is named."""

    model_config = ConfigDict(extra="forbid")

    reason: str | None = Field(default=None, description="Contained in the reason.")
    error: str | None = Field(default=None, description="Contained in the last error.")
    user_id: str | None = None
    session_id: str | None = None
    since: str | None = Field(default=None, description="Died then or later: a date, or a time.")
    until: str | None = Field(default=None, description="Died then or before.")
    is_shadow: bool = Field(
        default=False, description="Sessions that the open generation could not distill again."
    )
    after: str | None = Field(default=None, description="`next` of the answer before this one.")


class DeadListQuery(DeadQuery):
    """What ``GET /v1/dead`` takes."""

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 200


class DropBody(DeadQuery):
    """What ``POST /v1/dead:drop`` takes: receipts, or a filter with ``all``."""

    receipts: list[str] | None = Field(default=None, max_length=MAX_RECEIPTS)
    all: bool = False
    dry_run: bool = False


class ReplayBody(DropBody):
    """What ``POST /v1/dead:replay`` takes; ``fresh`` has the model asked again."""

    fresh: bool = False


def add_dead_routes(api: FastAPI, container: Container) -> None:
    """Add them to the application."""
    office = container.dead

    @api.get("/v1/dead")
    def dead(caller: TenantAdmin, query: Annotated[DeadListQuery, Query()]) -> dict[str, Any]:
        page = office.dead.list_dead(
            caller.tenant_id, _read_filter(query), _read_cursor(query.after), query.limit
        )
        more = _write_cursor(page[-1].cursor) if len(page) == query.limit else None
        return {"dead": [letter_view(letter) for letter in page], "next": more}

    @api.get("/v1/dead/{receipt}")
    def show(receipt: str, caller: TenantAdmin) -> dict[str, Any]:
        return autopsy_view(office.show(caller.tenant_id, read_id(receipt)))

    @api.post("/v1/dead:replay")
    def replay(body: ReplayBody, caller: TenantAdmin) -> dict[str, Any]:
        handled = office.replay(
            caller.tenant_id,
            _read_order(body),
            _read_cursor(body.after),
            is_fresh=body.fresh,
            is_dry=body.dry_run,
        )
        return handled_view(handled)

    @api.post("/v1/dead:drop")
    def drop(body: DropBody, caller: TenantAdmin) -> dict[str, Any]:
        handled = office.drop(
            caller.tenant_id, _read_order(body), _read_cursor(body.after), is_dry=body.dry_run
        )
        return handled_view(handled)


def letter_view(letter: DeadLetter) -> dict[str, Any]:
    """A dead letter as its tenant sees it."""
    return {
        "receipt": str(letter.receipt),
        "user_id": letter.owner.user_id,
        "session_id": letter.session_id,
        "lane": letter.lane.value,
        "reason": letter.reason,
        "last_error": letter.last_error,
        "attempts": letter.attempts,
        "deaths": letter.deaths,
        "received_at": letter.received_at,
        "died_at": letter.died_at,
        "is_readable": letter.is_readable,
        "copy_of": str(letter.copy_of) if letter.copy_of else None,
    }


def autopsy_view(found: Autopsy) -> dict[str, Any]:
    """A dead letter with what the model said, and what could not be read."""
    return letter_view(found.letter) | {
        "payload": found.payload,
        "replies": [
            {
                "purpose": reply.purpose,
                "model": reply.model,
                "created_at": reply.created_at,
                "receipts": [str(receipt) for receipt in reply.receipts],
                "text": reply.text,
            }
            for reply in found.replies
        ],
    }


def handled_view(handled: Handled) -> dict[str, Any]:
    """What became of those that were meant; ``next`` and ``until`` ask for the rest."""
    return {
        "done": handled.done,
        "kept": {name: count for name, count in handled.kept.items() if count},
        "others": dict(handled.others),
        "next": None if handled.after is None else _write_cursor(handled.after),
        "until": handled.until,
    }


def _read_order(body: DropBody) -> DeadFilter:
    wanted = _read_filter(body)
    if (body.receipts is None) is not body.all:
        raise InputError("receipts", "name receipts, or send all for whatever fits the filter")
    if body.receipts is None:
        return wanted
    if wanted != DeadFilter(is_shadow=body.is_shadow, until=wanted.until):
        raise InputError("receipts", "take no filter beside them; send all with a filter instead")
    receipts = tuple(read_id(receipt, "receipts") for receipt in body.receipts)
    return DeadFilter(receipts, until=wanted.until, is_shadow=None)


def _read_filter(query: DeadQuery) -> DeadFilter:
    return DeadFilter(
        reason=query.reason or None,
        error=query.error or None,
        user_id=query.user_id,
        session_id=query.session_id,
        since=read_moment(query.since, "since", of_day=time.min) if query.since else None,
        until=read_moment(query.until, "until") if query.until else None,
        is_shadow=query.is_shadow,
    )


def _write_cursor(cursor: Cursor) -> str:
    died_at, receipt = cursor
    return f"{died_at.isoformat()}~{receipt}"


def _read_cursor(text: str | None) -> Cursor | None:
    if text is None:
        return None
    moment, _, receipt = text.partition("~")
    try:
        died_at = datetime.fromisoformat(moment)
    except ValueError:
        raise InputError(CURSOR, "is no cursor; send `next` as it was answered") from None
    if died_at.tzinfo is None:
        raise InputError(CURSOR, "is no cursor; send `next` as it was answered")
    return died_at, read_id(receipt, CURSOR)
