"""Users, keys, sessions, tickets, the audit, and owners of tasks."""

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    """Create the tables, and add the owners. Existing rows have no owner."""
    op.add_column("tasks", sa.Column("owner", sa.String(64), nullable=True))
    op.create_index("ix_tasks_owner", "tasks", ["owner", "serial"])
    op.add_column("registrations", sa.Column("owner", sa.String(64), nullable=True))
    _create_keys()
    _create_audit()
    _create_past_use()
    _hash_scopes("tasks", "idempotency_key")
    _hash_scopes("kept_answers", "scope")


def _hash_scopes(table: str, column: str) -> None:
    """Replace each "route key" by the SHA-256 of no user, route and key, so that retries still find the response."""
    connection, scopes = op.get_bind(), sa.table(table, sa.column(column))
    scope = scopes.c[column]
    for (old,) in connection.execute(sa.select(scope).where(scope.is_not(None))).all():
        route, _, key = old.partition(" ")
        new = hashlib.sha256("\0".join(("", route, key)).encode()).hexdigest()
        connection.execute(sa.update(scopes).where(scope == old).values({column: new}))


def _create_keys() -> None:
    op.create_table(
        "users",
        sa.Column("user_id", sa.String(64), primary_key=True),
        sa.Column("quota", _JSON),
        sa.Column("created_at", sa.Float(53), nullable=False),
    )
    op.create_table(
        "keys",
        sa.Column("key_id", sa.String(32), primary_key=True),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("role", sa.String(16)),
        sa.Column("permissions", _JSON),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("created_by", sa.String(64), nullable=False),
        sa.Column("expires_at", sa.Float(53)),
        sa.Column("last_used_at", sa.Float(53)),
        sa.Column("revoked_at", sa.Float(53)),
        sa.Column("revoked_by", sa.String(64)),
        sa.Column("rotated_to", sa.String(32)),
    )
    op.create_index("ix_keys_user", "keys", ["user_id"])
    op.create_table(
        "sessions",
        sa.Column("hash", sa.String(64), primary_key=True),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200)),
        sa.Column("role", sa.String(16)),
        sa.Column("permissions", _JSON),
        sa.Column("key_id", sa.String(32)),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("expires_at", sa.Float(53), nullable=False),
    )
    op.create_index("ix_sessions_expiry", "sessions", ["expires_at"])
    op.create_table(
        "tickets",
        sa.Column("hash", sa.String(64), primary_key=True),
        sa.Column("key_id", sa.String(32)),
        sa.Column("session", sa.String(64)),
        sa.Column("expires_at", sa.Float(53), nullable=False),
    )
    op.create_table(
        "sign_ins",
        sa.Column("hash", sa.String(64), primary_key=True),
        sa.Column("state", sa.String(64), nullable=False),
        sa.Column("nonce", sa.String(64), nullable=False),
        sa.Column("verifier", sa.String(64), nullable=False),
        sa.Column("redirect_uri", sa.String(2048), nullable=False),
        sa.Column("next", sa.String(2048), nullable=False),
        sa.Column("expires_at", sa.Float(53), nullable=False),
    )
    op.create_table(
        "access_state",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.BigInteger, nullable=False),
    )


def _create_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(32)),
        sa.Column("operation", sa.String(200), nullable=False),
        sa.Column("object", sa.String(200)),
        sa.Column("address", sa.String(64)),
        sa.Column("request_id", sa.String(128)),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("code", sa.String(64)),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("before", _JSON),
        sa.Column("after", _JSON),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_index("ix_audit_actor", "audit", ["actor", "id"])
    op.create_index("ix_audit_operation", "audit", ["operation", "id"])
    op.create_index("ix_audit_object", "audit", ["object", "id"])
    op.create_index("ix_audit_outcome", "audit", ["outcome", "id"])
    op.create_index("ix_audit_at", "audit", ["at"])
    op.create_table(
        "audit_chain",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("last_id", sa.BigInteger, nullable=False),
        sa.Column("last_hash", sa.String(64), nullable=False),
        sa.Column("first_id", sa.BigInteger, nullable=False),
        sa.Column("before_first", sa.String(64), nullable=False),
    )


def _create_past_use() -> None:
    op.create_index("ix_attempts_ended", "attempts", ["ended_at"])
    op.create_table(
        "past_use",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("gpus", sa.Integer, nullable=False),
        sa.Column("began_at", sa.Float(53), nullable=False),
        sa.Column("ended_at", sa.Float(53), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_past_use_ended", "past_use", ["ended_at"])
