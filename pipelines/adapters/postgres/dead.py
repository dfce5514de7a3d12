"""Dead letters: looked at, brought back, deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    any_,
    case,
    delete,
    exists,
    func,
    or_,
    select,
    tuple_,
    update,
)

from pipelines.adapters.postgres.leases import OPEN_STATES
from pipelines.adapters.postgres.legal_holds import is_free
from pipelines.adapters.postgres.line import give_turns
from pipelines.adapters.postgres.tables import (
    facts,
    generation_users,
    generations,
    replies,
    transcripts,
)
from pipelines.errors import NotFound
from pipelines.formats import UNREADABLE_BODY
from pipelines.model import Lane, Owner, ReceiptId, TranscriptState
from pipelines.ports import DeadFilter, DeadLetter, StoredReply
from pipelines.stages.generation import GenerationId, Goal, Side, Step, generation_of, shadow_owner

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from pipelines.adapters.postgres.database import Database
    from pipelines.ports.dead import Cursor

_is_dead = transcripts.c.state == TranscriptState.DEAD.value
_has_text = transcripts.c.body.has_key("messages")
# Everything but the text, which can be long.
_COLUMNS = [column for column in transcripts.c if column.name != "body"]


class PostgresDeadLetters:
    """``DeadLetters`` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_dead(
        self,
        tenant_id: str,
        wanted: DeadFilter,
        after: Cursor | None,
        limit: int,
        *,
        oldest_first: bool = False,
    ) -> list[DeadLetter]:
        fence = tenant_id if wanted.is_shadow is False else None
        with self._database.transaction(fence) as connection:
            tenants = _tenants(connection, tenant_id, wanted.is_shadow)
            statement = _letters().where(
                _is_dead, transcripts.c.tenant_id.in_(tenants), *_conditions(wanted)
            )
            if after is not None:
                statement = statement.where(_is_behind(after, oldest_first=oldest_first))
            order = [
                column.asc() if oldest_first else column.desc()
                for column in (transcripts.c.finished_at, transcripts.c.receipt)
            ]
            rows = connection.execute(statement.order_by(*order).limit(limit)).mappings()
            return [_read_letter(row) for row in rows]

    def load_dead(self, tenant_id: str, receipt: ReceiptId) -> DeadLetter:
        found = self.list_dead(tenant_id, DeadFilter((receipt,), is_shadow=None), None, 1)
        if not found:
            raise NotFound(f"no dead letter has the receipt {receipt}")
        return found[0]

    def load_payload(self, letter: DeadLetter) -> str | None:
        body = transcripts.c.body
        statement = select(body["unreadable"].as_string(), body["schema_version"]).where(
            transcripts.c.receipt == letter.receipt
        )
        with self._database.transaction(letter.owner.tenant_id) as connection:
            row = connection.execute(statement).one_or_none()
        if row is None or row[0] is None:
            return None
        UNREADABLE_BODY.check(row[1])
        payload: str = row[0]
        return payload

    def list_replies(self, letter: DeadLetter) -> list[StoredReply]:
        statement = (
            select(replies)
            .where(
                replies.c.receipts.contains([letter.receipt]),
                replies.c.tenant_id == letter.owner.live.tenant_id,
            )
            .order_by(replies.c.created_at, replies.c.request_hash)
        )
        with self._database.transaction(letter.owner.live.tenant_id) as connection:
            rows = connection.execute(statement).mappings().all()
        return [_read_reply(row) for row in rows]

    def requeue(
        self, letters: Sequence[DeadLetter], now: datetime, *, is_fresh: bool, is_dry: bool = False
    ) -> set[ReceiptId]:
        with self._database.transaction(_fence_of(letters)) as connection:
            rows = _lock_replayable(connection, letters)
            receipts = [row["receipt"] for row in rows]
            if receipts and not is_dry:
                if is_fresh:
                    _forget_replies(connection, letters, receipts, ~_is_awaited(receipts))
                _line_up(connection, rows, now)
        return set(map(ReceiptId, receipts))

    def drop(self, letters: Sequence[DeadLetter], *, is_dry: bool = False) -> set[ReceiptId]:
        copy = transcripts.alias()
        statement = (
            select(transcripts.c.receipt)
            .where(
                transcripts.c.receipt.in_([letter.receipt for letter in letters]),
                _is_dead,
                is_free(transcripts),
                transcripts.c.copy_of.is_(None),
                ~exists().where(copy.c.copy_of == transcripts.c.receipt),
                ~exists().where(facts.c.receipt == transcripts.c.receipt),
            )
            .with_for_update(skip_locked=True)
        )
        with self._database.transaction() as connection:
            receipts = connection.execute(statement).scalars().all()
            if receipts and not is_dry:
                # What was answered for several is of no use without one of them.
                _forget_replies(connection, letters, receipts)
                connection.execute(delete(transcripts).where(transcripts.c.receipt.in_(receipts)))
        return set(map(ReceiptId, receipts))

    def correct(self, letter: DeadLetter, reason: str) -> None:
        statement = (
            update(transcripts)
            .where(transcripts.c.receipt == letter.receipt, _is_dead)
            .values(reason=reason)
        )
        with self._database.transaction(letter.owner.tenant_id) as connection:
            connection.execute(statement)


def _fence_of(letters: Sequence[DeadLetter]) -> str | None:
    """The one tenant whose they are; a copy also touches what its original belongs to."""
    tenants = {letter.owner.tenant_id for letter in letters}
    is_own = len(tenants) == 1 and all(letter.copy_of is None for letter in letters)
    return tenants.pop() if is_own else None


# ---- finding ----------------------------------------------------------------------------------


def _letters() -> Any:  # noqa: ANN401 - a select of a row's columns has no useful type
    return select(*_COLUMNS, _has_text.label("has_text"))


def _tenants(connection: Connection, tenant_id: str, is_shadow: bool | None) -> list[str]:
    """The tenant, and the one under whose name its open generation distills."""
    if is_shadow is False:
        return [tenant_id]
    statement = select(generations.c.id).where(generations.c.tenant_id == tenant_id)
    keys = map(GenerationId, connection.execute(statement).scalars())
    owner = Owner.everyone(tenant_id)
    shadows = [shadow_owner(owner, key, Side.NEXT).tenant_id for key in keys]
    return shadows if is_shadow else [tenant_id, *shadows]


def _is_behind(after: Cursor, *, oldest_first: bool) -> ColumnElement[bool]:
    place = tuple_(transcripts.c.finished_at, transcripts.c.receipt)
    return place.__gt__(after) if oldest_first else place.__lt__(after)


def _conditions(wanted: DeadFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.receipts is not None:
        yield transcripts.c.receipt.in_(wanted.receipts)
    if wanted.reason is not None:
        yield _contains(transcripts.c.reason, wanted.reason)
    if wanted.error is not None:
        yield _contains(transcripts.c.last_error, wanted.error)
    if wanted.user_id is not None:
        yield transcripts.c.user_id == wanted.user_id
    if wanted.session_id is not None:
        yield transcripts.c.session_id == wanted.session_id
    if wanted.since is not None:
        yield transcripts.c.finished_at >= wanted.since
    if wanted.until is not None:
        yield transcripts.c.finished_at <= wanted.until


def _contains(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    return func.strpos(func.lower(column), text.lower()) > 0


def _read_letter(row: Mapping[Any, Any]) -> DeadLetter:
    return DeadLetter(
        receipt=ReceiptId(row["receipt"]),
        owner=Owner(row["tenant_id"], row["user_id"]),
        session_id=row["session_id"],
        lane=Lane(row["lane"]),
        reason=row["reason"] or "",
        last_error=row["last_error"],
        attempts=row["attempts"],
        deaths=row["deaths"],
        received_at=row["received_at"],
        died_at=row["finished_at"],
        # A copy is read from its original.
        is_readable=row["has_text"] or row["copy_of"] is not None,
        copy_of=ReceiptId(row["copy_of"]) if row["copy_of"] else None,
    )


def _read_reply(row: Mapping[Any, Any]) -> StoredReply:
    return StoredReply(
        row["purpose"],
        row["model"],
        row["text"],
        row["created_at"],
        tuple(map(ReceiptId, row["receipts"])),
    )


# ---- bringing back ----------------------------------------------------------------------------


def _lock_replayable(connection: Connection, letters: Sequence[DeadLetter]) -> list[dict[str, Any]]:
    own = [letter.receipt for letter in letters if letter.copy_of is None]
    copies = _lock_copies(connection, [it for it in letters if it.copy_of is not None])
    statement = (
        select(transcripts.c.receipt, transcripts.c.tenant_id, transcripts.c.user_id)
        .where(
            _is_dead,
            or_(
                and_(transcripts.c.receipt.in_(own), _has_text),
                transcripts.c.receipt.in_(copies),
            ),
        )
        .order_by(transcripts.c.finished_at, transcripts.c.receipt)
        # Whoever does the same at this moment is not waited for.
        .with_for_update(skip_locked=True)
    )
    return [dict(row) for row in connection.execute(statement).mappings()]


def _lock_copies(connection: Connection, letters: Sequence[DeadLetter]) -> list[ReceiptId]:
    """Copies whose user still stands where sessions are distilled again; kept there meanwhile.

    Once a generation was to take its place, it took over what was found in the session before.
    """
    found = []
    for owner in sorted({letter.owner for letter in letters}):
        if _lock_user(connection, owner):
            mine = {it.receipt: it.copy_of for it in letters if it.owner == owner}
            found += _select_missed(connection, owner, mine)
    return found


def _lock_user(connection: Connection, owner: Owner) -> bool:
    place = generation_of(owner)
    if place is None:
        return False
    statement = (
        select(generation_users.c.step)
        .join(generations, generations.c.id == generation_users.c.generation)
        .where(
            generations.c.id == place[0],
            generations.c.goal != Goal.DROPPED.value,
            generation_users.c.user_id == owner.user_id,
            generation_users.c.step == Step.SHADOW.value,
        )
        .with_for_update(of=generation_users, skip_locked=True)
    )
    return connection.execute(statement).one_or_none() is not None


def _select_missed(
    connection: Connection, owner: Owner, copies: Mapping[ReceiptId, ReceiptId | None]
) -> list[ReceiptId]:
    """Copies that still have a text, and of whose session the generation knows nothing."""
    original = transcripts.alias()
    is_known = exists().where(
        facts.c.receipt == original.c.receipt,
        facts.c.tenant_id == owner.tenant_id,
        facts.c.user_id == owner.user_id,
    )
    statement = select(original.c.receipt).where(
        original.c.receipt.in_([key for key in copies.values() if key is not None]),
        original.c.body.has_key("messages"),
        ~is_known,
    )
    there = set(connection.execute(statement).scalars())
    return [copy for copy, origin in copies.items() if origin in there]


def _line_up(connection: Connection, rows: list[dict[str, Any]], now: datetime) -> None:
    for row in rows:
        row["due_at"] = now
    give_turns(connection, rows, now)
    turns = {row["receipt"]: row["turn_at"] for row in rows}
    connection.execute(
        update(transcripts)
        .where(transcripts.c.receipt.in_(turns))
        .values(
            state=TranscriptState.QUEUED.value,
            attempts=0,
            deaths=0,
            reason=None,
            due_at=now,
            turn_at=case(turns, value=transcripts.c.receipt),
            lease_until=None,
            finished_at=None,
        )
    )


# ---- what was answered ------------------------------------------------------------------------


def _forget_replies(
    connection: Connection,
    letters: Sequence[DeadLetter],
    receipts: Sequence[Any],
    *conditions: ColumnElement[bool],
) -> None:
    connection.execute(
        delete(replies).where(
            replies.c.receipts.overlap(list(receipts)),
            replies.c.tenant_id == letters[0].owner.live.tenant_id,
            *conditions,
        )
    )


def _is_awaited(receipts: Sequence[Any]) -> ColumnElement[bool]:
    """Whether somebody else goes on from this reply."""
    other = transcripts.alias()
    return exists().where(
        other.c.receipt == any_(replies.c.receipts),
        other.c.receipt.not_in(receipts),
        other.c.state.in_(OPEN_STATES),
    )
