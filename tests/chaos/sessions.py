"""The sessions of a campaign: those of a data set first, then invented ones."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memstill_client import parse_transcript
from tests.chaos.story import invent_session
from workers.evaluation.dataset import load_dataset

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memstill_client import TranscriptV1
    from tests.chaos.plan import Plan

FIRST_DAY = datetime(2025, 3, 3, 9, tzinfo=UTC)
TENANT = "default"
# A session changes places with others this far from it: users do not push in step.
_JOSTLE = 40
_TWICE = 0.15


@dataclass(frozen=True, slots=True)
class Errand:
    """One push of a session.

    Attributes:
        at: Seconds from the start of the campaign.
        intake: ``stream`` or ``http``.
        is_second: The session is pushed by another errand, too.
    """

    at: float
    number: int
    intake: str
    is_second: bool = False


def make_sessions(plan: Plan) -> list[TranscriptV1]:
    """As many as the plan wants, each user's in the order of time."""
    taken = list(itertools.islice(_read_dataset(plan.dataset), plan.sessions))
    known = Counter(item.user_id for item in taken)
    users = max(plan.users - len(known), 1)
    now = datetime.now(UTC)
    invented = (
        parse_transcript(_invent(plan, number, users), now=now)
        for number in range(plan.sessions - len(taken))
    )
    return [*taken, *invented]


def plan_errands(plan: Plan, sessions: int) -> list[Errand]:
    """When each session is pushed and over which intake; some are pushed twice on purpose."""
    dice = plan.dice("errands")
    order = sorted(range(sessions), key=lambda number: number + dice.uniform(0, _JOSTLE))
    errands = []
    for place, number in enumerate(order):
        at = plan.span_seconds * place / sessions
        errands.append(Errand(at, number, _intake(dice.random())))
        if dice.random() < _TWICE:
            later = at + dice.choice((0.0, dice.uniform(0, plan.span_seconds / 4)))
            errands.append(Errand(later, number, _intake(dice.random()), is_second=True))
    return sorted(errands, key=lambda errand: errand.at)


def _intake(chance: float) -> str:
    return "stream" if chance < 0.5 else "http"


def _invent(plan: Plan, number: int, users: int) -> dict[str, Any]:
    dice = plan.dice(f"session/{number}")
    day, user = divmod(number, users)
    started_at = FIRST_DAY + timedelta(days=day, minutes=user)
    return {
        "schema_version": 1,
        "tenant_id": TENANT,
        "user_id": f"user-{user:03d}",
        "session_id": f"session-{number:05d}",
        "started_at": started_at.isoformat(),
        "messages": invent_session(dice, number, started_at),
    }


def _read_dataset(folder: Path | None) -> Iterator[TranscriptV1]:
    if folder is None:
        return
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="memstill-chaos-data-") as scratch:
        path = load_dataset(folder, None, Path(scratch)).transcripts
        for line in path.read_bytes().splitlines():
            if line.strip():
                yield parse_transcript(json.loads(line) | {"tenant_id": TENANT}, now=now)
