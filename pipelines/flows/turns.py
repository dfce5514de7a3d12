"""Where a process stands in serving tenant after tenant, and who is in quarantine."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from pipelines.model import Lane
    from pipelines.outcome import Outcome
    from pipelines.ports import Inbox, Place, TranscriptClaim


AT_THE_HEAD = 16
# Each goes on while somebody stands in line, and wakes others: with so many it begins at once.
WOKEN_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Turn:
    """What became of a turn in line.

    Attributes:
        is_more: Others may stand in line.
    """

    outcome: Outcome
    is_more: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """Who stands first in line.

    Attributes:
        is_more: They are not the only one, or not all could be seen.
    """

    places: list[Place]
    is_more: bool


@dataclass(frozen=True, slots=True)
class Taken:
    """Whose turn it was.

    Attributes:
        has_more: Others stood in line beside them.
    """

    claims: list[TranscriptClaim]
    has_more: bool = False

    @property
    def has_suspect(self) -> bool:
        """Whether a worker died over one of them."""
        return any(claim.deaths for claim in self.claims)

    @property
    def is_more(self) -> bool:
        """Whether the line is worth another look: those who stand apart were taken before it."""
        return bool(self.claims) and (self.has_more or self.has_suspect)


@dataclass(slots=True)
class Turns:
    """Where this process stands in going from tenant to tenant, and who is in quarantine.

    A worker that dies takes along all that it held, and one of them may be the cause. They are
    suspects from then on, and one at a time is worked on in a process: so the one that kills
    again and again is found, and no other is ever in its company twice.

    Attributes:
        quarantine: Held while a suspect is worked on.
    """

    quarantine: threading.Lock = field(default_factory=threading.Lock)
    _tenants: dict[Lane, str] = field(default_factory=dict)

    def look(self, inbox: Inbox, lane: Lane, now: datetime, *, with_suspects: bool) -> Head:
        """Who stands first in the line of the tenant that comes next, then of the others.

        Those of one tenant come in no order: workers that look at once would all reach for the
        very first.
        """
        last = self._tenants.get(lane, "")
        places = inbox.find_in_line(lane, last, now, AT_THE_HEAD, with_suspects=with_suspects)
        of_tenant: dict[str, list[Place]] = {}
        for place in places:
            of_tenant.setdefault(place.owner.tenant_id, []).append(place)
        for theirs in of_tenant.values():
            random.shuffle(theirs)
        # Before the tenant whose turn it is nobody was looked for, unless it is last's own again.
        is_all = last in ("", *list(of_tenant)[:1])
        return Head(
            [place for theirs in of_tenant.values() for place in theirs],
            len(places) > 1 or not is_all,
        )

    def note(self, lane: Lane, tenant_id: str) -> None:
        """This tenant is served now."""
        self._tenants[lane] = tenant_id
