"""What the server runs by the clock."""

from datetime import datetime
from urllib.parse import quote

from pydantic import Field

from memstill_client.calls import Call
from memstill_client.endpoints import Endpoints
from memstill_client.replies import Reply


class JobStatus(Reply):
    """A job and its latest run.

    Attributes:
        next_at: When it is due.
        state: ``running``, ``waiting``, ``failed`` or ``done``; None if it never ran.
        succeeded_at: When a run was done last.
        counts: How much of what the latest run did.
        note: Why there was nothing to do, or what failed.
    """

    job: str
    purpose: str
    interval_seconds: float
    next_at: datetime
    state: str | None = None
    started_at: datetime | None = None
    succeeded_at: datetime | None = None
    took_seconds: float | None = None
    attempts: int = 0
    counts: dict[str, int] = Field(default_factory=dict)
    note: str | None = None


class JobPage(Reply):
    """All jobs."""

    jobs: tuple[JobStatus, ...]


class JobTurn(Reply):
    """What running a job came to.

    Attributes:
        state: ``done``; ``waiting`` if there is more to do, after ``delay_seconds``; ``skipped``
            if it ran in this slot of its schedule, or has nothing to do.
    """

    state: str
    counts: dict[str, int] = Field(default_factory=dict)
    note: str | None = None
    delay_seconds: float | None = None


def jobs_call(endpoints: Endpoints) -> Call[JobPage]:
    """Ask for all jobs."""
    return Call("GET", "/v1/jobs", JobPage, tenant_id=endpoints.tenant_id)


def run_call(job: str, endpoints: Endpoints) -> Call[JobTurn]:
    """Run one."""
    path = f"/v1/jobs/{quote(job, safe='')}:run"
    return Call("POST", path, JobTurn, tenant_id=endpoints.tenant_id)
