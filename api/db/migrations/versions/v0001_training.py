"""The first version: trainings, attempts, leases, registrations, events, stored responses."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "attempts",
        sa.Column("uid", sa.String(length=80), nullable=False),
        sa.Column("task_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("directory", sa.Text(), nullable=False),
        sa.Column("gpu_uuids", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("gpu_indices", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("master_port", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("started_at", sa.Float(precision=53), nullable=True),
        sa.Column("ended_at", sa.Float(precision=53), nullable=True),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("pid_start", sa.Float(precision=53), nullable=True),
        sa.Column("run_dir", sa.Text(), nullable=True),
        sa.Column("known_run_dirs", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("resumed_from", sa.String(length=64), nullable=True),
        sa.Column("first_step", sa.Integer(), nullable=True),
        sa.Column("last_step", sa.Integer(), nullable=True),
        sa.Column("peak_memory_mb", sa.Integer(), nullable=True),
        sa.Column("outcome", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("cause", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("uid"),
    )
    op.create_index(
        "ix_attempts_open",
        "attempts",
        ["status"],
        unique=False,
        sqlite_where=sa.text("status <> 'ended'"),
        postgresql_where=sa.text("status <> 'ended'"),
    )
    op.create_index("ix_attempts_task", "attempts", ["task_id", "number"], unique=False)
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("task_id", sa.String(length=64), nullable=False),
        sa.Column("attempt_uid", sa.String(length=80), nullable=True),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("previous", sa.String(length=255), nullable=True),
        sa.Column("current", sa.String(length=255), nullable=True),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("details", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_task", "events", ["task_id", "id"], unique=False)
    op.create_table(
        "kept_answers",
        sa.Column("scope", sa.String(length=320), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("owner", sa.String(length=80), nullable=False),
        sa.Column("began_at", sa.Float(precision=53), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("headers", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("scope"),
    )
    op.create_index("ix_kept_answers_began", "kept_answers", ["began_at"], unique=False)
    op.create_table(
        "leases",
        sa.Column("resource", sa.String(length=2048), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("task_id", sa.String(length=128), nullable=False),
        sa.Column("attempt_uid", sa.String(length=80), nullable=True),
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("claimed_at", sa.Float(precision=53), nullable=False),
        sa.Column("expires_at", sa.Float(precision=53), nullable=True),
        sa.Column("draining_since", sa.Float(precision=53), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("resource"),
    )
    op.create_index("ix_leases_task", "leases", ["task_id"], unique=False)
    op.create_table(
        "registrations",
        sa.Column("serial", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("task_id", sa.String(length=128), nullable=False),
        sa.Column("task_type", sa.String(length=16), nullable=False),
        sa.Column("gpu_uuids", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("pid_start", sa.Float(precision=53), nullable=True),
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("progress", sa.Float(precision=53), nullable=True),
        sa.Column("estimated_remaining_time", sa.Float(precision=53), nullable=True),
        sa.Column("started_at", sa.Float(precision=53), nullable=False),
        sa.Column("updated_at", sa.Float(precision=53), nullable=True),
        sa.PrimaryKeyConstraint("serial"),
        sa.UniqueConstraint("task_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "task_gpus",
        sa.Column("gpu_uuid", sa.String(length=128), nullable=False),
        sa.Column("serial", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("gpu_uuid", "serial"),
    )
    op.create_table(
        "tasks",
        sa.Column("serial", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("task_id", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("model_type", sa.String(length=64), nullable=False),
        sa.Column("trainer", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("gpu_count", sa.Integer(), nullable=False),
        sa.Column("min_memory", sa.Integer(), nullable=False),
        sa.Column("gpu_references", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("caches", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("queued_at", sa.Float(precision=53), nullable=False),
        sa.Column("not_before", sa.Float(precision=53), nullable=False),
        sa.Column("started_at", sa.Float(precision=53), nullable=True),
        sa.Column("finished_at", sa.Float(precision=53), nullable=True),
        sa.Column("updated_at", sa.Float(precision=53), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("retries", sa.Integer(), nullable=False),
        sa.Column("retries_in_a_row", sa.Integer(), nullable=False),
        sa.Column("restarted_from", sa.String(length=64), nullable=True),
        sa.Column("idempotency_key", sa.String(length=320), nullable=True),
        sa.Column("gpu_uuids", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("progress", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("cause", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("stop", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("resume", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("warning", sa.Text(), nullable=True),
        sa.Column("request", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("plan", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("serial"),
        sa.UniqueConstraint("idempotency_key"),
        sa.UniqueConstraint("task_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_tasks_model_type", "tasks", ["model_type", "serial"], unique=False)
    op.create_index("ix_tasks_status", "tasks", ["status", "serial"], unique=False)
