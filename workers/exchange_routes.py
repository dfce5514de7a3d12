"""Routes that carry what is known of a user to another place, and take it in there."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Query

from memstill_client.errors import InvalidTranscript
from memstill_client.times import EARLIEST, known_time_zone, utc_time
from memstill_client.wire import MAX_FUTURE, MAX_ID_CHARS
from pipelines.errors import InputError
from pipelines.model import Evidence, Fact, Owner, ReceiptId, Slot, fact_id, receipt_id
from pipelines.ports import CarriedVerdict, Mark
from pipelines.stages.carrying import CarriedSession
from pipelines.stages.keys import KeyScope
from pipelines.stages.redaction.clean import find_secret_id
from workers.callers import Admin, Exporter, read_id
from workers.clock import SystemClock
from workers.schemas.exchange import ImportBody, SettleBody

if TYPE_CHECKING:
    from datetime import datetime

    from fastapi import FastAPI

    from pipelines.flows.exchange import Placed
    from workers.container import Container
    from workers.schemas.exchange import EvidenceCarried, FactCarried, SessionCarried

MAX_PAGE = 200
MAX_VERDICT_PAGE = 5_000
UserName = Annotated[str, Query(min_length=1, max_length=MAX_ID_CHARS)]


def add_exchange_routes(api: FastAPI, container: Container) -> None:
    """Add them to the application."""
    _add_export(api, container)
    _add_import(api, container)


def _add_export(api: FastAPI, container: Container) -> None:
    store = container.imports.store

    @api.get("/v1/sessions")
    def sessions(
        caller: Exporter,
        user_id: Annotated[str | None, Query(min_length=1)] = None,
        after: str | None = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
    ) -> dict[str, Any]:
        whose = caller.narrow(user_id)
        if whose is None:
            caller.require(KeyScope.ADMIN, "exporting all users")
        start = None if after is None else ReceiptId(read_id(after, "after"))
        page, more = store.read_sessions(caller.tenant_id, whose, start, limit)
        return {
            "sessions": [session_view(session) for session in page],
            "next": None if more is None else str(more),
        }

    @api.get("/v1/verdicts")
    def verdicts(
        caller: Exporter,
        user_id: UserName,
        after: str = "",
        limit: Annotated[int, Query(ge=1, le=MAX_VERDICT_PAGE)] = MAX_VERDICT_PAGE,
    ) -> dict[str, Any]:
        caller.narrow(user_id)
        if "\x00" in user_id + after:
            raise InputError("after", "holds a NUL character; send it as it was answered")
        page = store.read_verdicts(Owner(caller.tenant_id, user_id), after, limit)
        return {
            "verdicts": [verdict_view(item) for item in page],
            "next": page[-1].pair_key if len(page) == limit else None,
        }


def _add_import(api: FastAPI, container: Container) -> None:
    imports = container.imports

    @api.post("/v1/imports")
    def take_in(body: ImportBody, caller: Admin) -> dict[str, Any]:
        caller.narrow(body.user_id)
        _check_ids(body)
        latest = SystemClock().now() + MAX_FUTURE
        done = imports.run(
            Owner(caller.tenant_id, body.user_id),
            [
                _Reader(f"sessions[{at}]", latest).session(session)
                for at, session in enumerate(body.sessions)
            ],
            [
                CarriedVerdict(item.pair_key, item.relation, item.judged_by)
                for item in body.verdicts
            ],
            dry_run=body.dry_run,
        )
        taken = done.taken
        return {
            "sessions": taken.sessions,
            "facts": taken.facts,
            "known": taken.known,
            "open": taken.open,
            "redacted": done.redacted,
        }

    @api.post("/v1/imports:settle")
    def settle(body: SettleBody, caller: Admin) -> dict[str, Any]:
        caller.narrow(body.user_id)
        marks = {
            (Owner(item.tenant_id, item.user_id), item.idempotency_key, item.ordinal): Mark(
                item.pinned, item.evicted
            )
            for item in body.facts
        }
        return placed_view(imports.settle(Owner(caller.tenant_id, body.user_id), marks))


# ---- how it looks outside ------------------------------------------------------------------------


def session_view(session: CarriedSession) -> dict[str, Any]:
    """A session with the facts that are kept of it."""
    return {
        "tenant_id": session.source.tenant_id,
        "user_id": session.source.user_id,
        "session_id": session.session_id,
        "idempotency_key": session.idempotency_key,
        "content_hash": session.content_hash,
        "started_at": session.started_at,
        "time_zone": session.time_zone,
        "agent_id": session.agent_id,
        "facts": [
            _fact_view(fact) | {"memory": str(memory)}
            for fact, memory in zip(session.facts, session.memory_ids, strict=True)
        ],
    }


def _fact_view(fact: Fact) -> dict[str, Any]:
    slot = fact.slot
    return {
        "ordinal": fact.ordinal,
        "statement": fact.statement,
        "subject": fact.subject,
        "kind": fact.kind.value,
        "importance": fact.importance,
        "slot": slot
        and {"subject": slot.subject, "attribute": slot.attribute, "member": slot.member},
        "value": fact.value,
        "ends": fact.ends,
        "event_at": fact.event_at,
        "distilled_by": fact.distilled_by,
        "evidence": [
            {
                "message_id": item.message_id,
                "message_index": item.message_index,
                "role": item.role.value,
                "speaker": item.speaker,
                "quote": item.quote,
                "said_at": item.said_at,
                "event_at": item.event_at,
            }
            for item in fact.evidence
        ],
    }


def verdict_view(item: CarriedVerdict) -> dict[str, Any]:
    """What was said of a pair."""
    return {
        "pair_key": item.pair_key,
        "relation": item.relation.value,
        "judged_by": item.judged_by,
    }


def placed_view(placed: Placed) -> dict[str, Any]:
    """What became of what was taken in."""
    return {
        "waiting": placed.waiting,
        "pinned": placed.pinned,
        "evicted": placed.evicted,
        "facts": [
            {
                "tenant_id": source.tenant_id,
                "user_id": source.user_id,
                "idempotency_key": key,
                "ordinal": ordinal,
                "memory": str(memory),
            }
            for (source, key, ordinal), memory in placed.memories.items()
        ],
    }


# ---- how it is read ------------------------------------------------------------------------------


def _check_ids(body: ImportBody) -> None:
    """No id may hold a key: it would be stored everywhere, and shown."""
    named = {"user_id": body.user_id}
    for at, session in enumerate(body.sessions):
        named[f"sessions[{at}].session_id"] = session.session_id
        named[f"sessions[{at}].agent_id"] = session.agent_id or ""
        named[f"sessions[{at}].idempotency_key"] = session.idempotency_key
        for message in {item.message_id for fact in session.facts for item in fact.evidence}:
            named[f"sessions[{at}].facts.evidence.message_id {message[:20]!r}"] = message
    secret = next((name for name, text in named.items() if find_secret_id(id=text)), None)
    if secret is not None:
        field = secret.partition(" ")[0]
        raise InputError(field, "holds a key or a password; send an id that opens nothing")


class _Reader:
    """Reads what one session of a request holds; what is wrong is named from its place on."""

    def __init__(self, place: str, latest: datetime) -> None:
        self._place = place
        self._latest = latest

    def session(self, carried: SessionCarried) -> CarriedSession:
        self._check(carried)
        source = Owner(carried.tenant_id, carried.user_id)
        receipt = receipt_id(source, carried.idempotency_key)
        return CarriedSession(
            source=source,
            session_id=carried.session_id,
            idempotency_key=carried.idempotency_key,
            content_hash=carried.content_hash,
            started_at=self._time("started_at", carried.started_at),
            time_zone=carried.time_zone,
            agent_id=carried.agent_id,
            facts=tuple(
                self._fact(fact, at, source, receipt, carried.session_id)
                for at, fact in enumerate(carried.facts)
            ),
        )

    def _check(self, carried: SessionCarried) -> None:
        ordinals = [fact.ordinal for fact in carried.facts]
        if len(set(ordinals)) < len(ordinals):
            raise InputError(f"{self._place}.facts", "has two facts of one ordinal; number them")
        speakers: dict[str, object] = {}
        for item in (item for fact in carried.facts for item in fact.evidence):
            said = (item.role, item.speaker, item.said_at)
            if speakers.setdefault(item.message_id, said) != said:
                raise InputError(
                    f"{self._place}.facts",
                    f"has two speakers or times for the message {item.message_id!r}; a message "
                    "was written once, by one",
                )
        try:
            known_time_zone(carried.time_zone)
        except InvalidTranscript as error:
            raise InputError(f"{self._place}.time_zone", error.reason) from None

    def _fact(
        self, fact: FactCarried, at: int, source: Owner, receipt: ReceiptId, session_id: str
    ) -> Fact:
        place = f"facts[{at}]"
        slot = fact.slot
        return Fact(
            id=fact_id(receipt, fact.ordinal),
            transcript_id=receipt,
            owner=source,
            session_id=session_id,
            ordinal=fact.ordinal,
            statement=fact.statement,
            subject=fact.subject,
            kind=fact.kind,
            importance=fact.importance,
            event_at=self._event(f"{place}.event_at", fact.event_at),
            evidence=tuple(
                self._evidence(item, f"{place}.evidence[{number}]", receipt, session_id)
                for number, item in enumerate(fact.evidence)
            ),
            distilled_by=fact.distilled_by,
            slot=None if slot is None else Slot(slot.subject, slot.attribute, slot.member),
            value=fact.value,
            ends=fact.ends,
        )

    def _evidence(
        self, item: EvidenceCarried, place: str, receipt: ReceiptId, session_id: str
    ) -> Evidence:
        return Evidence(
            transcript_id=receipt,
            session_id=session_id,
            message_id=item.message_id,
            message_index=item.message_index,
            role=item.role,
            speaker=item.speaker,
            quote=item.quote,
            said_at=self._time(f"{place}.said_at", item.said_at),
            event_at=self._event(f"{place}.event_at", item.event_at),
        )

    def _event(self, field: str, moment: datetime) -> datetime:
        """What somebody tells of may have happened before there were sessions."""
        return self._time(field, moment) if moment > EARLIEST else moment.astimezone(UTC)

    def _time(self, field: str, moment: datetime) -> datetime:
        problem, time = utc_time(moment, self._latest)
        if time is None:
            raise InputError(f"{self._place}.{field}", problem)
        return time
