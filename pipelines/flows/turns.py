"""Where a process stands in serving tenant after tenant, and who is in quarantine."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from pipelines.model import Lane
    from pipelines.ports import Inbox, Place


AT_THE_HEAD = 16


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

    def look(self, inbox: Inbox, lane: Lane, now: datetime, *, with_suspects: bool) -> list[Place]:
        """Who stands first in the line of the tenant that comes next, in no order.

        Workers that look at once would all reach for the very first.
        """
        last = self._tenants.get(lane, "")
        places = inbox.find_in_line(lane, last, now, AT_THE_HEAD, with_suspects=with_suspects)
        random.shuffle(places)
        return places

    def note(self, lane: Lane, tenant_id: str) -> None:
        """This tenant is served now."""
        self._tenants[lane] = tenant_id
