"""A small table of all tasks for fast counts."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create the table with all existing tasks."""
    op.create_table(
        "task_roll",
        sa.Column("serial", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
        sa.Column("owner", sa.String(64)),
    )
    op.execute("INSERT INTO task_roll (serial, owner) SELECT serial, owner FROM tasks")
    op.create_index("ix_task_roll_owner", "task_roll", ["owner"])
