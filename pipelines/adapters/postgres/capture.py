"""What the triggers on profiles run: change capture in the database, whoever makes the change.

No table of memstill holds these, so a backup of its tables does not either: a restore makes them
before the triggers that call them.
"""

from __future__ import annotations

_SEQUENCE = "CREATE SEQUENCE IF NOT EXISTS profile_versions AS integer"
MOVE_ON = "SELECT setval('profile_versions', coalesce(max(version), 0) + 1) FROM profile_entries"
# The lock is the one that an erasure of the user holds.
_NUMBER = """
CREATE OR REPLACE FUNCTION number_profile() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM pg_advisory_xact_lock_shared(
        hashtextextended(NEW.tenant_id || chr(31) || NEW.user_id, 11));
    IF TG_OP = 'INSERT' THEN
        NEW.version = 1;
    ELSIF (NEW.preferences, NEW.learned) IS DISTINCT FROM (OLD.preferences, OLD.learned) THEN
        NEW.version = OLD.version + 1;
        NEW.updated_at = clock_timestamp();
    ELSE
        NEW.version = OLD.version;
    END IF;
    RETURN NEW;
END $$
"""
# A number is taken only for what has changed: there are two thousand million of them.
# Runs as whoever migrated, so that a program needs no right but that to write profiles.
_CAPTURE = """
CREATE OR REPLACE FUNCTION capture_profile() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
    IF TG_OP <> 'INSERT' THEN
        WITH gone AS (
            DELETE FROM profile_entries AS entry
            WHERE entry.tenant_id = OLD.tenant_id AND entry.user_id = OLD.user_id AND (
                TG_OP = 'DELETE'
                OR (NEW.tenant_id, NEW.user_id) IS DISTINCT FROM (OLD.tenant_id, OLD.user_id)
                OR coalesce(CASE entry.section WHEN 'preferences' THEN NEW.preferences
                    ELSE NEW.learned END -> entry.key, 'null') = 'null')
            RETURNING entry.id, entry.tenant_id, entry.user_id)
        INSERT INTO outbox AS waiting (memory_id, tenant_id, user_id, enqueued_at, due_at)
        SELECT id, tenant_id, user_id, now(), now() FROM gone ORDER BY id
        ON CONFLICT (memory_id) DO UPDATE SET enqueued_at = excluded.enqueued_at,
            due_at = excluded.due_at, change = waiting.change + 1, attempts = 0,
            last_error = NULL;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO profile_entries AS entry
            (id, tenant_id, user_id, section, key, value, version, changed_at)
        SELECT CAST(md5(concat_ws(chr(31), 'profile', NEW.tenant_id, NEW.user_id, part.section,
                item.key)) AS uuid),
            NEW.tenant_id, NEW.user_id, part.section, item.key, item.value,
            nextval('profile_versions'), clock_timestamp()
        FROM (VALUES ('preferences', NEW.preferences), ('learned', NEW.learned))
            AS part (section, body)
        CROSS JOIN LATERAL jsonb_each(part.body) AS item (key, value)
        WHERE item.value <> 'null' AND NOT EXISTS (
            SELECT FROM profile_entries AS known
            WHERE known.tenant_id = NEW.tenant_id AND known.user_id = NEW.user_id
                AND known.section = part.section AND known.key = item.key
                AND known.value = item.value)
        ORDER BY 1
        ON CONFLICT (id) DO UPDATE SET value = excluded.value, version = excluded.version,
            changed_at = excluded.changed_at
        WHERE entry.value IS DISTINCT FROM excluded.value;
    END IF;
    RETURN NULL;
END $$
"""
# Nobody who calls it may put tables of their own in the place of these.
_PATH = """
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION capture_profile() SET search_path = %I, pg_temp',
        current_schema());
END $$
"""


def capture_statements() -> tuple[str, ...]:
    """What makes them, each on one line; repeating it changes nothing."""
    return (_SEQUENCE, *(" ".join(text.split()) for text in (_NUMBER, _CAPTURE, _PATH)))
