"""Routes about erasing: users and sessions, and the proof that it was done."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query

from pipelines.model import Owner
from pipelines.ports import Subject
from workers.callers import Admin, TenantAdmin, read_id
from workers.pages import After, PageSize, next_of, read_after

if TYPE_CHECKING:
    from datetime import timedelta

    from pipelines.ports import Erasure
    from workers.container import Container

API = "api"


def add_erase_routes(api: FastAPI, container: Container) -> None:
    """Add them to the application."""
    erase = container.erase
    deadline = container.policies.erase.deadline

    # A user's id may hold slashes.
    @api.delete("/v1/users/{user_id:path}")
    def erase_user(
        user_id: str,
        caller: Admin,
        session_id: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
    ) -> dict[str, Any]:
        whose = Owner(caller.tenant_id, caller.narrow(user_id) or user_id)
        return erasure_view(erase.start(Subject(whose, session_id), API), deadline)

    @api.get("/v1/erasures")
    def erasures(caller: TenantAdmin, after: After = None, limit: PageSize = 200) -> dict[str, Any]:
        page = erase.erasures.list_latest(caller.tenant_id, limit, read_after(after))
        shown = [erasure_view(item, deadline) for item in page]
        return {"erasures": shown, "next": next_of(page, limit)}

    @api.get("/v1/erasures/{erasure}")
    def show(erasure: str, caller: TenantAdmin) -> dict[str, Any]:
        key = read_id(erasure, "erasure")
        return erasure_view(erase.erasures.find(caller.tenant_id, key), deadline)


def erasure_view(erasure: Erasure, deadline: timedelta) -> dict[str, Any]:
    """The receipt: no name is in it, and its digest covers all the rest."""
    shown = {
        "id": str(erasure.id),
        "tenant_id": erasure.tenant_id,
        "subject": erasure.subject_key,
        "state": erasure.state.value,
        "requested_at": erasure.requested_at.isoformat(),
        "requested_by": erasure.requested_by,
        "deadline_at": (erasure.requested_at + deadline).isoformat(),
        "purged_at": erasure.purged_at and erasure.purged_at.isoformat(),
        "verified_at": erasure.verified_at and erasure.verified_at.isoformat(),
        "removed": dict(erasure.removed),
        "found": dict(erasure.found),
        "last_error": erasure.last_error,
    }
    canonical = json.dumps(shown, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return shown | {"digest": hashlib.sha256(canonical.encode()).hexdigest()}
