"""Profiles of users, and the triggers that turn each change of one into work for the index."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from pipelines.adapters.postgres.fence import fence_statements

revision = "0025"
down_revision = "0022"
branch_labels = None
depends_on = None
kind = "expand"

# Runs as whoever migrated, so that a program needs no right but that to write profiles. The lock
# is the one that an erasure of the user holds.
_NUMBER = """
CREATE FUNCTION number_profile() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
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
_CAPTURE = """
CREATE FUNCTION capture_profile() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
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
        WHERE item.value <> 'null' ORDER BY 1
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


def upgrade() -> None:
    _create_profiles()
    _create_entries()
    for table in ("user_profiles", "profile_entries"):
        for statement in fence_statements(table):
            op.execute(statement)
    op.execute("CREATE SEQUENCE profile_versions AS integer")
    for function in (_NUMBER, _CAPTURE, _PATH):
        op.execute(" ".join(function.split()))
    op.execute(
        "CREATE TRIGGER number_profile BEFORE INSERT OR UPDATE ON user_profiles"
        " FOR EACH ROW EXECUTE FUNCTION number_profile()"
    )
    op.execute(
        "CREATE TRIGGER capture_profile AFTER INSERT OR UPDATE OR DELETE ON user_profiles"
        " FOR EACH ROW EXECUTE FUNCTION capture_profile()"
    )


def _create_profiles() -> None:
    empty = sa.text("'{}'::jsonb")
    op.create_table(
        "user_profiles",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("preferences", postgresql.JSONB(), server_default=empty, nullable=False),
        sa.Column("learned", postgresql.JSONB(), server_default=empty, nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("tenant_id", "user_id"),
        sa.CheckConstraint(
            "jsonb_typeof(preferences) = 'object'", name="preferences_are_an_object"
        ),
        sa.CheckConstraint("jsonb_typeof(learned) = 'object'", name="learned_is_an_object"),
    )


def _create_entries() -> None:
    op.create_table(
        "profile_entries",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("section", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSONB(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("embedding", sa.LargeBinary()),
        sa.Column("embedded_version", sa.Integer()),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("profile_entries_of_owner", "profile_entries", ["tenant_id", "user_id"])
    op.create_index(
        "profile_entries_pending",
        "profile_entries",
        ["version"],
        postgresql_where=sa.text("embedded_version IS DISTINCT FROM version"),
    )
