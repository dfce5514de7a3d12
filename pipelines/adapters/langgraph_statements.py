"""What is asked of the tables of ``langgraph-checkpoint-postgres``, as SQL.

They are LangGraph's own; read from its release 3.2.0, whose ninth migration is the newest:

- ``checkpoints`` holds the state of a thread and namespace after a step. Which version of each
  channel belongs to it stands in ``channel_versions``. Values that are a string, a number or a
  truth stand in it, too (``channel_values``), the others are in
- ``checkpoint_blobs``, one row for each version of a channel: a value that no step changed is
  shared by all checkpoints since;
- ``checkpoint_writes`` holds what tasks wrote while a checkpoint was the newest.

Delta channels keep the writes alone, and a whole value (a snapshot) from time to time: such a
checkpoint is read from its ancestors, back to a snapshot of each channel.

Nothing joins two large sets: planned with what is known of the average thread, that becomes
quadratic for the few huge ones that are worth it.
"""

from __future__ import annotations

from typing import Final, LiteralString

TASKS: Final = "__pregel_tasks"

COLUMNS: Final[LiteralString] = """
SELECT table_name || '.' || column_name FROM information_schema.columns
WHERE table_schema = ANY (current_schemas(false)) AND table_name LIKE 'checkpoint%'
"""
VERSION: Final[LiteralString] = "SELECT max(v) FROM checkpoint_migrations"

FIND_LONG: Final[LiteralString] = """
SELECT DISTINCT thread_id FROM (
    SELECT thread_id FROM checkpoints WHERE %(after)s::text IS NULL OR thread_id > %(after)s
    GROUP BY thread_id, checkpoint_ns HAVING count(*) > %(keep)s
) AS long ORDER BY thread_id LIMIT %(limit)s
"""

# LangGraph.js marks the threads of its delta channels so, and keeps them otherwise.
IS_FOREIGN: Final[LiteralString] = """
SELECT EXISTS (
    SELECT FROM checkpoints WHERE thread_id = %(thread)s AND metadata ? 'delta_writes_versioned'
)
"""

# A delta channel leaves counters, or a snapshot: a bare ``true`` with a blob behind it.
DELTA_CHANNELS: Final[LiteralString] = """
SELECT jsonb_object_keys(metadata -> 'counters_since_delta_snapshot')
FROM checkpoints WHERE thread_id = %(thread)s AND metadata ? 'counters_since_delta_snapshot'
UNION
SELECT inline.key FROM checkpoints AS c
CROSS JOIN LATERAL jsonb_each(c.checkpoint -> 'channel_values') AS inline
CROSS JOIN LATERAL (
    SELECT FROM checkpoint_blobs AS b
    WHERE b.thread_id = c.thread_id AND b.checkpoint_ns = c.checkpoint_ns
        AND b.channel = inline.key
        AND b.version = c.checkpoint -> 'channel_versions' ->> inline.key
    LIMIT 1
) AS snapshot
WHERE c.thread_id = %(thread)s AND inline.value = 'true'::jsonb
"""

POSITIONS: Final[LiteralString] = """
SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint ->> 'ts',
    metadata -> 'parents' ->> '',
    ((checkpoint ->> 'v')::int < 4 AND EXISTS (
        SELECT FROM checkpoint_writes AS w
        WHERE w.thread_id = c.thread_id AND w.checkpoint_ns = c.checkpoint_ns
            AND w.checkpoint_id = c.parent_checkpoint_id AND w.channel = %(tasks)s
    )) OR EXISTS (
        SELECT FROM unnest(%(delta)s::text[]) AS delta (channel)
        WHERE checkpoint -> 'channel_versions' ? delta.channel
            AND coalesce(checkpoint -> 'channel_values' -> delta.channel, 'null')
                IN ('null', 'true')
            AND NOT EXISTS (
                SELECT FROM checkpoint_blobs AS b
                WHERE b.thread_id = c.thread_id AND b.checkpoint_ns = c.checkpoint_ns
                    AND b.channel = delta.channel AND b.type <> 'empty'
                    AND b.version = checkpoint -> 'channel_versions' ->> delta.channel
            )
    )
FROM checkpoints AS c WHERE thread_id = %(thread)s
ORDER BY checkpoint_ns, checkpoint_id DESC
"""

FREED: Final[LiteralString] = """
SELECT DISTINCT v.key, v.value FROM checkpoints AS c
CROSS JOIN LATERAL jsonb_each_text(c.checkpoint -> 'channel_versions') AS v
WHERE thread_id = %(thread)s AND checkpoint_ns = %(ns)s AND checkpoint_id = ANY (%(ids)s)
"""
NEEDED: Final[LiteralString] = """
SELECT DISTINCT v.key, v.value FROM checkpoints AS c
CROSS JOIN LATERAL jsonb_each_text(c.checkpoint -> 'channel_versions') AS v
WHERE thread_id = %(thread)s AND checkpoint_ns = %(ns)s AND checkpoint_id <> ALL (%(ids)s)
"""

_CHECKPOINTS: Final[LiteralString] = """checkpoints
WHERE thread_id = %(thread)s AND checkpoint_ns = %(ns)s AND checkpoint_id = ANY (%(ids)s)"""
# By the checkpoints that go: writes may be there before the checkpoint that they are for.
_WRITES: Final[LiteralString] = """checkpoint_writes
WHERE thread_id = %(thread)s AND checkpoint_ns = %(ns)s AND checkpoint_id = ANY (%(ids)s)"""
_BLOBS: Final[LiteralString] = """checkpoint_blobs
WHERE thread_id = %(thread)s AND checkpoint_ns = %(ns)s AND channel = %(channel)s
    AND version = ANY (%(versions)s)"""

# As stored: what is compressed or stored apart is not fetched for it. 24 bytes head each row.
_CHECKPOINT_SIZE: Final[LiteralString] = """(24 + pg_column_size(thread_id)
    + pg_column_size(checkpoint_ns) + pg_column_size(checkpoint_id)
    + coalesce(pg_column_size(parent_checkpoint_id), 0) + coalesce(pg_column_size(type), 0)
    + pg_column_size(checkpoint) + pg_column_size(metadata)) AS size"""
_WRITE_SIZE: Final[LiteralString] = """(24 + pg_column_size(thread_id)
    + pg_column_size(checkpoint_ns) + pg_column_size(checkpoint_id) + pg_column_size(task_id) + 4
    + pg_column_size(channel) + coalesce(pg_column_size(type), 0) + pg_column_size(blob)) AS size"""
_BLOB_SIZE: Final[LiteralString] = """(24 + pg_column_size(thread_id)
    + pg_column_size(checkpoint_ns) + pg_column_size(channel) + pg_column_size(version)
    + pg_column_size(type) + coalesce(pg_column_size(blob), 0)) AS size"""


def _deleting(rows: LiteralString, size: LiteralString) -> LiteralString:
    return f"""WITH gone AS (DELETE FROM {rows} RETURNING {size})
        SELECT count(*), coalesce(sum(size), 0)::bigint FROM gone"""  # noqa: S608 - literals


def _counting(rows: LiteralString, size: LiteralString) -> LiteralString:
    return f"""WITH found AS (SELECT {size} FROM {rows})
        SELECT count(*), coalesce(sum(size), 0)::bigint FROM found"""  # noqa: S608 - literals


_ROWS: Final = (
    (_CHECKPOINTS, _CHECKPOINT_SIZE),
    (_WRITES, _WRITE_SIZE),
    (_BLOBS, _BLOB_SIZE),
)
DELETE: Final = tuple(_deleting(rows, size) for rows, size in _ROWS)
COUNT: Final = tuple(_counting(rows, size) for rows, size in _ROWS)
ALL: Final = (
    _counting("checkpoints", _CHECKPOINT_SIZE),
    _counting("checkpoint_writes", _WRITE_SIZE),
    _counting("checkpoint_blobs", _BLOB_SIZE),
)

# A checkpoint that stays must not name a parent that went.
CUT_PARENTS: Final[LiteralString] = """
UPDATE checkpoints SET parent_checkpoint_id = NULL
WHERE thread_id = %(thread)s AND checkpoint_ns = %(ns)s AND parent_checkpoint_id = ANY (%(ids)s)
"""

LIMIT_WAITING: Final[LiteralString] = (
    "SELECT set_config('lock_timeout', '2s', true), set_config('statement_timeout', '60s', true)"
)
TRY_LOCK: Final[LiteralString] = (
    "SELECT pg_try_advisory_xact_lock(hashtextextended('memstill ' || %(thread)s, 0))"
)
