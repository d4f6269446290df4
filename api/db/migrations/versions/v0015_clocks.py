"""The steady time of each machine, and an index of the queue."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_IN_QUEUE = sa.text("status = 'queued'")


def upgrade() -> None:
    """Create the table and the index."""
    op.create_table(
        "machine_clocks",
        sa.Column("node", sa.String(255), primary_key=True),
        sa.Column("boot_id", sa.String(64), nullable=False),
        sa.Column("boot_seconds", sa.Float(53), nullable=False),
        sa.Column("steady_at", sa.Float(53), nullable=False),
    )
    op.create_index("ix_tasks_queued", "tasks", ["queued_at"], sqlite_where=_IN_QUEUE, postgresql_where=_IN_QUEUE)
