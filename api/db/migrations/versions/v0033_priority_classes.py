"""Priority classes, earliest starts that users request, and the urgent tasks for which others made room."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    """Add the columns. Every task is of the normal class."""
    op.add_column("tasks", sa.Column("priority_class", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("tasks", sa.Column("start_not_before", sa.Float(53)))
    op.add_column("tasks", sa.Column("preempted_by", sa.String(64)))
