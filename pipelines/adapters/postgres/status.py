"""Where a transcript stands, and what became of each of its facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select, true

from pipelines.adapters.postgres.parking import WAITING_STATES
from pipelines.adapters.postgres.tables import facts, old_receipts, owners, transcripts
from pipelines.errors import NotFound
from pipelines.model import ReceiptId, TranscriptState
from pipelines.ports import FactReport, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNCONSOLIDATED = (TranscriptState.DISTILLED.value,)


def read_status(
    connection: Connection, tenant_id: str, receipt: ReceiptId, user_id: str | None
) -> Status:
    """Where a transcript stands.

    Raises:
        NotFound: This tenant, or the user if one is named, has no such receipt.
    """
    wanted = select(transcripts).where(
        transcripts.c.receipt == receipt,
        transcripts.c.tenant_id == tenant_id,
        true() if user_id is None else transcripts.c.user_id == user_id,
    )
    row = connection.execute(wanted).mappings().one_or_none()
    if row is None:
        return _read_archived(connection, tenant_id, receipt, user_id)
    # Facts of a generation beside the live one cite the same transcript.
    reports = connection.execute(
        select(facts)
        .where(facts.c.receipt == receipt, facts.c.tenant_id == tenant_id)
        .order_by(facts.c.ordinal)
    ).mappings()
    held_up = _held_up_by(connection, row) if row["state"] in _UNCONSOLIDATED else None
    return _read_status(row, [_read_report(report) for report in reports], held_up)


def _read_archived(
    connection: Connection, tenant_id: str, receipt: ReceiptId, user_id: str | None
) -> Status:
    """What is left of a session that is in the archive."""
    wanted = select(old_receipts).where(
        old_receipts.c.receipt == receipt,
        old_receipts.c.tenant_id == tenant_id,
        true() if user_id is None else old_receipts.c.user_id == user_id,
    )
    row = connection.execute(wanted).mappings().one_or_none()
    if row is None:
        raise NotFound(f"no transcript has the receipt {receipt}")
    return Status(
        receipt=receipt,
        session_id=row["session_id"],
        state=TranscriptState(row["state"]),
        attempts=1,
        counts={},
        redactions={},
        reason="archived",
        last_error=None,
        received_at=row["received_at"],
        finished_at=row["finished_at"],
        facts=(),
    )


def _held_up_by(connection: Connection, row: Mapping[Any, Any]) -> str | None:
    """What keeps the user's facts from being consolidated, if anything does."""
    found: str | None = connection.execute(
        select(owners.c.last_error).where(
            owners.c.tenant_id == row["tenant_id"], owners.c.user_id == row["user_id"]
        )
    ).scalar_one_or_none()
    return found


def _read_report(row: Mapping[Any, Any]) -> FactReport:
    return FactReport(
        row["statement"], row["kind"], row["outcome"], row["reason"], row["memory_id"]
    )


def _read_status(row: Mapping[Any, Any], reports: list[FactReport], held_up: str | None) -> Status:
    counts: dict[str, int] = {}
    for report in reports:
        counts[report.outcome] = counts.get(report.outcome, 0) + 1
    return Status(
        receipt=ReceiptId(row["receipt"]),
        session_id=row["session_id"],
        state=TranscriptState(row["state"]),
        attempts=row["attempts"],
        counts=counts,
        redactions=row["body"].get("redactions", {}),
        reason=row["reason"],
        last_error=held_up or row["last_error"],
        received_at=row["received_at"],
        finished_at=row["finished_at"],
        facts=tuple(reports),
        due_at=row["due_at"] if row["state"] in WAITING_STATES else None,
    )
