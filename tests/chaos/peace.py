"""The measure: the same sessions with nobody to disturb, and one step after another.

The flows run in this process, user by user and each user's sessions in the order of time.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from config.settings import Settings
from tests.chaos.outline import read_outline
from tests.chaos.sessions import TENANT
from tests.chaos.truth import open_truth
from workers.app import make_app
from workers.container import open_container
from workers.payloads import to_transcript

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from memstill_client import TranscriptV1
    from tests.chaos.outline import Outline
    from tests.chaos.stack import Servers
    from workers.container import Container

_PREFIX = "MEMSTILL_"
# Nothing is timed: on a machine that is busy with other things, nothing may run out either.
_UNHURRIED = {
    "MEMSTILL_MODEL_TIMEOUT_SECONDS": "55",
    "MEMSTILL_DISTILL_LEASE_SECONDS": "600",
    "MEMSTILL_CONSOLIDATE_LEASE_SECONDS": "600",
    "MEMSTILL_PROJECT_LEASE_SECONDS": "600",
    # Like statements are judged as soon as they are met: nobody comes back for them later.
    "MEMSTILL_JUDGE_WAIT_SECONDS": "0",
}
_ROUNDS = 20


class NotInPeace(Exception):
    """Something is left undone although nobody disturbed it."""


def tell_in_peace(servers: Servers, sessions: Iterable[TranscriptV1]) -> Outline:
    """What is known after these sessions.

    Raises:
        NotInPeace: A session could not be distilled or consolidated.
    """
    env = servers.env() | _UNHURRIED
    values = {name.removeprefix(_PREFIX).lower(): value for name, value in env.items()}
    settings = Settings.model_validate(values)
    container = open_container(settings, make_app(settings))
    try:
        for _, own in groupby(sorted(sessions, key=_place), key=lambda item: item.user_id):
            _tell(container, list(own))
    finally:
        container.close()
    with open_truth(servers) as truth:
        left = {name: number for name, number in truth.count_open().items() if number}
        if left:
            raise NotInPeace(f"left undone: {left}")
        return read_outline(truth)


def _tell(container: Container, sessions: Sequence[TranscriptV1]) -> None:
    """All sessions of one user: short ones share a call, as those that wait together do."""
    transcripts = [to_transcript(item, default_tenant=TENANT) for item in sessions]
    container.inbox.accept(transcripts, container.ingest.clock.now())
    for transcript in transcripts:
        container.distill.run(transcript.id)
    owner = transcripts[0].owner
    for _ in range(_ROUNDS):
        container.consolidate.run(owner)
        if not container.store.pending_facts(owner, 1):
            break
    container.project.run()


def _place(session: TranscriptV1) -> tuple[object, ...]:
    ended_at = max(message.created_at for message in session.messages)
    return (session.user_id, ended_at, session.session_id)
