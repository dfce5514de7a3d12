"""Where a turn of a job that goes from user to user ended, as text."""

from __future__ import annotations

import json

from pipelines.errors import InputError
from pipelines.model import Owner

_NAMES = 2


def spell_owner(owner: Owner) -> str:
    """Behind whom to go on."""
    return json.dumps(owner.names)


def read_owner(position: str | None) -> Owner | None:
    """The same again; None is the beginning.

    Raises:
        InputError: It is no such text.
    """
    if position is None:
        return None
    try:
        names = json.loads(position)
    except ValueError:
        names = None
    if not isinstance(names, list) or len(names) != _NAMES:
        raise InputError("position", "is none of this job; run it from the beginning")
    return Owner(str(names[0]), str(names[1]))
