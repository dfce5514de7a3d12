"""Dead letters that never were a transcript, searched for a subject by its spelling."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pipelines.ports import Subject


def delete_unreadable(connection: Connection, subject: Subject) -> int:
    """Delete those that name the subject; gives how many.

    Where even the user could not be read they are filed under nobody, and no session ever was.
    """
    owner, session_id = subject.owner, subject.session_id
    values = {
        "tenant": owner.tenant_id,
        "user": owner.user_id,
        "users": _spell("user_id", owner.user_id),
        "sessions": None if session_id is None else _spell("session_id", session_id),
    }
    return connection.execute(_DELETE, values).rowcount


def _spell(name: str, value: str) -> list[str]:
    """A field as JSON has it: plain, or escaped."""
    return [f'"{name}":{json.dumps(value, ensure_ascii=escapes)}' for escapes in (False, True)]


_DELETE = text(
    """
    DELETE FROM transcripts USING (
        SELECT receipt AS letter, user_id = :user AS is_filed,
            regexp_replace(body ->> 'unreadable', '[[:space:]]', '', 'g') AS payload
        FROM transcripts
        WHERE tenant_id = :tenant AND user_id IN ('', :user) AND state = 'dead'
            AND body -> 'unreadable' IS NOT NULL
    ) AS letters
    WHERE receipt = letter
        AND (is_filed OR EXISTS (
            SELECT FROM unnest(CAST(:users AS text[])) AS said
            WHERE position(regexp_replace(said, '[[:space:]]', '', 'g') IN payload) > 0
        ))
        AND (CAST(:sessions AS text[]) IS NULL OR EXISTS (
            SELECT FROM unnest(CAST(:sessions AS text[])) AS said
            WHERE position(regexp_replace(said, '[[:space:]]', '', 'g') IN payload) > 0
        ))
    """
)
