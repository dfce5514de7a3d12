"""HTTP calls as values: what is asked, of whom, and after how long again."""

from __future__ import annotations

import json
import random
import ssl
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from urllib.parse import quote, urlencode
from uuid import UUID

from memstill_client.erasures import Erasure, ErasurePage
from memstill_client.errors import MemstillError, NotFinished, NotFound, Unavailable
from memstill_client.index_replies import Rebuild, ReconcilePage
from memstill_client.recalls import Recall
from memstill_client.replies import (
    Accepted,
    ApiCaller,
    BatchPage,
    BatchRun,
    BulkReply,
    Cost,
    DifferencePage,
    Document,
    Generation,
    MemoryPage,
    Promotion,
    PromotionPage,
    PromotionScan,
    Receipt,
    Reply,
    States,
    Status,
)
from memstill_client.tracing import current_traceparent
from memstill_client.wire import LANE_FIELD, TRACE_FIELD

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from memstill_client.endpoints import Endpoints
    from memstill_client.pushes import Push

R = TypeVar("R", bound=Reply)

MAX_TRIES: Final = 3
FIRST_DELAY_SECONDS: Final = 0.1
DELAY_FACTOR: Final = 4.0
MAX_RETRY_AFTER_SECONDS: Final = 5.0
FIRST_POLL_SECONDS: Final = 0.05
LONGEST_POLL_SECONDS: Final = 1.0
PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Call(Generic[R]):
    """One HTTP request; all of them may be repeated without harm.

    Attributes:
        reply: What the answer is read as.
        tenant_id: Whose data it is about; None leaves it to the API key.
    """

    method: str
    path: str
    reply: type[R]
    content: bytes | None = None
    content_type: str = "application/json"
    tenant_id: str | None = None


def push_call(push: Push) -> Call[Accepted]:
    """Push one transcript."""
    path = f"/v1/transcripts{_lane_query(push)}"
    return Call("POST", path, Accepted, push.body, tenant_id=push.tenant_id)


def bulk_call(chunk: Sequence[Push], endpoints: Endpoints) -> Call[BulkReply]:
    """Push several transcripts of one lane, one a line."""
    lines = b"\n".join(push.body for push in chunk)
    path = f"/v1/transcripts:bulk{_lane_query(chunk[0])}"
    return Call("POST", path, BulkReply, lines, "application/x-ndjson", endpoints.tenant_id)


def status_call(receipt: Receipt | UUID | str, endpoints: Endpoints) -> Call[Status]:
    """Ask where a transcript stands.

    Raises:
        NotFound: The text is no receipt.
    """
    tenant_id = (receipt.tenant_id if isinstance(receipt, Receipt) else None) or endpoints.tenant_id
    return Call("GET", f"/v1/transcripts/{_receipt_uuid(receipt)}", Status, tenant_id=tenant_id)


def caller_call(endpoints: Endpoints) -> Call[ApiCaller]:
    """Ask whom the server takes the client for."""
    return Call("GET", "/v1/caller", ApiCaller, tenant_id=endpoints.tenant_id)


def states_call(
    receipts: Iterable[Receipt | UUID | str], tenant_id: str | None, endpoints: Endpoints
) -> Call[States]:
    """Ask how many of a tenant's receipts stand in each state."""
    asked = {"receipts": [str(_receipt_uuid(receipt)) for receipt in receipts]}
    call = _json_call("/v1/transcripts:states", asked, States, endpoints)
    return call if tenant_id is None else replace(call, tenant_id=tenant_id)


def memories_call(
    user_id: str | None, after: UUID | None, endpoints: Endpoints
) -> Call[MemoryPage]:
    """Ask for the next page of all memories."""
    asked = {"user_id": user_id, "after": after, "limit": PAGE}
    return _query_call("/v1/memories", asked, MemoryPage, endpoints)


def memory_call(
    memory_id: UUID | str, endpoints: Endpoints, about: str = "", *, method: str = "GET"
) -> Call[Document]:
    """Ask about one memory."""
    path = f"/v1/memories/{quote(str(memory_id), safe='')}{about}"
    return Call(method, path, Document, tenant_id=endpoints.tenant_id)


def promotions_call(
    state: str | None, after: UUID | None, endpoints: Endpoints
) -> Call[PromotionPage]:
    """Ask for the next page of what is proposed for everyone."""
    asked = {"state": state, "after": after, "limit": PAGE}
    return _query_call("/v1/promotions", asked, PromotionPage, endpoints)


def scan_call(endpoints: Endpoints) -> Call[PromotionScan]:
    """Look for what many users say."""
    return Call("POST", "/v1/promotions:scan", PromotionScan, tenant_id=endpoints.tenant_id)


def decision_call(
    promotion_id: UUID | str, decision: str, by: str | None, endpoints: Endpoints
) -> Call[Promotion]:
    """Approve or reject a promotion."""
    path = f"/v1/promotions/{quote(str(promotion_id), safe='')}:{decision}"
    return _json_call(path, {} if by is None else {"by": by}, Promotion, endpoints)


def cost_call(user_id: str | None, since: date | str | None, endpoints: Endpoints) -> Call[Cost]:
    """Ask what model calls have cost."""
    return _query_call("/v1/cost", {"user_id": user_id, "since": since}, Cost, endpoints)


def batches_call(after: UUID | None, endpoints: Endpoints) -> Call[BatchPage]:
    """Ask for the next page of the batches of model calls."""
    return page_call("/v1/batches", after, BatchPage, endpoints)


def poll_batches_call(endpoints: Endpoints) -> Call[BatchRun]:
    """Have batches handed in and collected now."""
    return Call("POST", "/v1/batches:poll", BatchRun, tenant_id=endpoints.tenant_id)


def redistill_call(
    since: date | str, endpoints: Endpoints, **chosen: str | None
) -> Call[Generation]:
    """Have sessions distilled again; what is None is as for live sessions."""
    given = {name: value for name, value in chosen.items() if value is not None}
    start = since.isoformat() if isinstance(since, date) else since
    return _json_call("/v1/redistill", {"since": start, **given}, Generation, endpoints)


def generation_call(endpoints: Endpoints, order: str = "") -> Call[Generation]:
    """Ask how far a generation is, or give an order to it: ``switch``."""
    path, method = ("/v1/redistill", "GET") if not order else (f"/v1/redistill:{order}", "POST")
    return Call(method, path, Generation, tenant_id=endpoints.tenant_id)


def differences_call(
    user_id: str | None, after: str | None, endpoints: Endpoints
) -> Call[DifferencePage]:
    """Ask for the next page of what a generation changes."""
    asked = {"user_id": user_id, "after": after}
    return _query_call("/v1/redistill/diff", asked, DifferencePage, endpoints)


def erase_call(user_id: str, session_id: str | None, endpoints: Endpoints) -> Call[Erasure]:
    """Have a user erased, or one session."""
    path = f"/v1/users/{quote(user_id, safe='')}"
    query = "" if session_id is None else f"?{urlencode({'session_id': session_id})}"
    return Call("DELETE", path + query, Erasure, tenant_id=endpoints.tenant_id)


def erasure_call(erasure_id: UUID | str, endpoints: Endpoints) -> Call[Erasure]:
    """Ask how far an erasure is."""
    path = f"/v1/erasures/{quote(str(erasure_id), safe='')}"
    return Call("GET", path, Erasure, tenant_id=endpoints.tenant_id)


def erasures_call(after: UUID | None, endpoints: Endpoints) -> Call[ErasurePage]:
    """Ask for the next page of erasures."""
    return page_call("/v1/erasures", after, ErasurePage, endpoints)


def page_call(path: str, after: UUID | None, reply: type[R], endpoints: Endpoints) -> Call[R]:
    """Ask for the next page of a list."""
    return _query_call(path, {"after": after, "limit": PAGE}, reply, endpoints)


def recall_call(
    query: str,
    user_id: str,
    endpoints: Endpoints,
    *,
    as_of: date | str | None = None,
    tiers: Iterable[str] | None = None,
    **limits: str | int | None,
) -> Call[Recall]:
    """Ask what is known; limits that are None are the server's to choose."""
    limits["as_of"] = as_of.isoformat() if isinstance(as_of, date) else as_of
    given = {name: value for name, value in limits.items() if value is not None}
    asked: dict[str, Any] = {"query": query, "user_id": user_id, **given}
    if tiers is not None:
        asked["tiers"] = list(tiers)
    return _json_call("/v1/recall", asked, Recall, endpoints)


def reconcile_call(
    after: UUID | None, endpoints: Endpoints, *, repair: bool
) -> Call[ReconcilePage]:
    """Compare the next part of the index with the rows."""
    asked = {"after": None if after is None else str(after), "repair": repair}
    return _json_call("/v1/index:reconcile", asked, ReconcilePage, endpoints)


def rebuild_call(order: str, endpoints: Endpoints) -> Call[Rebuild]:
    """Begin a rebuild of the index, or order something about it: ``proceed``."""
    return Call("POST", f"/v1/index:{order}", Rebuild, tenant_id=endpoints.tenant_id)


def make_tls(endpoints: Endpoints) -> ssl.SSLContext | bool:
    """What httpx2 verifies with: the system's authorities, loaded only for an https address.

    Loading them takes longer than all else at start. Without them any certificate is refused.
    """
    if (endpoints.api_url or "").startswith("https://"):
        return True
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def make_url(call: Call[R], endpoints: Endpoints) -> str:
    """The address of a call.

    Raises:
        NotConfigured: No HTTP address is known.
    """
    return endpoints.need_api_url().rstrip("/") + call.path


def make_headers(call: Call[R], endpoints: Endpoints) -> dict[str, str]:
    """Who asks, for which tenant, and what the body is."""
    headers = {"Accept": "application/json"}
    if call.content is not None:
        headers["Content-Type"] = call.content_type
    if call.tenant_id is not None:
        headers["X-Memstill-Tenant"] = call.tenant_id
    if endpoints.api_key is not None:
        headers["Authorization"] = f"Bearer {endpoints.api_key}"
    if (trace := current_traceparent()) is not None:
        headers[TRACE_FIELD] = trace
    return headers


def retry_delay(tries: int, failure: Unavailable) -> float:
    """Seconds before the next try.

    Raises:
        Unavailable: The failure itself, when trying on is not worth it.
    """
    asked = failure.retry_after_seconds
    if tries >= MAX_TRIES or (asked is not None and asked > MAX_RETRY_AFTER_SECONDS):
        raise failure
    spread = 0.5 + random.random()  # noqa: S311 - spreads retries, guards nothing
    return max(asked or 0.0, FIRST_DELAY_SECONDS * DELAY_FACTOR ** (tries - 1) * spread)


class Poll:
    """How often a receipt is asked for, and for how long."""

    def __init__(self, timeout_seconds: float, started: float) -> None:
        self._deadline = started + timeout_seconds
        self._delay = FIRST_POLL_SECONDS

    def delay_after(self, found: Status | MemstillError, now: float) -> float:
        """Seconds until the next question.

        Args:
            found: The last answer: not final, or an error that may pass.
            now: On the clock that ``started`` was read from.

        Raises:
            NotFinished: Time is up and the transcript still on its road.
            MemstillError: Time is up; the error that was found.
        """
        if now >= self._deadline:
            raise NotFinished(found) if isinstance(found, Status) else found
        delay = min(self._delay, self._deadline - now)
        self._delay = min(self._delay * 1.5, LONGEST_POLL_SECONDS)
        return delay


def _lane_query(push: Push) -> str:
    return "" if push.lane == "interactive" else f"?{urlencode({LANE_FIELD: push.lane})}"


def _query_call(
    path: str, asked: Mapping[str, object], reply: type[R], endpoints: Endpoints
) -> Call[R]:
    query = urlencode({name: value for name, value in asked.items() if value is not None})
    return Call("GET", f"{path}?{query}", reply, tenant_id=endpoints.tenant_id)


def _json_call(
    path: str, asked: Mapping[str, Any], reply: type[R], endpoints: Endpoints
) -> Call[R]:
    return Call("POST", path, reply, json.dumps(asked).encode(), tenant_id=endpoints.tenant_id)


def _receipt_uuid(receipt: Receipt | UUID | str) -> UUID:
    if isinstance(receipt, Receipt):
        return receipt.id
    try:
        return receipt if isinstance(receipt, UUID) else UUID(receipt)
    except ValueError:
        raise NotFound("that is no receipt; pass what enqueue returned") from None
