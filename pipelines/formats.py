"""The formats of what is stored as JSON, and what a reader makes of another version.

A release reads what the release before it wrote, and what it writes itself. A format that changes
is read by one release before the next one writes it; so no worker meets what it cannot read while
two releases run side by side. ``docs/wire.md`` lists these and all others.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.errors import NewerFormat


@dataclass(frozen=True, slots=True)
class Format:
    """A stored format.

    Attributes:
        version: The one that is written; it and the one before it are read.
    """

    name: str
    version: int

    def check(self, found: object) -> None:
        """Make sure that a stored value can be read.

        Args:
            found: Its ``schema_version``.

        Raises:
            NewerFormat: It cannot by this release; nothing was changed.
        """
        oldest = max(1, self.version - 1)
        if not isinstance(found, int) or not oldest <= found <= self.version:
            read = " and ".join(map(str, range(oldest, self.version + 1)))
            raise NewerFormat(
                f"a stored {self.name} has version {found}, and this release reads {read}: "
                "it is left to a newer release"
            )


TRANSCRIPT_BODY = Format("transcript body", 1)
UNREADABLE_BODY = Format("unreadable body", 1)
EVENT = Format("event", 1)
EVENT_SNAPSHOT = Format("event snapshot", 1)
SETTLED_MARK = Format("settled events", 1)
ARCHIVED = Format("archived file", 1)
REBUILD = Format("rebuild", 1)
ROUND = Format("round", 1)
EXPORT = Format("export", 1)
SCHEMA_MARK = Format("schema", 1)
SESSION_ENTRY = Format("session entry", 1)
WORKING_MEMORY = Format("working memory", 1)
CHECKPOINT = Format("checkpoint", 1)
