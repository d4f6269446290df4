"""Sweeps: trainings of one request that differ in some values."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    """Create the table and the columns. Earlier trainings belong to no sweep."""
    op.add_column("tasks", sa.Column("sweep_id", sa.String(64)))
    op.add_column("tasks", sa.Column("sweep_values", sa.JSON(none_as_null=True)))
    in_sweep = sa.text("sweep_id IS NOT NULL")
    op.create_index("ix_tasks_sweep", "tasks", ["sweep_id", "serial"], sqlite_where=in_sweep, postgresql_where=in_sweep)
    op.create_table(
        "sweeps",
        sa.Column("serial", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("sweep_id", sa.String(64), nullable=False, unique=True),
        sa.Column("name", sa.String(200)),
        sa.Column("owner", sa.String(64)),
        sa.Column("varied", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("early_stop", sa.JSON(none_as_null=True)),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_sweeps_owner", "sweeps", ["owner", "serial"])
