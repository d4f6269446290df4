"""Ends of idle machines, power limits of GPUs, and the energy of tasks."""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    """Create the tables."""
    document = sa.JSON(none_as_null=True)
    op.create_table(
        "idle_ends",
        sa.Column("node", sa.String(255), primary_key=True),
        sa.Column("boot_id", sa.String(64), nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("idle_since", sa.Float(53)),
        sa.Column("ends_at", sa.Float(53)),
        sa.Column("held_by", sa.String(64)),
        sa.Column("held_until", sa.Float(53)),
        sa.Column("problem", sa.Text),
        sa.Column("problem_code", document),
        sa.Column("changed_at", sa.Float(53), nullable=False),
    )
    op.create_table(
        "power_limits",
        sa.Column("gpu_uuid", sa.String(100), primary_key=True),
        sa.Column("node", sa.String(255), nullable=False),
        sa.Column("watts", sa.Float(53), nullable=False),
        sa.Column("restore_watts", sa.Float(53), nullable=False),
        sa.Column("is_removed", sa.Boolean, nullable=False),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("windows", document, nullable=False),
        sa.Column("updated_at", sa.Float(53), nullable=False),
        sa.Column("updated_by", sa.String(64), nullable=False),
    )
    op.create_table(
        "task_energy",
        sa.Column("task_id", sa.String(64), primary_key=True),
        sa.Column("gpu_uuid", sa.String(100), primary_key=True),
        sa.Column("begun_at", sa.Float(53), nullable=False),
        sa.Column("joules", sa.Float(53), nullable=False),
        sa.Column("counter_joules", sa.Float(53)),
        sa.Column("measured_at", sa.Float(53), nullable=False),
        sa.Column("is_open", sa.Boolean, nullable=False),
        sa.Column("is_partial", sa.Boolean, nullable=False),
    )
