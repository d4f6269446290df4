"""Tasks of other kinds than trainings, their results, and reusable results of preprocessing."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the columns. Existing tasks are trainings."""
    op.add_column("tasks", sa.Column("kind", sa.String(16), nullable=False, server_default="training"))
    op.add_column("tasks", sa.Column("result", sa.JSON(none_as_null=True), nullable=True))
    others = sa.text("kind <> 'training'")
    op.create_index("ix_tasks_kind", "tasks", ["kind", "serial"], sqlite_where=others, postgresql_where=others)
    op.create_table(
        "derivations",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("outputs", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("used_at", sa.Float(53), nullable=False),
    )
    op.create_index("ix_derivations_used", "derivations", ["used_at"])
