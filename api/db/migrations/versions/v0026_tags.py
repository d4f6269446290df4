"""Tags and notes of tasks, and their order in the queue."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    """Add the columns. Existing tasks have no tags and no notes, and are ordered by age."""
    op.add_column("tasks", sa.Column("tags", sa.Text))
    op.add_column("tasks", sa.Column("notes", sa.Text))
    op.add_column("tasks", sa.Column("queue_rank", sa.Float(53)))
