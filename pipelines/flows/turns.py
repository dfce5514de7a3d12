"""Where a process stands in serving tenant after tenant, and who is in quarantine."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.model import Lane


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

    def last_tenant(self, lane: Lane) -> str:
        """Who was served last; nobody yet is the empty name."""
        return self._tenants.get(lane, "")

    def note(self, lane: Lane, tenant_id: str) -> None:
        """This tenant is served now."""
        self._tenants[lane] = tenant_id
