"""Measured GPU memory of trainings."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "memory_runs",
        sa.Column("serial", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("attempt_uid", sa.String(80), nullable=False, unique=True),
        sa.Column("model_type", sa.String(64), nullable=False),
        sa.Column("variant", sa.String(200)),
        sa.Column("facts", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("peak_mb", sa.Integer, nullable=False),
        sa.Column("measured_at", sa.Float(53), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_memory_runs_variant", "memory_runs", ["model_type", "variant", "serial"])
