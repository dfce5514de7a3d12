"""The moves of a generation's user: copying sessions, and trading places with what is live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ARRAY,
    UUID,
    and_,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.commit import waits_anew
from pipelines.adapters.postgres.due import mark_due
from pipelines.adapters.postgres.leases import OPEN_STATES
from pipelines.adapters.postgres.legal_holds import find_hold
from pipelines.adapters.postgres.pins import keep_decisions
from pipelines.adapters.postgres.tables import (
    event_snapshots,
    events,
    facts,
    generation_users,
    memories,
    memory_uses,
    outbox,
    owners,
    reviews,
    transcripts,
)
from pipelines.model import (
    FactId,
    FactOutcome,
    Lane,
    Owner,
    ReceiptId,
    TranscriptState,
)
from pipelines.ports import Moved
from pipelines.stages.generation import (
    BROUGHT,
    COPIED_STATES,
    Move,
    Side,
    Step,
    copied_fact_id,
    copied_receipt,
    generation_of,
    shadow_owner,
)

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Table

    from pipelines.ports import Generation, GenerationUser

# What belongs to a generation by its owner, evidence aside, which hangs on its memory.
_TRADED = (memories, memory_uses, facts, events, event_snapshots, reviews)


@dataclass(frozen=True, slots=True)
class _Places:
    """Whose what is: the live owner, and those of both sides."""

    generation: Generation
    live: Owner

    def of(self, side: Side) -> Owner:
        return shadow_owner(self.live, self.generation.id, side)


def make_move(connection: Connection, user: GenerationUser, move: Move, now: datetime) -> Moved:
    """Make a move if it is time for it; the user's row is locked by the caller."""
    generation = user.generation
    places = _Places(generation, Owner(generation.tenant_id, user.user_id))
    make, side = _MAKE[move]
    waiting = make(connection, places, side, now)
    return Moved(move, (places.live, *map(places.of, Side))) if waiting is None else waiting


def find_brought(connection: Connection, shadows: Collection[Owner]) -> set[Owner]:
    """Those of the shadow owners whose memories the index shall have under the live owner."""
    places = {owner: generation_of(owner) for owner in shadows}
    keys = [(found[0], owner.user_id) for owner, found in places.items() if found is not None]
    if not keys:
        return set()
    statement = select(generation_users).where(
        tuple_(generation_users.c.generation, generation_users.c.user_id).in_(keys),
        generation_users.c.step.in_([step.value for step in BROUGHT]),
    )
    steps = {
        (row["generation"], row["user_id"]): BROUGHT[Step(row["step"])]
        for row in connection.execute(statement).mappings()
    }
    return {
        owner
        for owner, found in places.items()
        if found is not None and steps.get((found[0], owner.user_id)) is found[1]
    }


# ---- copying ----------------------------------------------------------------------------------


_NAME_ORIGINALS = text(
    """
    UPDATE replies SET receipts = (
        SELECT array_agg(coalesce(copies.copy_of, named.receipt) ORDER BY named.place)
        FROM unnest(replies.receipts) WITH ORDINALITY AS named (receipt, place)
        LEFT JOIN transcripts AS copies
            ON copies.receipt = named.receipt AND copies.tenant_id = :shadow
    )
    WHERE tenant_id = :tenant AND user_id = :user AND receipts && ARRAY(
        SELECT receipt FROM transcripts WHERE tenant_id = :shadow AND user_id = :user
    )
    """
)

# Each move returns what it waits for if it is too early, or None when it is made.


def _copy(connection: Connection, places: _Places, side: Side, now: datetime) -> None:
    """The sessions to distill again become work; the facts of the others are taken over."""
    chosen = select(transcripts.c.receipt).where(
        _is_owned(transcripts, places.live),
        transcripts.c.ended_at >= places.generation.since,
        transcripts.c.state.in_(COPIED_STATES),
        transcripts.c.body.has_key("messages"),
    )
    found = connection.execute(chosen).scalars().all()
    receipts = {item: copied_receipt(places.generation.id, ReceiptId(item)) for item in found}
    fresh: dict[str, Any] = {
        "tenant_id": places.of(side).tenant_id,
        "state": TranscriptState.QUEUED.value,
        "attempts": 0,
        "deaths": 0,
        "fence": 0,
        "due_at": now,
        "turn_at": None,
        "received_at": now,
        "lane": Lane.BACKFILL.value,
        "alone": False,
        # It is read from the original: erased there, it is erased here.
        "body": {},
        **dict.fromkeys(("lease_until", "reason", "last_error", "batch", "finished_at")),
    }
    _copy_rows(connection, transcripts, receipts, fresh, origin="copy_of")
    _take_over(connection, places, side)
    mark_due(connection, places.of(side), now)


def find_unknown(
    connection: Connection, generation: Generation, user_id: str, side: Side
) -> set[ReceiptId]:
    """The transcripts whose live facts a side knows nothing of."""
    places = _Places(generation, Owner(generation.tenant_id, user_id))
    statement = select(facts.c.receipt).where(_is_unknown(places, side)).distinct()
    return set(map(ReceiptId, connection.execute(statement).scalars()))


def _is_unknown(places: _Places, side: Side) -> ColumnElement[bool]:
    """Whether a live fact belongs to a session that a side knows nothing of."""
    mine, copied = facts.alias(), transcripts.alias()
    is_known = exists().where(mine.c.receipt == facts.c.receipt, _is_owned(mine, places.of(side)))
    # A session that could not be distilled again keeps what was found in it before.
    is_distilled_again = exists().where(
        copied.c.copy_of == facts.c.receipt,
        _is_owned(copied, places.of(Side.NEXT)),
        copied.c.state != TranscriptState.DEAD.value,
    )
    return and_(_is_owned(facts, places.live), ~is_known, ~is_distilled_again)


def _take_over(connection: Connection, places: _Places, side: Side) -> int:
    """Copy the live facts of sessions that a side knows nothing of; returns how many."""
    found = connection.execute(select(facts.c.id).where(_is_unknown(places, side))).scalars().all()
    ids = {item: copied_fact_id(places.generation.id, side, FactId(item)) for item in found}
    fresh = {
        "tenant_id": places.of(side).tenant_id,
        "outcome": case(
            (facts.c.outcome == FactOutcome.REFUSED.value, facts.c.outcome),
            else_=FactOutcome.PENDING.value,
        ),
        "memory_id": None,
    }
    _copy_rows(connection, facts, ids, fresh)
    return len(ids)


def _copy_rows(
    connection: Connection,
    table: Table,
    ids: Mapping[Any, uuid.UUID],
    fresh: Mapping[str, Any],
    origin: str | None = None,
) -> None:
    """Copy rows under new keys with other values; ``origin`` then names the row copied."""
    if not ids:
        return
    (key,) = (column.name for column in table.primary_key)
    pairs = (
        func.unnest(cast(list(ids), ARRAY(UUID)), cast(list(ids.values()), ARRAY(UUID)))
        .table_valued("old", "new")
        .render_derived()
    )
    values = dict(fresh) | {key: pairs.c.new} | ({origin: pairs.c.old} if origin else {})
    source = select(
        *(
            _as_column(values[column.name], column) if column.name in values else column
            for column in table.c
        )
    ).join_from(table, pairs, table.c[key] == pairs.c.old)
    names = [column.name for column in table.c]
    connection.execute(insert(table).from_select(names, source))


def _as_column(value: Any, column: ColumnElement[Any]) -> ColumnElement[Any]:  # noqa: ANN401
    is_expression = hasattr(value, "label")
    return (value if is_expression else literal(value, column.type)).label(column.key)


# ---- trading places ---------------------------------------------------------------------------


def _bring(connection: Connection, places: _Places, side: Side, now: datetime) -> Moved | None:
    """Let the index have what shall become live, once all of it is there."""
    waiting = _settle(connection, places, side, now)
    if waiting is None:
        _fill_outbox(connection, [places.of(side)], now)
    return waiting


def _take_back(connection: Connection, places: _Places, side: Side, now: datetime) -> None:
    """Let the index have it as a shadow again."""
    _fill_outbox(connection, [places.of(side)], now)


def _trade(connection: Connection, places: _Places, side: Side, now: datetime) -> Moved | None:
    """One side becomes live, and what was live the other side."""
    incoming = places.of(side)
    outgoing = places.of(Side.PREVIOUS if side is Side.NEXT else Side.NEXT)
    waiting = _await(connection, places, side, now)
    if waiting is None:
        # Nobody commits to any of them meanwhile, and no lease taken before counts afterwards.
        _void_leases(connection, [places.live, incoming, outgoing], now)
        waiting = _await(connection, places, side, now)
    if waiting is None:
        keep_decisions(connection, places.live, incoming, now)
        for table in _TRADED:
            _hand_over(connection, table, places.live, outgoing)
            _hand_over(connection, table, incoming, places.live)
        _finish_transcripts(connection, places.live, now)
        _fill_outbox(connection, [places.live, outgoing], now)
    return waiting


def _await(connection: Connection, places: _Places, side: Side, now: datetime) -> Moved | None:
    """What a side still waits for until it can be live; None if nothing."""
    waiting = _settle(connection, places, side, now)
    if waiting is None and _exists(connection, outbox, places.of(side)):
        return Moved()
    return waiting


def _settle(connection: Connection, places: _Places, side: Side, now: datetime) -> Moved | None:
    """What a side still waits for until all of it is there; None if nothing."""
    owner = places.of(side)
    if _take_over(connection, places, side):
        mark_due(connection, owner, now)
        return Moved(due=(owner,))
    is_pending = facts.c.outcome == FactOutcome.PENDING.value
    is_open = transcripts.c.state.in_(OPEN_STATES)
    if _exists(connection, facts, owner, is_pending) or _exists(
        connection, transcripts, places.of(Side.NEXT), is_open
    ):
        return Moved()
    return None


def _void_leases(connection: Connection, moved: Collection[Owner], now: datetime) -> None:
    for owner in sorted(moved):
        mark_due(connection, owner, now)
        connection.execute(
            update(owners)
            .where(_is_owned(owners, owner))
            .values(fence=owners.c.fence + 1, lease_until=None)
        )


def _hand_over(connection: Connection, table: Table, giver: Owner, taker: Owner) -> None:
    connection.execute(
        update(table).where(_is_owned(table, giver)).values(tenant_id=taker.tenant_id)
    )


def _finish_transcripts(connection: Connection, owner: Owner, now: datetime) -> None:
    """What waited for facts that went to the other side waits for nothing any more."""
    is_pending = exists().where(
        facts.c.receipt == transcripts.c.receipt,
        _is_owned(facts, owner),
        facts.c.outcome == FactOutcome.PENDING.value,
    )
    connection.execute(
        update(transcripts)
        .where(
            _is_owned(transcripts, owner),
            transcripts.c.state == TranscriptState.DISTILLED.value,
            ~is_pending,
        )
        .values(state=TranscriptState.DONE.value, finished_at=now)
    )


def _drop(connection: Connection, places: _Places, side: Side, now: datetime) -> Moved | None:
    """Delete both sides; points of theirs leave the index with the outbox."""
    del side
    # What was live once is the user's own, and stays until they are let go.
    was_live = _exists(connection, events, places.of(Side.PREVIOUS))
    if was_live and find_hold(connection, places.live) is not None:
        return Moved()
    sides = [places.of(each) for each in Side]
    _fill_outbox(connection, sides, now)
    _name_originals(connection, places)
    # First what is leased: whoever commits at this moment is waited for, and then deleted too.
    for table in (transcripts, owners, *_TRADED):
        connection.execute(delete(table).where(or_(*(_is_owned(table, owner) for owner in sides))))
    connection.execute(
        delete(generation_users).where(
            generation_users.c.generation == places.generation.id,
            generation_users.c.user_id == places.live.user_id,
        )
    )
    return None


def _name_originals(connection: Connection, places: _Places) -> None:
    """Let replies that were paid for copies be found, and erased, by the transcripts themselves."""
    values = {
        "shadow": places.of(Side.NEXT).tenant_id,
        "tenant": places.live.tenant_id,
        "user": places.live.user_id,
    }
    connection.execute(_NAME_ORIGINALS, values)


def _fill_outbox(connection: Connection, moved: Collection[Owner], now: datetime) -> None:
    columns = ["memory_id", "tenant_id", "user_id", "enqueued_at", "due_at"]
    rows = select(
        memories.c.id, memories.c.tenant_id, memories.c.user_id, literal(now), literal(now)
    ).where(or_(*(_is_owned(memories, owner) for owner in moved)))
    statement = upsert(outbox).from_select(columns, rows.order_by(memories.c.id))
    renamed = {"tenant_id": statement.excluded.tenant_id}
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[outbox.c.memory_id], set_=renamed | waits_anew(statement)
        )
    )


def _exists(
    connection: Connection, table: Table, owner: Owner, *conditions: ColumnElement[bool]
) -> bool:
    found = select(exists().where(_is_owned(table, owner), *conditions))
    return bool(connection.execute(found).scalar_one())


def _is_owned(table: Any, owner: Owner) -> ColumnElement[bool]:  # noqa: ANN401 - or an alias of one
    return and_(table.c.tenant_id == owner.tenant_id, table.c.user_id == owner.user_id)


_MAKE: dict[Move, tuple[Callable[[Connection, _Places, Side, datetime], Moved | None], Side]] = {
    Move.COPY: (_copy, Side.NEXT),
    Move.BRING_NEXT: (_bring, Side.NEXT),
    Move.TAKE_NEXT_BACK: (_take_back, Side.NEXT),
    Move.SWITCH: (_trade, Side.NEXT),
    Move.BRING_PREVIOUS: (_bring, Side.PREVIOUS),
    Move.TAKE_PREVIOUS_BACK: (_take_back, Side.PREVIOUS),
    Move.SWITCH_BACK: (_trade, Side.PREVIOUS),
    Move.DROP: (_drop, Side.NEXT),
}
